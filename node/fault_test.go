package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/projections"
)

// faultyLog is an appender whose acknowledgements can be lost.
type faultyLog struct {
	bus.Appender
	mu    sync.Mutex
	fault func(n int) (lose, drop bool) // of the n-th append: lose the acknowledgement, or the append too
	n     int
}

func (l *faultyLog) Append(ctx context.Context, batch []bus.Record) (events.Seq, error) {
	l.mu.Lock()
	l.n++
	lose, drop := l.fault(l.n)
	l.mu.Unlock()
	if drop {
		return 0, bus.ErrUnreachable
	}
	seq, err := l.Appender.Append(ctx, batch)
	if err == nil && lose {
		return 0, bus.ErrDoubt
	}
	return seq, err
}

// small is a node whose containers are pretended.
func small(t *testing.T) (*cluster, *machine, *double) {
	c, d := newCluster(t), newDouble()
	m := newMachine(t, c, d.open)
	m.options.StateDir = t.TempDir()
	return c, m, d
}

func TestLostAcknowledgements(t *testing.T) {
	c, m, d := small(t)
	m.options.Log = &faultyLog{Appender: c.log, fault: func(n int) (bool, bool) { return n%2 == 1, n%3 == 0 }}
	m.start()
	for i := range 5 {
		c.run(shell(fmt.Sprint("p", i), "true", never))
	}
	for i := range 5 {
		c.untilReady(fmt.Sprint("p", i))
		d.end(string(uidOf(podKey(fmt.Sprint("p", i)))), i)
	}
	for i := range 5 {
		_, x := c.until(fmt.Sprint("p", i), "ended", func(_ *projections.Pod, x projections.Container) bool { return x.Exit != nil })
		if x.Exit.Code != i || x.Run != 1 {
			t.Errorf("p%d: %+v", i, x)
		}
	}
	eventually(t, "the journal is empty", func() bool { p, _ := m.agent.journal.after(0, 1); return len(p) == 0 })
}

// A new lease may come with a log that lost what was not durable: all of that is said again.
func TestANewLeaseHearsAgain(t *testing.T) {
	c, m, _ := small(t)
	lost := &lossy{cluster: c}
	m.options.Log = lost
	m.start()
	c.run(shell("web", "true"))
	eventually(t, "facts were sent and lost", func() bool { return lost.count() > 1 })
	if p, ok := c.fold.Durable().Pod("default", "web"); !ok || !p.Sandbox.IsZero() {
		t.Fatalf("the log heard of it: %+v", p)
	}
	lost.heal()
	c.takeLease()
	_, x := c.untilReady("web")
	if x.Run != 1 {
		t.Errorf("got %+v", x)
	}
}

// lossy acknowledges what it then loses, as a log does whose machine loses power before its disk had it.
type lossy struct {
	*cluster
	mu     sync.Mutex
	n      int
	healed bool
}

func (l *lossy) Append(ctx context.Context, batch []bus.Record) (events.Seq, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.healed {
		return l.log.Append(ctx, batch)
	}
	l.n++
	return 1_000_000 + events.Seq(l.n), nil // above every watermark
}

func (l *lossy) count() int { l.mu.Lock(); defer l.mu.Unlock(); return l.n }
func (l *lossy) heal()      { l.mu.Lock(); defer l.mu.Unlock(); l.healed = true }

// Facts that never reached the log are there after the agent was killed.
func TestTheJournalOutlivesTheAgent(t *testing.T) {
	c, m, d := small(t)
	log := &faultyLog{Appender: c.log, fault: func(int) (bool, bool) { return false, true }}
	m.options.Log = log
	m.start()
	c.run(shell("job", "true", never))
	eventually(t, "the container runs", func() bool { return d.count("start") == 1 })
	d.end(string(uidOf(podKey("job"))), 7)
	eventually(t, "the exit is in the journal", func() bool {
		all, _ := m.agent.journal.after(0, 100)
		for _, p := range all {
			if p.Pod != nil && p.Pod.Facts[len(p.Pod.Facts)-1].Kind == events.FactExited {
				return true
			}
		}
		return false
	})
	m.kill()
	m.options.Log = c.log
	d.mu.Lock()
	clear(d.containers) // the journal alone knows
	d.mu.Unlock()
	m.start()
	_, x := c.until("job", "ended", func(_ *projections.Pod, x projections.Container) bool { return x.Exit != nil })
	if x.Exit.Code != 7 || x.Exit.Reason != "Error" {
		t.Errorf("got %+v", x.Exit)
	}
	if d.count("start") != 1 {
		t.Error("started again")
	}
}

func TestPullsThatFailAreTriedAgain(t *testing.T) {
	c, m, d := small(t)
	d.fail(func(call string) error {
		if call == "pull" {
			return errors.New("no route to registry")
		}
		return nil
	})
	m.start()
	c.run(shell("web", "true"))
	_, x := c.until("web", "in back-off", func(_ *projections.Pod, x projections.Container) bool { return x.Reason == "ImagePullBackOff" })
	if wait := time.Until(x.Until); wait < 5*time.Second || wait > 10*time.Second {
		t.Errorf("waits until %v", x.Until)
	}
	d.fail(func(string) error { return nil })
	began := time.Now()
	// The wish to stop is not held up by the back-off.
	c.delete("web", 30)
	c.untilStopped("web")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopped after %v", took)
	}
	c.run(shell("never", "true", func(s *corev1.PodSpec) { s.Containers[0].ImagePullPolicy = corev1.PullNever }))
	c.until("never", "refused", func(_ *projections.Pod, x projections.Container) bool { return x.Reason == "ErrImageNeverPull" })
}

// Another life of the same name is another pod: both are on the node for a while.
func TestSameNameAnotherLife(t *testing.T) {
	c, m, d := small(t)
	m.start()
	c.run(shell("web", "true"))
	c.untilReady("web")
	first := uidOf(podKey("web"))
	d.fail(func(call string) error {
		if call == "remove" {
			return errors.New("busy")
		}
		return nil
	})
	c.delete("web", 0)
	c.remove("web") // by force: nobody waits for the node
	k := podKey("web")
	c.append(events.SpecSubject(k), events.TypeOf(k.Resource, events.VerbCreated), events.Created{UID: "second", Object: events.MustBody(shell("web", "true"))})
	c.append(events.AssignSubject(nodeName), events.PodsAssigned, events.Assigned{Pods: []events.Ref{{Key: k, UID: "second"}}})
	p, x := c.untilReady("web")
	if p.UID != "second" || x.Run != 1 {
		t.Errorf("got %+v", p)
	}
	w, ok := m.agent.worker(first, false)
	if !ok {
		t.Fatal("the first life was forgotten while something of it is left")
	}
	d.fail(func(string) error { return nil })
	w.update(func(o plan.Observed) plan.Observed { o.Cleanup.Until = time.Time{}; return o })
	eventually(t, "the first life is forgotten", func() bool { _, ok := m.agent.worker(first, false); return !ok })
}

// A message that was lost shows at the next beacon.
func TestALostMessageIsFetched(t *testing.T) {
	c, m, _ := small(t)
	m.start()
	c.run(shell("one", "true"))
	c.untilReady("one")
	c.leave() // nobody publishes
	c.run(shell("two", "true"))
	c.serve()
	c.untilReady("two")
}

// What a control plane forgot is stopped, whoever knows of it.
func TestOrphansAreRemoved(t *testing.T) {
	_, m, d := small(t)
	if _, err := d.EnsureSandbox(t.Context(), runtime.SandboxSpec{UID: "orphan", Namespace: "default", Name: "orphan"}); err != nil {
		t.Fatal(err)
	}
	m.start()
	eventually(t, "the orphan is gone", func() bool { b, _ := d.ListSandboxes(t.Context()); return len(b) == 0 })
}
