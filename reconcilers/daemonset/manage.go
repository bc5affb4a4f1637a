package daemonset

import (
	"strconv"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// The pause after a pod that failed as a whole: none after the first, then failBase,
// and after each further one in a row twice as long, up to failMax. One that failed
// after more than calm begins a new row.
const (
	failBase = time.Second
	failMax  = 15 * time.Minute
	calm     = 2 * failMax
)

// failuresAnnotation counts the pods in a row that failed on a node before this one:
// they are gone when the next one fails.
const failuresAnnotation = "stave.run/failed-before"

// manage gives nodes the pods that they lack and takes away those that they have too many.
func (p *pass) manage() {
	for _, at := range p.places {
		if !p.tend(at) {
			return
		}
	}
	if p.desk == nil {
		p.cleared() // nobody lacks a pod
	}
}

// tend is manage for one node; false when the pass is full.
func (p *pass) tend(at *place) bool {
	switch {
	case at.run && len(at.pods) == 0:
		return p.create(at, 0)
	case !at.stay:
		return p.clear(at.pods)
	}
	live, ok := p.bury(at)
	switch {
	case !ok:
		return false
	case p.surges():
		return p.pair(at, p.firstWhoAnswer(live))
	case len(live) > 1:
		return p.clear(p.firstWhoAnswer(live)[1:]) // the oldest that answers stays
	}
	return true
}

// firstWhoAnswer are the pods of a node, those before the others that answer.
func (p *pass) firstWhoAnswer(pods []projections.Daemon) []projections.Daemon {
	if len(pods) < 2 {
		return pods // as nearly everywhere: nobody need look
	}
	var answer, rest []projections.Daemon
	for _, d := range pods {
		if p.ready(d) {
			answer = append(answer, d)
		} else {
			rest = append(rest, d)
		}
	}
	return append(answer, rest...)
}

// clear asks pods to go that are not going already.
func (p *pass) clear(pods []projections.Daemon) bool {
	for _, d := range pods {
		if !d.Leaving() && !p.remove(d) {
			return false
		}
	}
	return true
}

// bury replaces the pods of a node that came to an end, and gives back those that
// did not. Pods that leave are none of them: the next one comes when they are gone.
func (p *pass) bury(at *place) (live []projections.Daemon, ok bool) {
	leaving := false
	var dead []projections.Daemon
	for _, d := range at.pods {
		switch {
		case d.Leaving():
			leaving = true
		case d.Over():
			dead = append(dead, d)
		case d.SaidFailed(): // it runs still, as far as its node says: the next one waits for its end
			if leaving = true; !p.remove(d) {
				return nil, false
			}
		default:
			live = append(live, d)
		}
	}
	for i, d := range dead {
		failures, until := p.row(d)
		if until.After(p.now) {
			p.d.Wake(until)
			p.because(events.Reason{Code: "BackOff", About: d.Object.Key, What: "pods on " + at.name, Have: strconv.Itoa(failures) + " failed",
				Need: "until " + until.UTC().Format(time.RFC3339)})
			continue
		}
		// The next one knows how often it went wrong, so it has to come with the end of this one.
		if next := at.run && len(live) == 0 && !leaving && i == len(dead)-1; next && !p.create(at, failures) {
			return live, false
		} else if next && p.shut {
			continue
		}
		if !p.remove(d) {
			return live, false
		}
	}
	return live, true
}

// row is how many pods in a row have come to their end on a node with this one, and until when the next one waits.
func (p *pass) row(d projections.Daemon) (failures int, until time.Time) {
	at, over := d.Pod.OverAt(d.Object)
	if !over {
		return 0, time.Time{}
	}
	before, err := strconv.Atoi(d.Object.PodAnnotations()[failuresAnnotation])
	if err != nil || before < 0 || at.Sub(d.Object.Created.Time) > calm {
		before = 0
	}
	if before == 0 {
		return 1, time.Time{}
	}
	return before + 1, at.Add(min(failBase<<min(before-1, 20), failMax))
}

// pair keeps at most an old pod that answers and a new one that does not yet; of several of a kind the first.
func (p *pass) pair(at *place, live []projections.Daemon) bool {
	var fresh, old *projections.Daemon
	for i := range live {
		d := &live[i]
		switch present := p.present(*d); {
		case present && fresh == nil:
			fresh = d
		case !present && old == nil:
			old = d
		case !p.remove(*d):
			return false
		}
	}
	switch {
	case fresh == nil && old == nil && at.run && len(at.pods) > 0 && p.vacant(at):
		return p.create(at, 0) // beside one that leaves
	case fresh != nil && old != nil && (!p.ready(*old) || p.available(*fresh)):
		return p.remove(*old)
	}
	return true
}

// vacant tells whether all that a node has is leaving.
func (p *pass) vacant(at *place) bool {
	for _, d := range at.pods {
		if !d.Leaving() {
			return false
		}
	}
	return true
}

func (p *pass) ready(d projections.Daemon) bool {
	yes, next := p.v.AvailableAt(d.Object, d.Pod, 0, p.now)
	return yes || !next.IsZero()
}

// available tells whether a pod has been ready for long enough; if only time lacks, it is looked at again.
func (p *pass) available(d projections.Daemon) bool {
	yes, next := p.v.AvailableAt(d.Object, d.Pod, time.Duration(p.ds.Spec.MinReadySeconds)*time.Second, p.now)
	p.d.Wake(next)
	return yes
}

func (p *pass) because(r events.Reason) { p.d.Because = append(p.d.Because, r) }
