package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/stave-run/stave/gateway/wire"
)

// progressPause is how long nothing is said of what takes long.
const progressPause = 2 * time.Second

// slowly tells a person of what takes long, once in a while; nil when nobody sits there.
func (s *session) slowly() func(doing string, done, of int) {
	if !s.hints() {
		return nil
	}
	return onceInAWhile(s.err, time.Now)
}

func onceInAWhile(w io.Writer, now func() time.Time) func(doing string, done, of int) {
	next := now().Add(progressPause)
	return func(doing string, done, of int) {
		if t := now(); t.After(next) {
			next = t.Add(progressPause)
			fmt.Fprintf(w, "%s: %d of %d\n", doing, done, of)
		}
	}
}

// longAgo tells a person, once in a while, that the server makes a state of the past out of the log, until stop.
func (s *session) longAgo(at wire.Moment) (stop func()) {
	if at.IsZero() || !s.hints() {
		return func() {}
	}
	tick := time.NewTicker(progressPause)
	end := saying(s.err, tick.C, func(t time.Duration) string {
		return fmt.Sprintf("the cluster as it was at %s is made from the log: %s so far", at, t)
	})
	return func() { tick.Stop(); end() }
}

// saying prints a line at each tick, with the time that has passed since the beginning. Nothing is printed after stop.
func saying(w io.Writer, tick <-chan time.Time, line func(time.Duration) string) (stop func()) {
	done, began := make(chan struct{}), time.Now()
	var said sync.WaitGroup
	said.Go(func() {
		for {
			select {
			case <-done:
				return
			case t := <-tick:
				fmt.Fprintln(w, line(t.Sub(began).Round(time.Second)))
			}
		}
	})
	return func() { close(done); said.Wait() }
}
