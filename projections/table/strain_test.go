package table_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/table"
	"github.com/stave-run/stave/projections/why"
)

// Whoever looks is told which limit a run met that goes on, whom the kernel killed, and how to mend it; the next run begins
// without blame.
func TestStrainIsNamed(t *testing.T) {
	l := foldtest.Nginx(1)
	pod := foldtest.Pod(0)
	starved := func(n int, message string) events.Fact {
		return events.Fact{Kind: events.FactStarved, Container: "nginx", Run: 1, At: l.Now, Count: n, Limit: "16Mi", Victim: "tail (pid 7)", Message: message}
	}
	said := func(want bool, words ...string) {
		t.Helper()
		look := why.Look(why.Survey{State: l.State, Now: l.Now, At: l.At, Past: func(events.Key) []events.Envelope { return l.Events }})
		page, _ := table.Describe(l.State, pod, l.Now, nil)
		all := page + why.Why(why.Question{State: l.State, Key: pod, Now: l.Now, Log: l.Events, At: l.At}).String() + look.String()
		for _, w := range words {
			if strings.Contains(all, w) != want {
				t.Errorf("%q: want %v in\n%s", w, want, all)
			}
		}
	}
	l.Saw(pod, starved(1, "the kernel killed tail (pid 7)"))
	l.Saw(pod, starved(2, "the kernel killed two"), starved(1, "the kernel killed tail (pid 7)")) // a node may say it again
	said(true, "has been ready for", "Memory Kills:", "2: the kernel killed two", "nginx, run 1: the kernel killed two", "container nginx runs short of memory", "raise the memory limit of container nginx")
	said(false, "Refused Forks")
	l.Pass(time.Hour)
	said(true, "nginx, run 1: the kernel killed two")
	said(false, "runs short of memory") // that was long ago
	l.Saw(pod, events.Fact{Kind: events.FactCrowded, Container: "nginx", Run: 1, At: l.Now, Count: 3, Limit: "8", Message: "its limit of 8 processes is reached"})
	said(true, "Refused Forks:", "3: its limit of 8 processes", "container nginx has as many processes as it may")
	rows := why.EventsOf(l.Events, pod)
	counts := map[string]int{}
	for _, r := range rows {
		counts[r.Reason+" "+r.Type] += r.Count
	}
	if counts["OOMKilling Warning"] != 2 || counts["ForkRefused Warning"] != 1 {
		t.Errorf("%v", rows)
	}
	l.Saw(pod, events.Fact{Kind: events.FactExited, Container: "nginx", Run: 1, Code: 2, Reason: "Error", At: l.Now, StartedAt: l.Now.Add(-time.Hour)}, starved(9, "too late"))
	said(true, "exit code 2 (Error)", "its limit of 8 processes is reached")
	said(false, "Refused Forks:")
	if row, _ := l.State.PodOf(pod); row.Containers[0].Starved.Count != 2 {
		t.Errorf("what came after the end was folded: %+v", row.Containers[0].Starved)
	}
	l.Saw(pod, events.Fact{Kind: events.FactStarted, Container: "nginx", Run: 2, At: l.Now}, events.Fact{Kind: events.FactReady, Container: "nginx", Run: 2, At: l.Now})
	said(false, "Memory Kills:", "Refused Forks:")
}
