package hollow

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// bench is a machine, its time, and what it told.
type bench struct {
	*machine
	t   *testing.T
	now time.Time
	at  events.Position
}

func newBench(t *testing.T, model Model) *bench {
	t.Helper()
	if err := model.Check(); err != nil {
		t.Fatal(err)
	}
	m := newMachine("h1", model, events.NodeFacts{Hostname: "h1", Addresses: []string{"198.18.0.1"}, Allocatable: map[string]string{"cpu": "4", "memory": "8Gi"}})
	if err := m.settle(wire.JoinReply{PodCIDR: "10.1.2.0/24", Domain: "cluster.local"}); err != nil {
		t.Fatal(err)
	}
	b := &bench{m, t, began, 0}
	m.whole(projections.DesiredSet{Node: "h1", Epoch: 1}, b.now)
	return b
}

func row(uid events.UID, image string) projections.DesiredPod {
	return projections.DesiredPod{UID: uid, Assigned: 3, Pod: corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: string(uid), Namespace: "default", UID: "x"},
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyAlways, Containers: []corev1.Container{{Name: "c", Image: image}}}}}
}

func (b *bench) feed(rows ...projections.DesiredPod) {
	b.take(projections.FeedMessage{Position: b.at + 1, Prev: b.at, Epoch: 1, Pods: rows}, b.now)
	b.at++
}

func (b *bench) pass(d time.Duration) {
	b.now = b.now.Add(d)
	b.due(b.now)
}

// told are the kinds of all facts told of a pod.
func (b *bench) told(uid events.UID) (kinds []events.FactKind) {
	for _, p := range b.kept {
		if p.Pod != nil && p.Pod.UID == uid {
			for _, f := range p.Pod.Facts {
				kinds = append(kinds, f.Kind)
			}
		}
	}
	return kinds
}

func (b *bench) count(uid events.UID, kind events.FactKind) (n int) {
	for _, k := range b.told(uid) {
		if k == kind {
			n++
		}
	}
	return n
}

func TestPodLivesAndDies(t *testing.T) {
	b := newBench(t, Model{})
	b.feed(row("a", "nginx:1"))
	want := []events.FactKind{events.FactSandbox, events.FactPulled, events.FactStarted, events.FactReady}
	if got := b.told("a"); len(got) != len(want) || got[0] != want[0] || got[3] != want[3] {
		t.Fatalf("told %v, want %v", got, want)
	}
	stop := row("a", "nginx:1")
	stop.Stop, stop.Deadline = true, b.now.Add(30*time.Second)
	b.feed(stop)
	if b.count("a", events.FactExited) != 1 || b.count("a", events.FactStopped) != 1 {
		t.Fatalf("told %v", b.told("a"))
	}
	b.take(projections.FeedMessage{Position: b.at + 1, Prev: b.at, Epoch: 1, Gone: []events.Ref{{UID: "a"}}}, b.now)
	if len(b.pods) != 1 {
		t.Fatal("forgot a pod of which the log could lose what was told")
	}
	pieces := b.unsent()
	b.flies.Landed(pieces[len(pieces)-1].Num, 50, 1)
	b.beacon(projections.Beacon{Epoch: 1, Durable: 50}, b.now)
	if len(b.pods) != 0 || len(b.kept) != 0 || len(b.pool.held) != 0 {
		t.Fatalf("left: %d pods, %d pieces, %d addresses", len(b.pods), len(b.kept), len(b.pool.held))
	}
}

func TestTimesPass(t *testing.T) {
	same := func(d time.Duration) Span { return Span{d, d} }
	b := newBench(t, Model{Pull: same(2 * time.Second), Start: same(time.Second), Ready: same(3 * time.Second), Run: same(10 * time.Second), Code: 3})
	r := row("a", "nginx:1")
	r.Pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{}
	b.feed(r)
	for _, step := range []struct {
		after time.Duration
		kind  events.FactKind
	}{{2 * time.Second, events.FactPulled}, {time.Second, events.FactStarted}, {6 * time.Second, events.FactReady}, {4 * time.Second, events.FactExited}} {
		if step.kind != events.FactReady && b.count("a", step.kind) != 0 {
			t.Fatalf("%s too early: %v", step.kind, b.told("a"))
		}
		b.pass(step.after)
		if b.count("a", step.kind) != 1 {
			t.Fatalf("no %s at %s: %v", step.kind, b.now.Sub(began), b.told("a"))
		}
	}
	last := b.kept[len(b.kept)-2].Pod.Facts
	if b.count("a", events.FactStarted) != 2 && last[0].Code != 3 {
		t.Fatalf("told %v", b.told("a"))
	}
}

func TestFailures(t *testing.T) {
	b := newBench(t, Model{BadImage: "*:bad", FailRun: 1})
	b.feed(row("a", "nginx:bad"), row("b", "nginx:1"))
	if b.count("a", events.FactPullFailed) != 1 || b.count("a", events.FactBackoff) != 1 || b.count("a", events.FactStarted) != 0 {
		t.Errorf("a bad image: %v", b.told("a"))
	}
	if b.count("b", events.FactExited) < 2 || b.count("b", events.FactBackoff) == 0 {
		t.Errorf("a run that fails: %v", b.told("b"))
	}
	b.pass(15 * time.Second)
	if b.count("a", events.FactPullFailed) != 2 {
		t.Errorf("not tried again: %v", b.told("a"))
	}
}

func TestAddressesEnd(t *testing.T) {
	var p pool
	if err := p.open("10.1.2.0/29"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 5 { // eight, without the network's own, the node's and that of broadcasts
		a, ok := p.take()
		if !ok || seen[a.String()] {
			t.Fatalf("address %s, %v", a, ok)
		}
		seen[a.String()] = true
	}
	if a, ok := p.take(); ok {
		t.Errorf("%s is left, of %v", a, seen)
	}
	if seen["10.1.2.0"] || seen["10.1.2.1"] || seen["10.1.2.7"] {
		t.Errorf("gave %v", seen)
	}
}

func TestSpans(t *testing.T) {
	for text, want := range map[string]Span{"2s": {2 * time.Second, 2 * time.Second}, "1s..3s": {time.Second, 3 * time.Second}} {
		var s Span
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want || s.String() != text {
			t.Errorf("%s is %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "x", "3s..1s", "-1s", "1s.."} {
		if err := new(Span).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	for _, m := range []Model{{FailPull: 2}, {FailRun: -1}, {Code: 256}, {BadImage: "["}} {
		if m.Check() == nil {
			t.Errorf("%+v is taken", m)
		}
	}
}

// A share is what it says, over many pods.
func TestShares(t *testing.T) {
	n := 0
	for i := range 10000 {
		if chance(events.UID(rune('a'+i%26)), "crash", "c", i) < 0.1 {
			n++
		}
	}
	if n < 850 || n > 1150 {
		t.Errorf("%d of 10000 at a share of 0.1", n)
	}
}

// A pod with a token of its own comes up, and its token is made anew in time: it once was always due, and the node spun on it.
func TestTokensAreMadeAnew(t *testing.T) {
	b := newBench(t, Model{})
	r := row("a", "nginx:1")
	r.Pod.Spec.Volumes = []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}}}}}}
	b.feed(r)
	if b.count("a", events.FactReady) != 1 {
		t.Fatalf("told %v", b.told("a"))
	}
	b.pods["a"].wakes()
	due := b.pods["a"].obs.TokensDue
	if !due.After(b.now) || b.wakes.first().Before(b.now.Add(time.Minute)) {
		t.Fatalf("at %s tokens are due at %s, and the node wakes at %s", b.now, due, b.wakes.first())
	}
	b.pass(due.Sub(b.now))
	b.pods["a"].wakes()
	if !b.pods["a"].obs.TokensDue.After(due) {
		t.Error("tokens are not made anew")
	}
}

// A machine that lost its memory tells of runs that the log knows and it does not.
func TestRestart(t *testing.T) {
	b := newBench(t, Model{})
	r := row("a", "nginx:1")
	r.Runs = map[string]int{"c": 4}
	b.feed(r)
	if b.count("a", events.FactExited) != 1 || b.count("a", events.FactStarted) != 1 {
		t.Errorf("told %v", b.told("a"))
	}
	last := b.kept[len(b.kept)-1].Pod.Facts
	if run := last[len(last)-1].Run; run != 5 {
		t.Errorf("run %d, want 5", run)
	}
	if len(b.unsent()) == 0 || b.unsent()[0].Num != 1 {
		t.Errorf("pieces %v", b.unsent())
	}
}
