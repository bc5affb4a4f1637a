package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/gateway/wire"
)

// What takes long is told once in a while, and only to people.
func TestSlowly(t *testing.T) {
	var out strings.Builder
	now := time.Now()
	tell := onceInAWhile(&out, func() time.Time { return now })
	for i := range 50 { // 5 seconds
		now = now.Add(100 * time.Millisecond)
		tell("reading", i, 50)
	}
	if out.String() != "reading: 20 of 50\nreading: 41 of 50\n" {
		t.Errorf("%q", out.String())
	}
	script := &session{terminal: &terminal{err: &out}}
	if script.slowly() != nil {
		t.Error("a script is told")
	}
	script.longAgo(wire.Moment{Seq: 1})()
	script.tty, script.told = true, true
	if script.slowly() == nil {
		t.Error("a person is not told")
	}
	script.longAgo(wire.Moment{})()
	script.longAgo(wire.Moment{Seq: 1})()
}

func TestSaying(t *testing.T) {
	in, out := io.Pipe()
	tick := make(chan time.Time)
	stop := saying(out, tick, func(d time.Duration) string { return d.String() })
	go func() { tick <- time.Now().Add(4 * time.Second) }()
	line := make([]byte, 3)
	if _, err := io.ReadFull(in, line); err != nil || string(line) != "4s\n" {
		t.Errorf("%q, %v", line, err)
	}
	stop()
	select {
	case tick <- time.Now():
		t.Error("it goes on")
	default:
	}
}
