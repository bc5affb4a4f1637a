package sim

import (
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// feeder tells nodes of their changed rows, as projections/follow does from the
// durable fold: here everything that landed is durable.
type feeder struct {
	r       *replica
	base    events.Position
	last    map[string]events.Position
	changes []projections.Change
}

func (f *feeder) restart(r *replica) {
	*f = feeder{r: r, base: r.view.End(), last: map[string]events.Position{}}
}

func (f *feeder) changed(c []projections.Change) { f.changes = append(f.changes, c...) }

func (f *feeder) at(node string) events.Position { return max(f.base, f.last[node]) }

func (f *feeder) flush() {
	if len(f.changes) == 0 {
		return
	}
	v := f.r.view
	for _, rows := range projections.NodeChanges(v, f.changes) {
		m := &projections.FeedMessage{Position: v.End(), Prev: f.at(rows.Node), Epoch: v.Epoch}
		for _, k := range rows.Pods {
			if p, ok := v.PodOf(k); !ok || p.Node != rows.Node {
				continue
			}
			if d, ok := projections.DesiredRow(v, k); ok {
				m.Pods = append(m.Pods, d)
			}
		}
		for _, ref := range rows.Gone {
			if p, ok := v.PodOf(ref.Key); !ok || p.Node != rows.Node || p.UID != ref.UID {
				m.Gone = append(m.Gone, ref)
			}
		}
		m.Erase = rows.Erase
		if len(m.Pods)+len(m.Gone)+len(m.Erase) == 0 {
			continue
		}
		f.last[rows.Node] = m.Position
		f.r.w.send(rows.Node, letter{rows: m})
	}
	f.changes = nil
}

// beacon says to every node where its feed stands and what is durable.
func (f *feeder) beacon() {
	f.flush()
	for _, n := range f.r.w.nodes {
		f.r.w.send(n.name, letter{beacon: &projections.Beacon{Epoch: f.r.view.Epoch, Durable: f.r.view.Seq,
			Nodes: map[string]events.Position{n.name: f.at(n.name)}}})
	}
}

// letter is one message on its way to a node.
type letter struct {
	to     string
	at     time.Time
	rows   *projections.FeedMessage
	beacon *projections.Beacon
}

// send puts a message on its way, once, twice, late, or not at all. Late ones
// are overtaken by others.
func (w *World) send(to string, l letter) {
	l.to, l.at = to, w.now
	switch w.fate(12) {
	case 0:
		return
	case 1:
		w.letters = append(w.letters, l)
	case 2, 3:
		l.at = w.now.Add(time.Duration(w.rng.IntN(8000)) * time.Millisecond)
	}
	w.letters = append(w.letters, l)
}

// deliver hands over the messages whose time has come.
func (w *World) deliver() bool {
	var later []letter
	did := false
	for _, l := range w.letters {
		if l.at.After(w.now) {
			later = append(later, l)
			continue
		}
		if n := w.node(l.to); n != nil && n.able() && !n.cut {
			n.receive(l)
			did = true
		}
	}
	w.letters = later
	return did
}
