package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	books "github.com/stave-run/stave/node/ledger"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
)

// node is a machine whose agent obeys node/plan. What its pods' observations
// say of containers is the truth: they run also while the agent is dead.
type node struct {
	w     *World
	name  string
	ip    string
	up    bool // the agent lives
	cut   bool
	until time.Time // paused
	skew  time.Duration
	pods  []*pod // by uid

	reads books.Reading // as in the agent's feed

	// condemned are the directories that shall go.
	condemned map[events.UID]projections.ErasedVolume

	kept []piece // what was told, until it is durable
	sent int     // how many of kept are told
	next int     // number of addresses given out
}

// pod is one pod as a node has it: an agent's worker and its record.
type pod struct {
	uid  events.UID
	key  events.Key
	row  *projections.DesiredPod
	told *projections.DesiredPod // the last row: facts name its assignment
	obs  plan.Observed
	busy time.Time // an operation takes until then
	wake time.Time
	look bool // something changed since the last plan
	// adopted says that the pod is older than the agent's present life.
	adopted bool
}

// piece is one entry of the journal; seq is where it landed, 0 before.
type piece struct {
	seen   events.PodSeen
	volume *events.VolumeSeen // instead, of the directory of a volume
	seq    events.Seq
}

func (n *node) able() bool { return n.up && !n.w.now.Before(n.until) }

// clock is what the machine believes.
func (n *node) clock() time.Time { return n.w.now.Add(n.skew) }

func (n *node) pod(uid events.UID) *pod {
	i := slices.IndexFunc(n.pods, func(p *pod) bool { return p.uid == uid })
	if i < 0 {
		return nil
	}
	return n.pods[i]
}

// want gives a worker its row, making it when there is none.
func (n *node) want(row *projections.DesiredPod) {
	p := n.pod(row.UID)
	if p == nil {
		k := events.Key{Resource: events.Pods, Namespace: row.Pod.Namespace, Name: row.Pod.Name}
		p = &pod{uid: row.UID, key: k}
		n.pods = append(n.pods, p)
		slices.SortFunc(n.pods, func(a, b *pod) int { return strings.Compare(string(a.uid), string(b.uid)) })
	}
	if n.w.base > 0 {
		row = unprobed(row)
	}
	p.row, p.told, p.look = row, row, true
}

// receive applies a message by the rules of the agent's feed.
func (n *node) receive(l letter) {
	if b := l.beacon; b != nil {
		n.reads.Beacon(*b, n.name)
		if n.w.plant.deafNodes {
			n.reads.Stale = n.reads.Stale && n.reads.At == 0
		}
		n.settle(b.Durable)
		return
	}
	m := *l.rows
	if n.w.plant.deafNodes {
		m.Prev, m.Epoch = 0, n.reads.Epoch
	}
	if !n.reads.Take(m) {
		return
	}
	for i := range m.Pods {
		n.want(&m.Pods[i])
	}
	for _, ref := range m.Gone {
		n.drop(ref.UID)
	}
	n.erase(m.Erase)
}

// unheard says that the agent was told nothing since it began.
func (n *node) unheard() bool { return n.reads.At == 0 }

func (n *node) drop(uid events.UID) {
	if p := n.pod(uid); p != nil {
		p.row, p.look = nil, true
	}
}

// fetch reads the whole set from a replica that believes that it holds the
// lease: maybe one that was deposed.
func (n *node) fetch() bool {
	from := n.w.leaders()
	if !n.reads.Stale || n.cut || len(from) == 0 {
		return false
	}
	r := from[n.w.rng.IntN(len(from))]
	r.feeder.flush()
	set := projections.DesiredFor(r.view, n.name)
	if n.reads.Behind(set, n.clock()) {
		return false
	}
	for _, p := range n.pods {
		if !slices.ContainsFunc(set.Pods, func(d projections.DesiredPod) bool { return d.UID == p.uid }) {
			p.row, p.look = nil, true
		}
	}
	for i := range set.Pods {
		n.want(&set.Pods[i])
	}
	n.erase(set.Erase)
	if set.Epoch != n.reads.Epoch {
		n.sent = 0 // a new writer may not have what was said last: it is said again
	}
	n.reads.Whole(set)
	return true
}

// turn does what the agent has to do next; false when nothing.
func (n *node) turn() bool {
	if !n.able() {
		return false
	}
	did := n.fetch()
	for _, p := range slices.Clone(n.pods) {
		for range 1 + n.w.rng.IntN(6) {
			if !n.work(p) {
				break
			}
			did = true
		}
	}
	return n.clear() || n.flush() || did
}

// work does the first operation that the plan has for a pod.
func (n *node) work(p *pod) bool {
	now := n.clock()
	if n.w.now.Before(p.busy) || !p.look && (p.wake.IsZero() || p.wake.After(now)) {
		return false
	}
	p.obs.Evidence = slices.ContainsFunc(n.kept, func(k piece) bool { return k.seen.UID == p.uid })
	p.obs = p.obs.Hear(p.row, now)
	seen := p.obs
	if n.w.plant.forget && p.adopted {
		seen.Containers = nil
	}
	d := plan.Decide(p.row, seen, plan.Node{Name: n.name, IP: n.ip, Unheard: n.unheard() && !n.w.plant.lonely}, now)
	p.wake, p.look = d.WakeAt, len(d.Ops) > 0
	if len(d.Ops) == 0 {
		return false
	}
	n.do(p, d.Ops[0])
	return true
}

// tell journals facts of a pod.
func (n *node) tell(p *pod, facts ...events.Fact) {
	for i := range facts {
		if facts[i].At.IsZero() {
			facts[i].At = n.clock()
		}
	}
	if p.told != nil {
		n.kept = append(n.kept, piece{seen: events.PodSeen{Namespace: p.key.Namespace, Name: p.key.Name, UID: p.uid,
			Assigned: p.told.Assigned, Facts: facts}})
	}
	p.obs = p.obs.Tell(facts)
}

// flush sends what was journalled and not sent, in order. A flush that nobody
// acknowledged is sent again, whether it landed or not.
func (n *node) flush() bool {
	if n.cut || n.sent == len(n.kept) {
		return false
	}
	pieces := n.kept[n.sent:min(len(n.kept), n.sent+20)]
	var body events.Seen
	for _, p := range pieces {
		if p.volume != nil {
			body.Volumes = append(body.Volumes, *p.volume)
			continue
		}
		body.Pods = append(body.Pods, p.seen)
	}
	fate := n.w.fate(12)
	if fate == 0 {
		return true
	}
	seq, err := n.w.store.append(n.w.now, records(n.seen(body)))
	if err != nil || fate == 1 {
		return true
	}
	for i := range pieces {
		pieces[i].seq = seq
	}
	n.sent += len(pieces)
	return true
}

func (n *node) seen(body events.Seen) events.Envelope {
	return events.Envelope{Subject: events.SeenSubject(n.name), Type: events.PodsSeen, Version: 1,
		Actor: events.NodeActor(n.name), Body: events.MustBody(body)}
}

// settle lets go of what is durable.
func (n *node) settle(durable events.Seq) {
	done := 0
	for done < n.sent && n.kept[done].seq != 0 && n.kept[done].seq <= durable {
		n.reads.Settled(n.kept[done].seq)
		done++
	}
	if done == 0 {
		return
	}
	n.kept, n.sent = slices.Clone(n.kept[done:]), n.sent-done
	for _, p := range n.pods {
		p.look = p.look || p.row == nil
	}
}

// restart is an agent that was killed and starts again: it finds its records
// and what the runtime has.
func (n *node) restart() {
	n.condemned = nil // it is told again
	n.up, n.until, n.sent = true, time.Time{}, 0
	n.reads = books.Reading{Stale: true, Told: n.reads.Told} // which its journal knows
	for _, p := range n.pods {
		p.obs.Setup, p.obs.Cleanup = plan.Retry{}, plan.Retry{}
		p.busy, p.look, p.adopted = time.Time{}, true, true
	}
}

// reboot ends every container; records and journal are on disk.
func (n *node) reboot() {
	for _, p := range n.pods {
		remains := p.obs.Remains
		p.obs = p.obs.Cleaned()
		p.obs.Remains = remains
	}
	n.restart()
}
