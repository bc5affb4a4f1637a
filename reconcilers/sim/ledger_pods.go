package sim

import (
	"slices"
	"time"

	"github.com/stave-run/stave/events"
)

func (l *ledger) assign(e events.Envelope, node string) bool {
	var b events.Assigned
	read(e.Body, &b)
	for _, r := range b.Pods {
		if p := l.pods[r.UID]; p != nil && !p.removed && p.node == "" {
			p.node, p.assigned = node, e.Seq
		}
	}
	return true
}

func (l *ledger) seen(e events.Envelope, node string) {
	var b events.Seen
	read(e.Body, &b)
	if b.Node != nil {
		l.nodes[node] = room{amount(b.Node.Allocatable["cpu"], true), amount(b.Node.Allocatable["memory"], false), amount(b.Node.Allocatable["pods"], false)}
	}
	for _, s := range b.Pods {
		p := l.pods[s.UID]
		if p == nil || p.removed || p.node != node || p.assigned != s.Assigned {
			continue
		}
		for _, f := range s.Facts {
			p.fact(f)
		}
		p.settle(e.Seq, e.Time)
		p.ends(e.Seq)
		l.fateOf(p, "")
	}
}

// goesOn is the cluster's time with an event: the log's, or that of who wrote it, if that is ahead; it never runs back.
func (l *ledger) goesOn(e events.Envelope) time.Time {
	if e.Time.After(l.time) {
		l.time = e.Time
	}
	if decided := e.Epoch != 0 && e.Type != events.LeaseTaken && e.Subject.Class() != "seen"; decided && e.Now.After(l.time) {
		l.time = e.Now
	}
	return l.time
}

// heard notes what was reported of a node's silence.
func (l *ledger) heard(e events.Envelope, node string) {
	if e.Type != events.TypeOf(events.Nodes, events.VerbStatus) {
		return
	}
	var b events.NodeReported
	read(e.Body, &b)
	if o := l.objects[events.Key{Resource: events.Nodes, Name: node}]; o != nil && o.uid == b.UID {
		l.silent[node] = append(l.silent[node], turn{e.Seq, !b.Ready, e.Time})
	}
}

// silentAt tells whether a node was known to be silent.
func (l *ledger) silentAt(node string, at events.Seq) bool { return last(l.silent[node], at).yes }

// last is the newest turn up to a sequence.
func last(turns []turn, at events.Seq) turn {
	for i := len(turns) - 1; i >= 0; i-- {
		if turns[i].seq <= at {
			return turns[i]
		}
	}
	return turn{}
}

func (p *life) fact(f events.Fact) {
	c := f.Container
	if f.Run < p.run[c] {
		return
	}
	switch f.Kind {
	case events.FactResized:
		if events.Seq(f.Count) == p.sizes.grant {
			p.sizes.held = room{}
		}
	case events.FactStopped:
		p.stopped = true
	case events.FactStarted:
		if f.Run > p.run[c] {
			p.run[c], p.exited[c], p.answers[c] = f.Run, false, false
		}
	case events.FactExited, events.FactNotStarted:
		p.run[c], p.exited[c], p.answers[c], p.codes[c] = f.Run, true, false, f.Code
	case events.FactReady:
		p.answers[c] = f.Run == p.run[c] && !p.exited[c]
	case events.FactUnready:
		p.answers[c] = false
	}
}

func (p *life) settle(seq events.Seq, now time.Time) {
	yes := !p.stopped
	for _, c := range p.names {
		yes = yes && p.answers[c]
	}
	if yes != p.readyAt(seq) {
		p.ready = append(p.ready, turn{seq, yes, now})
	}
}

func (p *life) readyAt(at events.Seq) bool { return last(p.ready, at).yes }

// ripeAt tells whether the pod was ready for so many seconds then, and known to
// be: the return of a silent node begins the count anew, as with Kubernetes.
func (l *ledger) ripeAt(p *life, at events.Seq, now time.Time, seconds int) bool {
	ready, node := last(p.ready, at), last(l.silent[p.node], at)
	since := ready.at
	if node.at.After(since) {
		since = node.at
	}
	return ready.yes && !node.yes && !now.Before(since.Add(time.Duration(seconds)*time.Second))
}

// habit is what a container says of its restarts.
type habit struct {
	policy string
	again  []int // codes after which it begins again whatever its policy says
}

type podBox struct {
	Name      string `json:"name"`
	Image     string `json:"image"`
	Resources struct {
		Requests map[string]string `json:"requests"`
	} `json:"resources"`
	RestartPolicy      string `json:"restartPolicy"`
	RestartPolicyRules []struct {
		ExitCodes struct {
			Values []int `json:"values"`
		} `json:"exitCodes"`
	} `json:"restartPolicyRules"`
}

// habit reads what a container says of its restarts: people here write rules of codes that begin it again.
func (b *podBox) habit(pod string) habit {
	h := habit{policy: pod}
	if b.RestartPolicy != "" {
		h.policy = b.RestartPolicy
	}
	for _, r := range b.RestartPolicyRules {
		h.again = append(h.again, r.ExitCodes.Values...)
	}
	return h
}

// over tells whether nothing of the pod runs or will run again.
func (p *life) over() bool {
	if p.stopped || p.removed {
		return true
	}
	for _, c := range p.names {
		if !p.exited[c] || p.habits[c].goesOn(p.codes[c]) {
			return false
		}
	}
	return len(p.names) > 0
}

// goesOn tells whether a container begins again after a code.
func (h habit) goesOn(code int) bool {
	return h.policy == "Always" || h.policy == "" || h.policy == "OnFailure" && code != 0 || slices.Contains(h.again, code)
}

// counts tells whether a pod counts towards its set's size.
func (p *life) counts() bool { return p.deleted == 0 && !p.over() }

// used is what the pods of a node take.
func (l *ledger) used(node string) room {
	var u room
	for _, p := range l.order {
		if p.node == node && !p.over() {
			r := p.sizes.may.larger(p.sizes.held)
			u.milli, u.bytes, u.pods = u.milli+r.milli, u.bytes+r.bytes, u.pods+1
		}
	}
	return u
}

// at is what an object was when a decision looked at it.
func (o *entry) at(seq events.Seq) (version, bool) {
	for i := len(o.versions) - 1; i >= 0; i-- {
		if o.versions[i].seq <= seq {
			return o.versions[i], true
		}
	}
	return version{}, false
}
