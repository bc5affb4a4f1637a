package why_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/why"
)

func survey(l *foldtest.Log) why.Survey {
	return why.Survey{State: l.State, Now: l.Now, At: l.At, Past: func(k events.Key) []events.Envelope {
		f := why.For(l.State, k)
		var out []events.Envelope
		for _, e := range l.Events {
			if e.Seq >= f.From && f.Keep(e) {
				out = append(out, e)
			}
		}
		return out
	}}
}

// TestStatus tells a cluster's bad day, page by page.
func TestStatus(t *testing.T) {
	l := foldtest.Nginx(3)
	var text strings.Builder
	page := func(title string) {
		fmt.Fprintf(&text, "# %s\n%s\n", title, why.Look(survey(l)))
	}
	page("all is well")

	l.Pass(10 * time.Second)
	for i := range 3 {
		at := l.Pass(time.Second).Now
		l.Saw(foldtest.Pod(i), events.Fact{Kind: events.FactExited, Container: "nginx", Run: 1, Code: 137, OOM: true, Reason: "OOMKilled", StartedAt: at.Add(-time.Minute), At: at},
			events.Fact{Kind: events.FactBackoff, Container: "nginx", Run: 2, Reason: "CrashLoopBackOff", Until: at.Add(20 * time.Second)})
	}
	page("three pods crash for one reason, and the service is gone with them")
	for i := range 2 {
		l.Saw(foldtest.Pod(i), events.Fact{Kind: events.FactStarted, Container: "nginx", Run: 2, At: l.Now}, events.Fact{Kind: events.FactReady, Container: "nginx", At: l.Now})
	}
	l.Pass(5 * time.Second)
	page("two of them run again: the cause is the same")
	l.Pass(20 * time.Minute)
	l.Saw(foldtest.Pod(2), events.Fact{Kind: events.FactStarted, Container: "nginx", Run: 2, At: l.Now}, events.Fact{Kind: events.FactReady, Container: "nginx", At: l.Now})
	l.Pass(20 * time.Minute)
	page("and have done so for long")

	big := foldtest.Key(events.Pods, "big")
	l.Create(big, `{"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	page("nobody looked at it yet")
	l.Pass(2 * time.Minute)
	page("nor for two minutes")
	l.Conclude(big, events.Reason{Code: "Unschedulable", Said: "0/1 nodes are available: 1 Insufficient cpu."},
		events.Reason{Code: "Insufficient", About: foldtest.Key(events.Nodes, "n1"), What: "cpu", Need: "64", Have: "1900m", Fix: "ask for 1900m of cpu or less"})
	alone := events.Key{Resource: events.Pods, Namespace: "shop", Name: "image"}
	l.Create(alone, `{"spec":{"containers":[{"name":"c","image":"nginx:nope"}]}}`)
	l.Assign("n1", alone)
	l.Saw(alone, events.Fact{Kind: events.FactPullFailed, Container: "c", Image: "nginx:nope", Reason: "ErrImagePull", Message: "docker.io/library/nginx:nope: not found"},
		events.Fact{Kind: events.FactBackoff, Container: "c", Reason: "ImagePullBackOff", Message: "Back-off pulling image", Until: l.Now.Add(10 * time.Second)})
	l.Create(foldtest.Key(events.Services, "empty"), `{"spec":{"type":"ClusterIP","selector":{"app":"none"},"ports":[{"port":80}]}}`)
	l.Pass(time.Minute)
	page("too big, an image that does not exist in another namespace, a service without pods")
	l.Delete(foldtest.Pod(0), foldtest.Person, 30)
	l.Heard("n1", false)
	l.Pass(2 * time.Minute)
	page("the node is silent: the worst comes first")

	golden(t, "status.txt", text.String())
}

// TestStatusGroups has many pods with one bad image: one line, whichever state of the back-off each is in.
func TestStatusGroups(t *testing.T) {
	l := foldtest.Nginx(30)
	for i := range 30 {
		l.Saw(foldtest.Pod(i), events.Fact{Kind: events.FactExited, Container: "nginx", Run: 1, Code: i % 3, Reason: "Error", StartedAt: l.Now, At: l.Now},
			events.Fact{Kind: events.FactPullFailed, Container: "nginx", Image: "nginx:stable", Reason: "ErrImagePull", Message: "not found"})
		if i%2 == 0 {
			l.Saw(foldtest.Pod(i), events.Fact{Kind: events.FactBackoff, Container: "nginx", Reason: "ImagePullBackOff", Until: l.Now.Add(time.Minute)})
		}
	}
	s := why.Look(survey(l))
	if len(s.Problems) != 1 || len(s.Problems[0].Objects) != 30 || s.Problems[0].Subject != foldtest.Deployment || s.Healthy {
		t.Errorf("%s", s)
	}
	if len(s.Problems[0].Affects) != 1 || s.Pods != (why.Count{Good: 0, All: 30}) {
		t.Errorf("%+v", s)
	}
	var again why.Status
	if err := json.Unmarshal(s.JSON(), &again); err != nil || again.Problems[0].Next != s.Problems[0].Next {
		t.Errorf("as JSON: %v, %s", err, s.JSON())
	}
	other := survey(l)
	other.Namespace = "shop"
	if s := why.Look(other); !s.Healthy {
		t.Errorf("another namespace: %s", s)
	}
}

// TestStatusCommandsAreRunnable gives every next step its namespace.
func TestStatusCommandsAreRunnable(t *testing.T) {
	l := foldtest.Nginx(2)
	l.Saw(foldtest.Pod(0), events.Fact{Kind: events.FactExited, Container: "nginx", Run: 1, Code: 2, Reason: "Error", StartedAt: l.Now, At: l.Now})
	s := survey(l)
	s.Home = "elsewhere"
	for _, p := range why.Look(s).Problems {
		if want := "stave logs " + foldtest.Pod(0).Name + " -n default -c nginx"; p.Next != want {
			t.Errorf("next is %q, want %q", p.Next, want)
		}
	}
}
