package node

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/logfile"
)

// keeper is as much of an agent as keeps logs.
func keeper(t *testing.T) *Agent {
	a := &Agent{o: Options{Name: "n1", DataDir: t.TempDir()}, now: time.Now}
	for _, dir := range []string{a.podsDir(), a.logsDir()} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func (a *Agent) leave(t *testing.T, uid string, size int64, age time.Duration) {
	t.Helper()
	path := logfile.Path(a.logsDir(), "default", "web", uid, "c", 0)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Now(), time.Now().Add(-age)); err != nil {
		t.Fatal(err)
	}
}

func TestLogsOfGonePodsAreBounded(t *testing.T) {
	a := keeper(t)
	a.leave(t, "lives", 1, 48*time.Hour)
	if err := os.Mkdir(a.podDir(events.UID("lives")), 0o700); err != nil {
		t.Fatal(err)
	}
	a.leave(t, "old", 1, 25*time.Hour)
	a.leave(t, "third", keepLogsBytes/2, 3*time.Hour)
	a.leave(t, "second", keepLogsBytes/2, 2*time.Hour)
	a.leave(t, "first", 1, time.Hour)
	if err := a.sweepLogs(); err != nil {
		t.Fatal(err)
	}
	var left []string
	dirs, _ := os.ReadDir(a.logsDir())
	for _, d := range dirs {
		left = append(left, strings.TrimPrefix(d.Name(), "default_web_"))
	}
	if !slices.Equal(left, []string{"first", "lives", "second"}) {
		t.Errorf("%v are left", left)
	}
	ask := wire.LogsRequest{Namespace: "default", Pod: "web", UID: "first", Container: "c", Run: 1}
	if path, ok := a.keptLog(ask); !ok || !strings.HasSuffix(path, "default_web_first/c/0.log") {
		t.Errorf("%s, %v", path, ok)
	}
	for _, bad := range []func(*wire.LogsRequest){
		func(r *wire.LogsRequest) { r.UID = "third" }, func(r *wire.LogsRequest) { r.Run = 2 }, func(r *wire.LogsRequest) { r.UID = "" },
		func(r *wire.LogsRequest) { r.Container = "../../x" }, func(r *wire.LogsRequest) { r.Pod = ".." },
	} {
		r := ask
		bad(&r)
		if path, ok := a.keptLog(r); ok {
			t.Errorf("%+v gives %s", r, path)
		}
	}
}

// What was written after the moment is left out, also where lines are counted from
// the end; a line in pieces is one.
func TestLogsBeforeAMoment(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	all := []logfile.Line{{Text: []byte("one")}, {Text: []byte("two-"), Partial: true}, {Text: []byte("two")}, {Text: []byte("three")}, {Text: []byte("late")}}
	for tail, want := range map[int]string{-1: "one two- two three", 0: "", 1: "three", 2: "two- two three", 9: "one two- two three"} {
		var got []string
		p := &past{until: at.Add(3 * time.Second), tail: tail, next: func(l logfile.Line) error { got = append(got, string(l.Text)); return nil }}
		var err error
		for i, l := range all {
			l.At = at.Add(time.Duration(i) * time.Second)
			if err = p.line(l); err != nil {
				break
			}
		}
		if err == nil || p.flush() != nil || strings.Join(got, " ") != want {
			t.Errorf("tail %d: %q, %v", tail, got, err)
		}
	}
}

func TestSamplesOfAMoment(t *testing.T) {
	var s samples
	if _, err := s.at("n1", time.Now()); err == nil {
		t.Error("figures of nothing")
	}
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range maxSamples + 100 {
		s.add(wire.Metrics{Node: fmt.Sprint(i), At: begin.Add(time.Duration(i) * sampleEvery), Pods: []wire.PodMetrics{{Containers: make([]wire.ContainerMetrics, 2)}}})
	}
	if len(s.kept) != maxSamples || s.containers != 2*maxSamples {
		t.Errorf("%d samples of %d containers are kept", len(s.kept), s.containers)
	}
	if m, err := s.at("n1", begin.Add(200*sampleEvery+7*time.Second)); err != nil || m.Node != "200" {
		t.Errorf("%s, %v", m.Node, err)
	}
	last := begin.Add(time.Duration(maxSamples+99) * sampleEvery)
	for _, at := range []time.Time{begin.Add(50 * sampleEvery), last.Add(sampleAge + time.Second)} {
		if m, err := s.at("n1", at); err == nil || !strings.Contains(err.Error(), "n1 has no figures of "+at.Format(time.RFC3339)) {
			t.Errorf("at %s: %s, %v", at, m.Node, err)
		}
	}
	s.add(wire.Metrics{Pods: []wire.PodMetrics{{Containers: make([]wire.ContainerMetrics, maxSampled)}}})
	if len(s.kept) != 1 {
		t.Errorf("%d samples beside a huge one", len(s.kept))
	}
}
