package main

import (
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// exhausted is a listener of a process that has no more descriptors.
type exhausted struct {
	net.Listener
	asked atomic.Int64
	over  atomic.Bool
}

func (e *exhausted) Accept() (net.Conn, error) {
	if e.asked.Add(1); e.over.Load() {
		return nil, net.ErrClosed
	}
	return nil, syscall.EMFILE
}

// TestNoDescriptorsLeft: who cannot accept a connection does not ask again at once, and for ever.
func TestNoDescriptorsLeft(t *testing.T) {
	l := &exhausted{}
	g := &gateway{ctx: t.Context(), listen: l}
	g.busy.Add(1)
	go g.accept()
	time.Sleep(4 * acceptPause)
	l.over.Store(true)
	if n := l.asked.Load(); n < 2 || n > 20 {
		t.Errorf("asked %d times in %s", n, 4*acceptPause)
	}
}
