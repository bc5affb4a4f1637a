package plan

import (
	"time"

	"github.com/stave-run/stave/events"
)

// Kubernetes' bounds of trying again.
const (
	// FirstBackoff is the wait after a failed pull, and after a second end in a row.
	FirstBackoff = 10 * time.Second
	// MaxBackoff is the longest wait.
	MaxBackoff = 300 * time.Second
	// StableAfter is how long a run lasts that makes the ends before it forgotten.
	StableAfter = 10 * time.Minute
	// FirstMount and MaxMount bound the wait after a volume that could not be made: what it lacks is often made by
	// hand a moment later.
	FirstMount = 500 * time.Millisecond
	MaxMount   = 122 * time.Second
	// OrphanGrace is what containers get of which the log says nothing any more.
	OrphanGrace = 2 * time.Second
	// sidecarGrace is what a sidecar gets though the others have used up all of its pod's time.
	sidecarGrace = 2 * time.Second
)

// Failed is the retry after one more failure.
func (r Retry) Failed(now time.Time, reason, message string) Retry {
	n := r.Failures + 1
	return Retry{Failures: n, Until: now.Add(Backoff(n)), Reason: reason, Message: message}
}

// FailedMount is the retry after one more failure to make a volume.
func (r Retry) FailedMount(now time.Time, message string) Retry {
	r = r.Failed(now, ContainerCreating, message)
	r.Until = now.Add(doubled(r.Failures, FirstMount, MaxMount))
	return r
}

// Backoff is the wait after n failures in a row, from 1: it doubles from FirstBackoff to MaxBackoff.
func Backoff(n int) time.Duration { return doubled(n, FirstBackoff, MaxBackoff) }

func doubled(n int, first, most time.Duration) time.Duration {
	if n <= 0 {
		return 0
	}
	d := first
	for range n - 1 {
		if d *= 2; d >= most {
			return most
		}
	}
	return d
}

// CrashBackoff is the wait before the next run after n ends in a row: the first is forgiven, as Kubernetes does.
func CrashBackoff(n int) time.Duration { return Backoff(n - 1) }

// waits tells whether what is tried again is not due yet.
func (p *planner) waits(r Retry) bool { return p.before(r.Until, MaxBackoff) }

// before tells whether a time is still to come that was at most so far off when it was set. One that is farther off was set under
// a clock that was set back since, and nobody knows how much of it has passed: it is over.
func (p *planner) before(at time.Time, most time.Duration) bool {
	return at.After(p.now) && at.Sub(p.now) <= most
}

// ends counts a run's end: one that lasted begins a new count.
func ends(crashes int, lasted time.Duration) int {
	if lasted >= StableAfter {
		return 1
	}
	return crashes + 1
}

// next is the number of a container's next run.
func (p *planner) next(name string) int { return p.newest(name) + 1 }

// newest is the number of a container's newest run, 0 before the first. The log's count holds when the node lost its own.
func (p *planner) newest(name string) int {
	here, _ := p.o.Newest(name)
	return max(here.Run, p.o.Known[name].Run, p.row.Runs[name])
}

// wait tells once why the next run waits, and wakes at the end of it; a zero until waits for another row.
func (p *planner) wait(name, reason, message string, until time.Time) {
	f := events.Fact{Kind: events.FactBackoff, Container: name, Run: p.next(name), Reason: reason, Message: message, Until: until}
	if p.o.Known[name].Waiting != waiting(f) {
		p.report(f)
	}
	if !until.IsZero() {
		p.wake(until)
	}
}
