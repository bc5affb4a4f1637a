package sim

import (
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// TestMain lets garbage pile up: worlds are small and die soon, and a third of
// the time would go into looking for what is left of them.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// actions is how long the scripts are that the tests play.
const actions = 25

func seeds(t *testing.T) uint64 {
	t.Helper()
	switch {
	case testing.Short():
		return 200
	case os.Getenv("STAVE_SOAK") != "":
		return 40_000
	}
	return 2000
}

// TestSeeds is the proof in the small: no judge finds anything.
func TestSeeds(t *testing.T) { play(t, seeds(t), Script) }

// TestStoring is the same for those who keep data.
func TestStoring(t *testing.T) { play(t, max(40, seeds(t)/16), Storing) }

// TestTiming is the same for those who have work done again and again.
func TestTiming(t *testing.T) { play(t, max(40, seeds(t)/32), Timing) }

// TestSharing is the same for those who share what there is.
func TestSharing(t *testing.T) { play(t, max(40, seeds(t)/32), Sharing) }

// TestGrowing is the same for those who let the load say how many pods there are.
func TestGrowing(t *testing.T) { play(t, max(40, seeds(t)/32), Growing) }

// TestStraining is the same for those who do what few do.
func TestStraining(t *testing.T) { play(t, max(40, seeds(t)/16), Straining) }

// play demands that no judge finds anything in so many scripts.
func play(t *testing.T, n uint64, script func(uint64, int) []Action) {
	t.Helper()
	var next, landed atomic.Uint64
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for seed := next.Add(1); seed <= n && !t.Failed(); seed = next.Add(1) {
				r := Simulate(seed, script(seed, actions), Plant{}, false)
				landed.Add(uint64(r.Events))
				if r.Failure != nil {
					t.Errorf("%s", Shrink(r, Plant{}, nil).Format())
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d seeds, %d events", n, landed.Load())
	if landed.Load() < 50*n {
		t.Errorf("only %d events in %d seeds: nothing happens here", landed.Load(), n)
	}
}

// TestFoundBefore plays again what once found a bug.
func TestFoundBefore(t *testing.T) {
	for _, f := range []struct {
		seed    uint64
		actions int
		script  func(uint64, int) []Action
		bug     string
	}{
		{500100, 90, plain, "a replica set shrank and a node's pod was evicted on one view: together they kept none"},
		{500166, 90, plain, "the judge of surges: the wish fell in the middle of a rollout, and one set had not yet asked its pods to go"},
		{601032, 90, plain, "a deployment grew in the middle of a rollout, beside pods that an old set had still to ask to go"},
		{700081, actions, Growing, "a node read what it shall run from a control plane that had lost the lease: a pod of before ran again beside the next of its name"},
		{202233, actions, Script, "a node that was deleted rebooted, heard nobody, and began from its own disk a StatefulSet's pod that ran elsewhere by then"},
		{306913, actions, Script, "the judge of places: DaemonSets' pods, each of a node, were taken for equal ones, so for sooner than others between them"},
		{308456, actions, Script, "a DaemonSet with maxSurge changed again in the middle of a rollout: of a node's two old pods the one that answered had to go"},
		{75, actions, Script, "the judge of budgets counted by the log's clock, who decided by that of a writer which was ahead"},
		{800048, 90, Script, "the judge of what goes back: a run of a pod that begins anew ended and waited in one event"},
	} {
		if r := Simulate(f.seed, f.script(f.seed, f.actions), Plant{}, false); r.Failure != nil {
			t.Errorf("again: %s\n%s", f.bug, Shrink(r, Plant{}, nil).Format())
		}
	}
}

// patience is within how many seeds each planted bug has to be found.
const patience = 300

// TestPlants puts the bugs in, one at a time: a simulator that finds nothing
// proves nothing.
func TestPlants(t *testing.T) {
	told, err := os.ReadFile("../../docs/simulation.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range Plants() {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(string(told), "| "+p.Name+" | "+p.Judge+" |") {
				t.Errorf("docs/simulation.md has no row for it")
			}
			seed, r := hunt(p)
			if seed == 0 {
				t.Fatalf("not found by %q in %d seeds; the last one: %v", p.Judge, patience, r.Failure)
			}
			t.Logf("| %s | %s | %d | %s", p.Name, r.Failure.Judge, seed, r.Failure.What)
		})
	}
}

// hunt is the first seed with which the bug's own judge finds it, 0 when none does.
// What a replica missed also shows in what it decides: with another seed another
// judge may be sooner.
func hunt(p Plant) (uint64, Result) {
	script, r := p.script, Result{}
	if script == nil {
		script = Script
	}
	for seed := uint64(1); seed <= patience; seed++ {
		if r = Simulate(seed, script(seed, actions), p, false); r.Failure != nil && r.Failure.Judge == p.Judge {
			return seed, r
		}
	}
	return 0, r
}

func TestSameSeedSameEvents(t *testing.T) {
	for seed := range uint64(5) {
		a := Simulate(seed, Script(seed, actions), Plant{}, true)
		b := Simulate(seed, Script(seed, actions), Plant{}, true)
		if !reflect.DeepEqual(a.Trace, b.Trace) || len(a.Trace) < actions {
			t.Fatalf("seed %d is played in two ways", seed)
		}
	}
}

func TestShrinkKeepsTheFinding(t *testing.T) {
	var p Plant
	for _, p = range Plants() {
		if p.Judge == "capacity" {
			break
		}
	}
	_, r := hunt(p)
	small := Shrink(r, p, nil)
	if small.Failure == nil || small.Failure.Judge != r.Failure.Judge || len(small.Script) >= len(r.Script) {
		t.Fatalf("%d actions became %d: %v", len(r.Script), len(small.Script), small.Failure)
	}
	for i := range small.Script {
		less := append(append([]Action{}, small.Script[:i]...), small.Script[i+1:]...)
		if s := Simulate(small.Seed, less, p, false); s.Failure != nil && s.Failure.Judge == small.Failure.Judge {
			t.Errorf("%s is not needed", small.Script[i])
		}
	}
	if out := small.Format(); !strings.Contains(out, "FOUND by capacity") || !strings.Contains(out, "pods.assigned") {
		t.Errorf("the trace does not tell: %s", out)
	}
}

// A world that goes on from a log has its objects and nodes, and the same judges
// find nothing in it.
func TestGoingOnFromALog(t *testing.T) {
	for seed := range uint64(8) {
		w := newWorld(seed, Plant{})
		w.found()
		w.play(seed, Script(seed, actions))
		if w.failure != nil {
			t.Fatal(w.failure)
		}
		end := len(w.store.log) - len(w.store.log)*int(seed)/10 // seed 0 has all of it
		for end < len(w.store.log) && w.store.log[end].Type != events.LeaseTaken {
			end++ // not in the middle of an append
		}
		log := w.store.log[:end]
		script := Script(seed+100, actions)
		r := SimulateFrom(log, seed, script, false)
		if r.Failure != nil {
			t.Errorf("%s", Shrink(r, Plant{}, log).Format())
		}
		if r.Events < len(log)+20 {
			t.Errorf("seed %d: only %d events after %d", seed, r.Events-len(log), len(log))
		}
	}
}

// What the judges are made of counts as Kubernetes does.
func TestAmounts(t *testing.T) {
	for s, want := range map[string]int64{"": 0, "250m": 250, "2": 2000} {
		if got := amount(s, true); got != want {
			t.Errorf("%q is %d, not %d", s, got, want)
		}
	}
	if amount("64Mi", false) != 64<<20 || amount("1Gi", false) != 1<<30 || amount("8148020Ki", false) != 8148020<<10 {
		t.Error("bytes")
	}
	var w workload
	read([]byte(`{"spec":{"replicas":5,"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"}}}}`), &w)
	if v := w.version(1); v.surge != 2 || v.away != 1 || v.want != 5 || v.sized != -1 {
		t.Errorf("%+v", v)
	}
}

// Healing is not a matter of luck: without faults, what is applied comes up.
func TestCalmClusterSettles(t *testing.T) {
	w := newWorld(1, Plant{})
	w.found()
	w.person(Action{Kind: "apply", R: 7}, newRand(7))
	w.heal()
	if w.failure != nil {
		t.Fatal(w.failure)
	}
	n := 0
	for o := range w.newest().List(events.Deployments, "") {
		n++
		if o.Tally.Pods == 0 || o.Tally.Ready != o.Tally.Pods {
			t.Errorf("%s: %+v", o.Key, o.Tally)
		}
	}
	if n != 1 || w.newest().Void != 0 || projections.DesiredFor(w.newest(), "n0").Epoch == 0 {
		t.Errorf("%d deployments, %d void", n, w.newest().Void)
	}
}
