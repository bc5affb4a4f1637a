package sim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Action is one line of a script: after a while, somebody does something or
// something breaks. R draws its particulars, so that a script with lines left
// out does the same with those that are left.
type Action struct {
	Kind  string
	After time.Duration
	R     uint64
}

// String is the action for people.
func (a Action) String() string { return fmt.Sprintf("after %s %s %x", a.After, a.Kind, a.R) }

// weights are how often each kind of action is drawn.
var weights = []struct {
	kind   string
	weight int
}{
	{"apply", 16}, {"scale", 12}, {"image", 20}, {"delete", 4}, {"delete-namespace", 2}, {"delete-pod", 6}, {"pod", 4}, {"replica-set", 1},
	{"kill-replica", 4}, {"pause-replica", 5}, {"cut-replica", 4}, {"mend-replica", 8}, {"takeover", 5},
	{"cut-node", 5}, {"pause-node", 4}, {"kill-agent", 4}, {"reboot", 2}, {"delete-node", 2}, {"mend-node", 12}, {"crash", 10}, {"wait", 8},
}

// rare are actions that take the place of others now and then.
var rare = []string{"skew-replica", "upgrade", "upgrade", "cut", "cut"}

// rarity is how many actions come to one of them.
const rarity = 9

// Script draws n actions, rare ones among them, and with them changes of many
// objects at once and apps whose pods have rules about each other.
func Script(seed uint64, n int) []Action {
	out := plain(seed, n)
	rng := rand.New(rand.NewPCG(seed, 6))
	for i := range out {
		if i > 0 && rng.IntN(rarity) == 0 {
			out[i].Kind = rare[rng.IntN(len(rare))]
		}
	}
	out = inserted(out, "many", 1+n/50, rand.New(rand.NewPCG(seed, 5)))
	out = inserted(out, "place", n/8, rand.New(rand.NewPCG(seed, 7)))
	out = inserted(out, "keep", n/6, rand.New(rand.NewPCG(seed, 8)))
	out = inserted(out, "evict", n/12, rand.New(rand.NewPCG(seed, 9)))
	out = inserted(out, "task", n/8, rand.New(rand.NewPCG(seed, 10)))
	out = inserted(out, "urgent", n/8, rand.New(rand.NewPCG(seed, 11)))
	out = inserted(out, "crew", n/8, rand.New(rand.NewPCG(seed, 12)))
	out = inserted(out, "daemon", n/6, rand.New(rand.NewPCG(seed, 13)))
	return inserted(out, "resize", n/8, rand.New(rand.NewPCG(seed, 14)))
}

// Storing is Script with people who keep data: claims, and pods that use them. They are apart, so that the seeds of all else go on
// meaning the same.
func Storing(seed uint64, n int) []Action {
	return inserted(Script(seed, n), "store", n/5, rand.New(rand.NewPCG(seed, 14)))
}

// Timing is Script with people who have CronJobs.
func Timing(seed uint64, n int) []Action {
	return inserted(Script(seed, n), "timer", n/4, rand.New(rand.NewPCG(seed, 15)))
}

// Sharing is Script with people who share a namespace that is rationed, and who ask at the same time.
func Sharing(seed uint64, n int) []Action {
	out := inserted(Script(seed, n), "ration", n/4, rand.New(rand.NewPCG(seed, 16)))
	return inserted(out, "crowd", n/3, rand.New(rand.NewPCG(seed, 17)))
}

// Growing is Script with an autoscaler, and a load that changes.
func Growing(seed uint64, n int) []Action {
	return inserted(Script(seed, n), "grow", n/2, rand.New(rand.NewPCG(seed, 18)))
}

// Straining is Script with people who write numbers at the ends of their types, have very many of a kind, and change rules in flight.
func Straining(seed uint64, n int) []Action {
	return inserted(Script(seed, n), "strain", n/2, rand.New(rand.NewPCG(seed, 19)))
}

// Scripts are what there is to play, by name.
func Scripts() map[string]func(seed uint64, n int) []Action {
	return map[string]func(uint64, int) []Action{"script": Script, "storing": Storing, "timing": Timing, "sharing": Sharing, "growing": Growing, "straining": Straining}
}

// inserted is a script with more actions of a kind somewhere in it.
func inserted(out []Action, kind string, n int, rng *rand.Rand) []Action {
	for range n {
		at := 1 + rng.IntN(len(out))
		more := Action{Kind: kind, After: time.Duration(rng.IntN(8)) * time.Second, R: rng.Uint64()}
		out = append(out[:at], append([]Action{more}, out[at:]...)...)
	}
	return out
}

// plain draws n actions as they were drawn before there were changes of many: the
// seeds of old findings go on meaning the same.
func plain(seed uint64, n int) []Action {
	rng := rand.New(rand.NewPCG(seed, 2))
	total := 0
	for _, x := range weights {
		total += x.weight
	}
	out := make([]Action, n)
	for i := range out {
		pick := rng.IntN(total)
		for _, x := range weights {
			if pick -= x.weight; pick < 0 {
				out[i].Kind = x.kind
				break
			}
		}
		out[i].After, out[i].R = time.Duration(rng.IntN(16))*time.Second, rng.Uint64()
		if out[i].Kind == "wait" {
			out[i].After = time.Duration(20+rng.IntN(400)) * time.Second
		}
	}
	out[0].Kind = "apply"
	return out
}

// perform does an action and then gives everybody some turns.
func (w *World) perform(a Action) {
	w.rng = rand.New(rand.NewPCG(a.R, 4))
	for left := a.After; left > 0 && w.failure == nil; left -= beat {
		w.tick()
		for range 1 + w.rng.IntN(3) {
			w.round()
		}
	}
	w.note("-- %s", a.Kind)
	rng := newRand(a.R)
	if !w.person(a, rng) {
		w.trouble(a, rng)
	}
	for range w.rng.IntN(8) {
		if w.failure == nil {
			w.round()
		}
	}
}

// trouble breaks something, or mends it.
func (w *World) trouble(a Action, rng *rand.Rand) {
	r, n := w.replicas[rng.IntN(len(w.replicas))], w.nodes[rng.IntN(len(w.nodes))]
	spell := time.Duration(rng.IntN(90)) * time.Second
	switch a.Kind {
	case "kill-replica":
		r.kill()
	case "pause-replica":
		r.until = w.now.Add(spell)
	case "cut-replica":
		r.cut = true
	case "mend-replica":
		for _, r := range w.replicas {
			r.mend()
		}
	case "takeover":
		if r.able() && !r.holds() {
			r.lead()
		}
	case "skew-replica":
		r.skew = time.Duration(rng.IntN(120)-60) * time.Second
	case "upgrade": // or back: whichever this one does not run
		r.kill()
		r.newer = !r.newer
		r.boot()
	case "cut":
		w.cut(rng)
	case "cut-node":
		n.cut = true
	case "pause-node":
		n.until = w.now.Add(spell)
	case "kill-agent":
		n.up = false
	case "reboot":
		n.reboot()
	case "mend-node":
		for _, n := range w.nodes {
			n.mend()
		}
	case "crash":
		if len(n.pods) > 0 {
			n.crash(n.pods[rng.IntN(len(n.pods))], rng.IntN(3), rng.IntN(3) == 0)
		}
	}
}

func (r *replica) mend() {
	r.cut, r.until = false, time.Time{}
	if !r.alive {
		r.boot()
	}
}

func (n *node) mend() {
	n.cut, n.until = false, time.Time{}
	if !n.up {
		n.restart()
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 3)) }
