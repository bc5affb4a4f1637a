package schedule

import (
	"cmp"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// A pod that no node takes may have less important ones go, as in Kubernetes: of the
// nodes where that would help the one is taken where budgets hold, the victims are the
// least important, and few. The pod's verdict names the node until it is there, and
// what it needs is kept for it: nobody less important gets the room that is made.

// The bounds of what is looked at, so that others wait for a moment only.
const (
	// maxOffers is how many nodes that would do are compared for one pod.
	maxOffers = 100
	// maxTried is how many are looked at closely for a pod that minds where others
	// are: each look counts pods anew.
	maxTried = 16
	// maxSearches is for how many pods one pass looks, and for how many classes of them: the others have their turn later.
	maxSearches = 50
	// turn is how long some have the turn to look, where there are so many that wait.
	turn = time.Second
)

// room is what a pass knows of pods that may have to go.
type room struct {
	tenants  map[string][]*tenant // by node: all that hold room there, the most important first
	allowed  map[events.Key]int32 // by budget: how many more may go
	below    bool                 // a class of pods has a priority below 0
	budgets  bool                 // there are any
	searches int                  // for so many pods
	found    bool                 // somebody has to go for one of them
}

// tenant is a pod on a node.
type tenant struct {
	o        *projections.Object
	priority int32
	usage    projections.Usage
	ports    []port
	going    bool // it is to go already, of itself or for somebody
	budgets  []*projections.Object
}

// offer is a node with those that have to go from it.
type offer struct {
	n       *node
	victims []*tenant
	broken  int // budgets that do not allow it
}

// conclude makes room for pods that no node takes, and tells all of them why they wait.
func (p *pass) conclude(pods []*projections.Object, w *wants, c *claims, reasons []events.Reason) bool {
	spec := pods[0].PodSpec()
	if w.node != "" {
		return p.reject(pods, w, reasons)
	}
	if !p.mayPreempt(spec) {
		return p.refuse(pods, reasons)
	}
	var rest []*projections.Object
	for _, o := range pods { // what was promised before comes first
		n, promised := p.promised(o, w)
		if !promised {
			rest = append(rest, o)
			continue
		}
		p.keep(n, w)
		if !p.refuse([]*projections.Object{o}, nominate(reasons, n)) {
			return false
		}
	}
	for i, o := range rest {
		switch spent := p.room.searches >= maxSearches; {
		case spent && p.room.found:
			return false
		case spent || !w.looks:
			p.later()
			return p.refuse(rest[i:], reasons)
		}
		p.room.searches++
		best, ok := p.search(o, w, c)
		if !ok {
			return p.refuse(rest[i:], reasons) // the others are no different
		}
		if p.steps > 0 && p.steps+len(best.victims)+1 > maxSteps {
			return false
		}
		best.victims = best.victims[max(0, len(best.victims)+1-maxSteps):] // the least important first; the others when these are on their way
		p.preempt(o, best)
		p.keep(best.n, w)
		if !p.refuse([]*projections.Object{o}, nominate(reasons, best.n)) {
			return false
		}
	}
	return true
}

func nominate(reasons []events.Reason, n *node) []events.Reason {
	return append(slices.Clone(reasons), events.Reason{Code: projections.Preempting, About: n.key, What: n.name, Said: "pods of lower priority make room"})
}

// mayPreempt tells whether pods can be less important than this one, and it may have them go.
func (p *pass) mayPreempt(spec *corev1.PodSpec) bool {
	if p.room == nil {
		p.room = &room{tenants: map[string][]*tenant{}, allowed: map[events.Key]int32{}}
		for _, c := range p.v.PriorityClasses() {
			p.room.below = p.room.below || c.Value < 0
		}
		for range p.v.List(events.Budgets, "") {
			p.room.budgets = true
			break
		}
	}
	if policy := spec.PreemptionPolicy; policy != nil && *policy == corev1.PreemptNever {
		return false
	}
	return projections.PriorityOf(spec) > 0 || p.room.below
}

// on are the tenants of a node.
func (p *pass) on(n *node) []*tenant {
	if known, ok := p.room.tenants[n.name]; ok {
		return known
	}
	var out []*tenant
	for row := range p.v.PodsOn(n.name) {
		o, ok := p.v.Get(row.Key)
		if !ok || !row.Holds(o) {
			continue
		}
		spec := o.PodSpec()
		t := &tenant{o: o, priority: projections.PriorityOf(spec), usage: row.Claims(spec), ports: portsOf(spec, ""), going: o.Deletion != nil}
		if p.room.budgets {
			t.budgets = p.v.BudgetsOf(o)
		}
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *tenant) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.o.Created.Seq, b.o.Created.Seq))
	})
	p.room.tenants[n.name] = out
	return out
}

// promised is the node where room is being made for a pod since an earlier pass, if
// somebody less important still goes there and it will be enough.
func (p *pass) promised(o *projections.Object, w *wants) (*node, bool) {
	place, ok := p.atlas.find(p.v.Nominated(o))
	if !ok {
		return nil, false
	}
	n := p.atlas.nodes[place]
	if w.repelled(n).code != "" || !w.suits(n) {
		return nil, false
	}
	var going []*tenant
	for _, t := range p.on(n) {
		if t.going && t.priority < projections.PriorityOf(o.PodSpec()) {
			going = append(going, t)
		}
	}
	return n, len(going) > 0 && w.fits(n, going, p.on(n))
}

// fits tells whether a pod has room on a node when those that go, and those that were
// to go before, are gone.
func (w *wants) fits(n *node, gone []*tenant, all []*tenant) bool {
	used := n.used
	for _, t := range gone {
		used = used.Add(t.usage, -1)
	}
	return w.within(n, used) && (len(w.ports) == 0 || !w.clash(n, gone, all))
}

// within tells whether a node of which so much is used has room for the pod.
func (w *wants) within(n *node, used projections.Usage) bool {
	then := *n
	then.used = used
	what, _, _ := then.lacks(w.usage)
	return what == ""
}

// clash tells whether somebody who stays holds a port that the pod asks for.
func (w *wants) clash(n *node, gone, all []*tenant) bool {
	clashes := func(held []port) bool {
		return slices.ContainsFunc(held, func(h port) bool { return slices.ContainsFunc(w.ports, h.clashes) })
	}
	for _, t := range all {
		if !slices.Contains(gone, t) && clashes(t.ports) {
			return true
		}
	}
	for _, o := range n.given {
		if clashes(portsOf(o.PodSpec(), "")) {
			return true
		}
	}
	return clashes(n.kept)
}

// search is the best node for a pod, with those that have to go.
func (p *pass) search(o *projections.Object, w *wants, c *claims) (offer, bool) {
	var plain, picky []offer // where the pod's claims hold as it is, and where they do not
	for _, n := range p.atlas.open(w) {
		if len(plain) == maxOffers {
			break
		}
		if w.repelled(n).code != "" || !w.suits(n) {
			continue
		}
		x, ok := p.offerOf(n, o, w, nil)
		switch {
		case !ok:
		case c.refuses(n.place, both).code == "":
			plain = append(plain, x)
		default:
			picky = append(picky, x)
		}
	}
	slices.SortFunc(plain, better)
	for i, x := range plain {
		if c == nil || i < maxTried && p.holds(o, w, x) {
			return x, true
		}
	}
	var out []offer
	for _, x := range picky[:min(len(picky), maxTried)] {
		if closer, ok := p.offerOf(x.n, o, w, p.holds); ok {
			out = append(out, closer)
		}
	}
	if len(out) == 0 {
		return offer{}, false
	}
	return slices.MinFunc(out, better), true
}

// holds tells whether what a pod asks of where others are holds on a node when its
// victims are gone.
func (p *pass) holds(o *projections.Object, w *wants, x offer) bool {
	v := p.v
	for _, t := range x.victims {
		v = v.Without(t.o, x.n.name)
	}
	return claimsOf(v, p.atlas, o, w).refuses(x.n.place, both).code == ""
}

// offerOf are the fewest that have to go from a node for a pod: of all that are less
// important those stay that may, first those whose budgets do not let them go, and
// among them the most important. also is asked besides, when it is not nil.
func (p *pass) offerOf(n *node, o *projections.Object, w *wants, also func(*projections.Object, *wants, offer) bool) (offer, bool) {
	all := p.on(n)
	var gone, may []*tenant
	for _, t := range all {
		if t.priority < projections.PriorityOf(o.PodSpec()) {
			if gone = append(gone, t); !t.going {
				may = append(may, t)
			}
		}
	}
	used := n.used
	for _, t := range gone {
		used = used.Add(t.usage, -1)
	}
	enough := func(gone []*tenant, used projections.Usage) bool {
		return w.within(n, used) && (len(w.ports) == 0 || !w.clash(n, gone, all)) && (also == nil || also(o, w, offer{n: n, victims: gone}))
	}
	if len(gone) == 0 || !enough(gone, used) {
		return offer{}, false
	}
	broken := p.broken(may)
	slices.SortStableFunc(may, func(a, b *tenant) int { return cmp.Compare(asOne(broken[b]), asOne(broken[a])) })
	x := offer{n: n}
	for _, t := range may {
		without, with := gone, used.Add(t.usage, +1)
		if also != nil || len(w.ports) > 0 { // else numbers say it all
			without = slices.DeleteFunc(slices.Clone(gone), func(g *tenant) bool { return g == t })
		}
		if enough(without, with) {
			gone, used = without, with
			continue
		}
		x.victims = append(x.victims, t)
		x.broken += asOne(broken[t])
	}
	return x, true
}

// asOne is 1 for yes, for sums and orders.
func asOne(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// broken are those whose going a budget does not allow when all before them go too.
func (p *pass) broken(may []*tenant) map[*tenant]bool {
	out := map[*tenant]bool{}
	left := maps.Clone(p.room.allowed)
	for _, t := range may {
		for _, b := range t.budgets {
			n, known := left[b.Key]
			if !known {
				n = p.v.BudgetStatus(b).DisruptionsAllowed
				p.room.allowed[b.Key] = n
			}
			left[b.Key] = n - 1
			out[t] = out[t] || n <= 0
		}
	}
	return out
}

// better orders offers as Kubernetes does: fewer broken budgets, less important
// victims, fewer of them, younger ones.
func better(a, b offer) int {
	most := func(x offer) int64 {
		m := int64(-1) << 32
		for _, t := range x.victims {
			m = max(m, int64(t.priority))
		}
		return m
	}
	sum := func(x offer) (s int64) {
		for _, t := range x.victims {
			s += int64(t.priority) + 1<<31
		}
		return s
	}
	born := func(x offer) (s events.Seq) {
		for _, t := range x.victims {
			s = max(s, t.o.Created.Seq)
		}
		return s
	}
	return cmp.Or(cmp.Compare(a.broken, b.broken), cmp.Compare(most(a), most(b)), cmp.Compare(sum(a), sum(b)),
		cmp.Compare(len(a.victims), len(b.victims)), cmp.Compare(born(b), born(a)), cmp.Compare(a.n.name, b.n.name))
}

// looks tells whether the i-th of so many classes has its turn to look for room: all have where they are few.
func looks(i, classes int, now time.Time) bool {
	if classes <= maxSearches {
		return true
	}
	first := int(now.UnixNano()/int64(turn)%int64(classes)) * maxSearches % classes
	return (i-first+classes)%classes < maxSearches
}

// later has those look whose turn comes next, until all have looked at the cluster as it is.
func (p *pass) later() {
	round := 2 * turn * time.Duration(1+p.classes/maxSearches)
	if p.now.Sub(p.v.Time) < round {
		p.d.Wake(p.now.Truncate(turn).Add(turn))
	}
}

// preempt asks the victims to go.
func (p *pass) preempt(o *projections.Object, x offer) {
	for _, t := range x.victims {
		p.steps++
		p.room.found = true
		t.going = true
		for _, b := range t.budgets {
			p.room.allowed[b.Key]--
		}
		p.d.Events = append(p.d.Events, reconcilers.RequestDeletion(t.o, events.DeletionRequested{Grace: reconcilers.GraceOf(t.o), For: events.Ref{Key: o.Key, UID: o.UID}}))
	}
}

// keep keeps room on a node for a pod that waits for it. The pod does not count as being there yet: others must not lean on it
// to be evenly spread, as it may never come.
func (p *pass) keep(n *node, w *wants) {
	n.used = n.used.Add(w.usage, +1)
	n.kept = append(n.kept, w.ports...)
}
