package sim

import "github.com/stave-run/stave/events"

// Shrink leaves out actions, one by one and as long as that helps, until what
// is left fails by the same judge and nothing more can be left out.
// A log is what the world began with, nil for none.
func Shrink(r Result, p Plant, log []events.Envelope) Result {
	simulate := func(script []Action, trace bool) Result {
		if log != nil {
			return SimulateFrom(log, r.Seed, script, trace)
		}
		return Simulate(r.Seed, script, p, trace)
	}
	for again := true; again; {
		again = false
		for i := len(r.Script) - 1; i >= 0; i-- {
			less := append(append([]Action{}, r.Script[:i]...), r.Script[i+1:]...)
			if s := simulate(less, false); s.Failure != nil && s.Failure.Judge == r.Failure.Judge {
				r, again = s, true
			}
		}
	}
	return simulate(r.Script, true)
}
