package sim

// Shrink leaves out actions, one by one and as long as that helps, until what
// is left fails by the same judge and nothing more can be left out.
func Shrink(r Result, p Plant) Result {
	for again := true; again; {
		again = false
		for i := len(r.Script) - 1; i >= 0; i-- {
			less := append(append([]Action{}, r.Script[:i]...), r.Script[i+1:]...)
			if s := Simulate(r.Seed, less, p, false); s.Failure != nil && s.Failure.Judge == r.Failure.Judge {
				r, again = s, true
			}
		}
	}
	return Simulate(r.Seed, r.Script, p, true)
}
