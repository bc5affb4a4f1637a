package why_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/why"
)

var update = flag.Bool("update", false, "write the golden files anew; read the difference before committing it")

// golden holds a text against a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func ask(l *foldtest.Log, k events.Key, because ...events.Reason) why.Answer {
	f := why.For(l.State, k)
	q := why.Question{State: l.State, Key: k, Now: l.Now, At: l.At, Because: because}
	for _, e := range l.Events {
		if e.Seq >= f.From && f.Keep(e) {
			q.Log = append(q.Log, e)
		}
	}
	return why.Why(q)
}

func TestWhy(t *testing.T) {
	l := foldtest.Nginx(2)
	var text strings.Builder
	tell := func(title string, k events.Key, because ...events.Reason) {
		text.WriteString("# " + title + "\n" + ask(l, k, because...).String() + "\n")
	}
	node := foldtest.Key(events.Nodes, "n1")
	tell("a pod that runs", foldtest.Pod(0))
	tell("its deployment", foldtest.Deployment)
	tell("its service", foldtest.Service)
	tell("its node", node)

	big := foldtest.Key(events.Pods, "big")
	l.Create(big, `{"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	tell("nobody looked at it yet", big)
	refusal := events.Reason{Code: "Insufficient", About: node, What: "cpu", Need: "64", Have: "1900m", Fix: "ask for 1900m of cpu or less"}
	l.Conclude(big, events.Reason{Code: "Unschedulable", Said: "0/1 nodes are available: 1 Insufficient cpu."}, refusal)
	tell("too big", big)
	refusal.Have, refusal.Fix = "1650m", "ask for 1650m of cpu or less"
	tell("too big, asked anew", big, refusal)
	var many []events.Reason
	for _, n := range []string{"n1", "n2", "n3", "n4", "n5", "n6"} {
		r := refusal
		r.About = foldtest.Key(events.Nodes, n)
		if n == "n2" {
			r.Have = "1"
		}
		many = append(many, r)
	}
	tell("too big for many alike", big, many...)

	at := l.Pass(10 * time.Second).Now
	l.Saw(foldtest.Pod(1), events.Fact{Kind: events.FactExited, Container: "nginx", Run: 1, Code: 3, StartedAt: at, At: at, Reason: "Error", Tail: "no such file\nbye\n"},
		events.Fact{Kind: events.FactBackoff, Container: "nginx", Run: 2, Reason: "CrashLoopBackOff", Until: at.Add(20 * time.Second)})
	l.Pass(5 * time.Second)
	tell("a crash loop", foldtest.Pod(1))
	tell("its deployment", foldtest.Deployment)

	image := foldtest.Key(events.Pods, "image")
	l.Create(image, `{"spec":{"containers":[{"name":"c","image":"nginx:nope"}]}}`)
	l.Assign("n1", image)
	l.Saw(image, events.Fact{Kind: events.FactPullFailed, Container: "c", Image: "nginx:nope", Reason: "ErrImagePull", Message: "docker.io/library/nginx:nope: not found"},
		events.Fact{Kind: events.FactBackoff, Container: "c", Reason: "ImagePullBackOff", Message: "Back-off pulling image", Until: l.Now.Add(10 * time.Second)})
	tell("an image that does not exist", image)

	hook := foldtest.Key(events.Pods, "hook")
	l.Create(hook, `{"spec":{"containers":[{"name":"c","image":"i","lifecycle":{"postStart":{"exec":{"command":["sleep","60"]}}}}]}}`)
	l.Assign("n1", hook)
	l.Saw(hook, events.Fact{Kind: events.FactPulled, Container: "c", Run: 1, Image: "i"},
		events.Fact{Kind: events.FactBackoff, Container: "c", Run: 1, Reason: "ContainerCreating", Message: events.PostStartRuns + ": exec [sleep 60]"})
	tell("one whose hook runs", hook)

	l.Delete(foldtest.Pod(0), foldtest.Person, 30)
	tell("one that leaves", foldtest.Pod(0))
	l.Remove(foldtest.Pod(0))
	tell("gone", foldtest.Pod(0))
	tell("never there", foldtest.Key(events.Pods, "nobody"))
	l.Heard("n1", false)
	tell("a silent node", node)
	tell("a pod on it", foldtest.Pod(1))

	golden(t, "why.txt", text.String())
}

func TestAnswerAsJSON(t *testing.T) {
	l := foldtest.Nginx(1)
	var a why.Answer
	if err := json.Unmarshal(ask(l, foldtest.Pod(0)).JSON(), &a); err != nil {
		t.Fatal(err)
	}
	if a.Subject != foldtest.Pod(0) || len(a.Links) == 0 || a.Links[len(a.Links)-1].Who != foldtest.Person {
		t.Errorf("the chain does not end with a person: %+v", a)
	}
	for i := 1; i < len(a.Links); i++ {
		if a.Links[i].Seq >= a.Links[i-1].Seq {
			t.Errorf("not newest first: %+v", a.Links)
		}
	}
}

func TestHistory(t *testing.T) {
	l := foldtest.Nginx(2)
	l.Delete(foldtest.Pod(0), foldtest.Person, 30)
	l.Remove(foldtest.Pod(0))
	var got []string
	for _, e := range why.History(l.Events, foldtest.Pod(0)) {
		got = append(got, string(e.Type))
	}
	if want := "pods.created pods.assigned pods.seen pods.deletion-requested pods.removed"; strings.Join(got, " ") != want {
		t.Errorf("history %v", got)
	}
}

// A chain follows causes to where they began and does not trust one that points ahead.
func TestChain(t *testing.T) {
	l := foldtest.Nginx(1)
	o, _ := l.State.Get(foldtest.Pod(0))
	chain := why.Chain(l.At, o.Created.Seq)
	if len(chain) != 3 || chain[2].Actor != foldtest.Person {
		t.Errorf("chain %v", chain)
	}
	bad := l.Add(events.Envelope{Subject: "log.x.y", Type: "x.y", Cause: l.State.Seq + 1})
	if got := why.Chain(l.At, bad); len(got) != 1 {
		t.Errorf("a cause ahead was followed: %v", got)
	}
}

// One assignment serves pods of two owners: who made the other one's is not among what led to this one.
func TestAnAssignmentOfTwoOwners(t *testing.T) {
	l := foldtest.New()
	l.Node("n1", foldtest.Facts)
	const one = `{"spec":{"containers":[{"name":"c","image":"i"}]}}`
	mine, other := foldtest.Key(events.Pods, "mine"), foldtest.Key(events.Pods, "other")
	l.Create(mine, one)
	wish := l.Create(foldtest.Key(events.ConfigMaps, "bad"), `{"data":{}}`)
	made := l.CreateChild(other, mine, wish, one)
	l.AssignFor(made, "n1", mine, other)
	for _, link := range ask(l, mine).Links {
		if link.Seq == wish || link.Seq == made {
			t.Errorf("led to by %+v", link)
		}
	}
}
