package node

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// leaves1: a client that has heard enough closes its side. Nothing goes on for it then, though the container be silent.
func leaves1(t *testing.T, m *machine) {
	m.c.untilReady("web")
	for verb, hello := range map[string]any{
		wire.NodeLogs:   wire.LogsRequest{Namespace: "default", Pod: "web", Follow: true},
		wire.NodeExec:   wire.ExecRequest{Namespace: "default", Pod: "web", Command: []string{"sleep", "12345"}},
		wire.NodeAttach: wire.ExecRequest{Namespace: "default", Pod: "web"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		s, err := m.c.wires.Dial(ctx, wire.NodeSubject("alice", nodeName, verb), events.MustBody(hello))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond) // it has begun
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = s.Recv(ctx)
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s goes on for nobody: %v", verb, err)
		}
	}
	if r := m.exec("web", "sh", "-c", `grep -l 1234[5] /proc/[0-9]*/cmdline`); r.out != "" {
		t.Errorf("a command of nobody runs on: %s", r.out)
	}
}
