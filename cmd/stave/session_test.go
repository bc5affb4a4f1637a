package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/gateway/wire"
)

// A server that starts is waited for; nobody has heard the request meanwhile.
func TestRequestsWaitForAServerThatStarts(t *testing.T) {
	wires := memory.NewWires()
	s := &session{wires: wires, user: "admin", globals: globals{RequestTimeout: 20 * time.Second}}
	time.AfterFunc(300*time.Millisecond, func() {
		_, err := wires.Serve(wire.Pattern(wire.VerbRead), func(context.Context, bus.Request) []byte { return []byte(`{"missing":["x"]}`) })
		if err != nil {
			t.Error(err)
		}
	})
	reply, err := s.read(t.Context(), wire.ReadRequest{})
	if err != nil || len(reply.Missing) != 1 {
		t.Errorf("%+v, %v", reply, err)
	}
}

func TestRequestsEndWithTheirTime(t *testing.T) {
	s := &session{wires: memory.NewWires(), user: "admin", globals: globals{RequestTimeout: 300 * time.Millisecond}}
	began := time.Now()
	_, err := s.read(t.Context(), wire.ReadRequest{})
	if !errors.Is(err, bus.ErrNoServer) || time.Since(began) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

// A change without an answer may have been made, but not one that nobody heard.
func TestDoubt(t *testing.T) {
	for err, doubt := range map[error]bool{
		bus.ErrUnreachable: true, context.DeadlineExceeded: true, context.Canceled: true,
		bus.ErrNoServer: false, bus.ErrTooLarge: false, bus.ErrUnauthorized: false,
	} {
		var h helped
		var g goesOn
		told := inDoubt(err)
		if got := errors.As(told, &h) && strings.Contains(h.help, "may have made") || errors.As(told, &g); got != doubt || !errors.Is(told, err) {
			t.Errorf("%v: %v", err, told)
		}
	}
}
