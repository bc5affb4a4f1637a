package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stave-run/stave/node/runtime"
)

func TestParseHost(t *testing.T) {
	s, err := parseHost("cpu  100 10 50 9000 30 4 6 7 0 0\ncpu0 1 2\n", "MemTotal:  1000 kB\nMemFree: 300 kB\nInactive(file): 200 kB\nHugePages_Total: 0\n")
	if err != nil || s.CPU != 1700*time.Millisecond || s.Memory != 700<<10 || s.WorkingSet != 500<<10 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range [][2]string{{"", "MemTotal: 1 kB"}, {"cpu 1 2 x 4 5 6 7 8", "MemTotal: 1 kB"}, {"cpu 1 2 3 4 5 6 7 8", "nothing"}} {
		if _, err := parseHost(bad[0], bad[1]); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
	if s, err := hostStats(); err != nil || s.CPU == 0 || s.WorkingSet == 0 || s.WorkingSet > s.Memory {
		t.Errorf("this machine: %+v, %v", s, err)
	}
}

// TestUseIsOfTheWindow does not take the average since the start.
func TestUseIsOfTheWindow(t *testing.T) {
	at := time.Unix(1000, 0)
	a := runtime.Stats{At: at, CPU: time.Hour, WorkingSet: 5}
	b := runtime.Stats{At: at.Add(2 * time.Second), CPU: time.Hour + 500*time.Millisecond, WorkingSet: 7}
	if u := useBetween(a, b); u.CPU != 250_000_000 || u.Memory != 7 || u.Window != 2*time.Second {
		t.Errorf("%+v", u)
	}
	if u := useBetween(b, runtime.Stats{At: at.Add(3 * time.Second), CPU: time.Second}); u.CPU != 0 {
		t.Errorf("a counter that went back: %+v", u)
	}
	if u := useBetween(a, a); u.CPU != 0 {
		t.Errorf("no time: %+v", u)
	}
}

// TestMeterPairsLooks counts how often the counters are read, and what is compared.
func TestMeterPairsLooks(t *testing.T) {
	var m meter
	at := time.Unix(1000, 0)
	reads := 0
	ids := []string{hostContainer, "a"}
	read := func() (look, error) {
		reads++
		at = at.Add(shortestWindow)
		l := look{at: at, has: map[string]runtime.Stats{}}
		for _, id := range ids {
			l.has[id] = runtime.Stats{At: at}
		}
		return l, nil
	}
	measure := func(wantReads int, wantWindow time.Duration) {
		t.Helper()
		reads = 0
		before, after, err := m.measure(t.Context(), read)
		if err != nil || reads != wantReads || after.at.Sub(before.at) != wantWindow || !covers(before, after) {
			t.Errorf("%d reads, %v apart, %v", reads, after.at.Sub(before.at), err)
		}
	}
	measure(2, shortestWindow) // the first question waits
	at = at.Add(4 * time.Second)
	measure(1, 5*time.Second) // the next one compares with the last
	ids = append(ids, "b")
	measure(2, shortestWindow) // unless there is a container of which nothing is known
	at = at.Add(time.Minute)
	measure(2, shortestWindow) // or it was long ago
	at = at.Add(-shortestWindow / 2)
	reads = 0
	before, after, err := m.measure(t.Context(), func() (look, error) {
		l, err := read()
		l.at = m.after.at.Add(shortestWindow / 2)
		return l, err
	})
	if err != nil || reads != 1 || after.at.Sub(before.at) != shortestWindow*3/2 {
		t.Errorf("asked again at once: %d reads, %v apart, %v", reads, after.at.Sub(before.at), err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	var fresh meter
	if _, _, err := fresh.measure(gone, read); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: %v", err)
	}
}
