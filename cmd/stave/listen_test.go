package main

import (
	"net"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// listening are the ports of the scripts' listen.
var listening sync.Map

// listen is a program that has a TCP port of the machine, until the script ends or
// takes it back:
//
//	[!] listen PORT
func listen(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] listen PORT")
	}
	if neg {
		l, ok := listening.LoadAndDelete(args[0])
		if !ok {
			ts.Fatalf("nobody listens on %s", args[0])
		}
		ts.Check(l.(net.Listener).Close())
		return
	}
	l, err := net.Listen("tcp", ":"+args[0])
	ts.Check(err)
	listening.Store(args[0], l)
	ts.Defer(func() { _ = l.Close() }) // or it is closed already
}
