package main

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stave-run/stave/bus/jetstream"
)

// tapping is a plain NATS client that listens to the live feed.
type tapping struct {
	conn  *nats.Conn
	mu    sync.Mutex
	lines []string
}

// taps are the scripts' taps that are on.
var taps sync.Map

// tap listens to live.> with a NATS client of its own and the person's
// credential; with a file it stops and writes a line a message: change, subject,
// sequence, type, actor, cause.
//
//	tap
//	tap FILE
func tap(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 1 {
		v, ok := taps.Load(ts)
		if !ok {
			ts.Fatalf("no tap is on")
		}
		t := v.(*tapping)
		t.conn.Close()
		t.mu.Lock()
		defer t.mu.Unlock()
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(t.lines, "\n")+"\n"), 0o644))
		return
	}
	d, _, err := findDoor(globals{Kubeconfig: ts.Getenv("KUBECONFIG")})
	ts.Check(err)
	cred, err := jetstream.LoadCredential(d.Credential)
	ts.Check(err)
	conn, err := nats.Connect(d.Address, nats.UserInfo(cred.User, cred.Password))
	ts.Check(err)
	t := &tapping{conn: conn}
	_, err = conn.Subscribe("live.>", t.take)
	ts.Check(err)
	ts.Check(conn.Flush())
	ts.Defer(conn.Close)
	taps.Store(ts, t)
}

func (t *tapping) take(m *nats.Msg) {
	if m.Header.Get("Stave-Type") == "" {
		return // rows for nodes, beacons
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf("%s %s seq=%s type=%s actor=%s cause=%s", m.Header.Get("Stave-Change"), m.Subject,
		m.Header.Get("Stave-Sequence"), m.Header.Get("Stave-Type"), m.Header.Get("Stave-Actor"), m.Header.Get("Stave-Cause")))
}

// chain checks that the file's tapped messages lead from a last type back to a
// first one, cause by cause:
//
//	chain FILE TYPE … TYPE    the newest first
func chain(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: chain FILE TYPE TYPE…")
	}
	type event struct{ typ, cause string }
	bySeq := map[string]event{}
	var start []string
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var seq, typ, cause string
		for _, f := range strings.Fields(line) {
			k, v, _ := strings.Cut(f, "=")
			switch k {
			case "seq":
				seq = v
			case "type":
				typ = v
			case "cause":
				cause = v
			}
		}
		bySeq[seq] = event{typ, cause}
		if typ == args[1] {
			start = append(start, seq)
		}
	}
	for _, seq := range start {
		at, want := seq, args[1:]
		for len(want) > 0 && bySeq[at].typ == want[0] {
			at, want = bySeq[at].cause, want[1:]
		}
		if len(want) == 0 {
			return
		}
	}
	ts.Fatalf("no chain %s in:\n%s", strings.Join(args[1:], " <- "), ts.ReadFile(args[0]))
}
