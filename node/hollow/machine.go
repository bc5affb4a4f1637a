package hollow

import (
	"net/netip"
	"slices"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/ledger"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
)

// machine is a pretended node without goroutine, clock or network: what it is told goes in with the time, what it has to
// tell is read from its journal.
type machine struct {
	host   plan.Node
	model  Model
	reads  ledger.Reading
	flies  ledger.Flights
	kept   []ledger.Piece // told, and not yet durable
	next   uint64         // number of the last piece
	pods   map[events.UID]*pod
	wakes  wakes
	images map[string]bool
	pool   pool
	likes  []*projections.DesiredPod // what rows share; never changed
	rests  []*plan.Observed          // what observations share; never changed
}

func newMachine(name string, model Model, facts events.NodeFacts) *machine {
	return &machine{host: hostOf(name, facts), model: model, reads: ledger.Reading{Stale: true}, pods: map[events.UID]*pod{}, images: map[string]bool{}}
}

// settle takes the node's place in the cluster. The error is of a place that cannot be one.
func (m *machine) settle(place wire.JoinReply) error {
	m.host.DNS, m.host.Domain = place.DNS, place.Domain
	return m.pool.open(place.PodCIDR)
}

// whole reads the whole set: what is not in it shall not be here.
func (m *machine) whole(set projections.DesiredSet, now time.Time) {
	listed := make(map[events.UID]bool, len(set.Pods))
	for i := range set.Pods {
		listed[set.Pods[i].UID] = true // want takes the row
		m.want(&set.Pods[i], now)
	}
	for _, uid := range m.uids() {
		if !listed[uid] {
			m.gone(uid, now)
		}
	}
	m.erase(set.Erase, now)
	m.reads.Whole(set)
	m.heard(set.Epoch, 0, now)
}

// take reads a message of the feed.
func (m *machine) take(msg projections.FeedMessage, now time.Time) {
	if !m.reads.Take(msg) {
		return
	}
	for i := range msg.Pods {
		m.want(&msg.Pods[i], now)
	}
	for _, ref := range msg.Gone {
		m.gone(ref.UID, now)
	}
	m.erase(msg.Erase, now)
}

// beacon hears where everything stands.
func (m *machine) beacon(b projections.Beacon, now time.Time) {
	m.reads.Beacon(b, m.host.Name)
	m.heard(b.Epoch, b.Durable, now)
}

// heard lets go of the evidence that the log has for good.
func (m *machine) heard(epoch, durable events.Seq, now time.Time) {
	done := m.flies.Hear(epoch, durable)
	n := 0
	for n < len(m.kept) && m.kept[n].Num <= done {
		n++
	}
	if n == 0 {
		return
	}
	settled := m.kept[:n]
	m.kept = slices.Clone(m.kept[n:])
	for _, p := range settled { // only who waits to be forgotten asks for evidence
		if p.Pod == nil {
			continue
		}
		if x, ok := m.pods[p.Pod.UID]; ok && x.row == nil {
			m.advance(x, now)
		}
	}
}

func (m *machine) holds(uid events.UID) bool {
	return slices.ContainsFunc(m.kept, func(p ledger.Piece) bool { return p.Pod != nil && p.Pod.UID == uid })
}

// tell puts a piece into the journal.
func (m *machine) tell(p ledger.Piece) {
	m.next++
	p.Num = m.next
	m.kept = append(m.kept, p)
}

// erase pretends that the directories of volumes are gone.
func (m *machine) erase(list []projections.ErasedVolume, now time.Time) {
	for _, e := range list {
		m.tell(ledger.Piece{Volume: &events.VolumeSeen{Name: e.Name, UID: e.UID, Kind: events.VolumeErased, At: now}})
	}
}

// unsent are the next pieces to append, at most ledger.MaxFlush.
func (m *machine) unsent() []ledger.Piece {
	if m.flies.Epoch == 0 {
		return nil // what is sent now could not be told from what another writer lost
	}
	i := slices.IndexFunc(m.kept, func(p ledger.Piece) bool { return p.Num > m.flies.Sent })
	if i < 0 {
		return nil
	}
	return m.kept[i:min(len(m.kept), i+ledger.MaxFlush)]
}

// want takes a row, and what it points to; the row itself it copies where it keeps it.
func (m *machine) want(row *projections.DesiredPod, now time.Time) {
	p, ok := m.pods[row.UID]
	if !ok {
		p = &pod{uid: row.UID}
		m.pods[row.UID] = p
	}
	p.wish(m.slim(row))
	m.advance(p, now)
}

func (m *machine) gone(uid events.UID, now time.Time) {
	if p, ok := m.pods[uid]; ok {
		p.wish(nil)
		m.advance(p, now)
	}
}

// due goes on with the pods whose time has come.
func (m *machine) due(now time.Time) {
	for uid, ok := m.wakes.pop(now); ok; uid, ok = m.wakes.pop(now) {
		if p, here := m.pods[uid]; here {
			m.advance(p, now)
		}
	}
}

func (m *machine) uids() []events.UID {
	out := make([]events.UID, 0, len(m.pods))
	for uid := range m.pods {
		out = append(out, uid)
	}
	slices.Sort(out)
	return out
}

// pool are the addresses of a node's pods.
type pool struct {
	cidr netip.Prefix
	last netip.Addr
	held map[netip.Addr]bool
}

func (p *pool) open(cidr string) error {
	var err error
	p.cidr, err = netip.ParsePrefix(cidr)
	p.last, p.held = p.cidr.Masked().Addr().Next(), map[netip.Addr]bool{} // the first is the node's own
	return err
}

// take gives an address that nobody holds; false when there is none. It goes round, so that one is not given again at once.
func (p *pool) take() (netip.Addr, bool) {
	first := p.cidr.Masked().Addr().Next().Next()
	for range p.size() {
		p.last = p.last.Next()
		if !p.cidr.Contains(p.last.Next()) { // the last is for broadcasts
			p.last = first
		}
		if !p.held[p.last] {
			p.held[p.last] = true
			return p.last, true
		}
	}
	return netip.Addr{}, false
}

func (p *pool) size() int { return 1 << min(16, 32-p.cidr.Bits()) }

// give takes an address back. One that is none, or not the pool's, nobody holds.
func (p *pool) give(address string) {
	if a, err := netip.ParseAddr(address); err == nil {
		delete(p.held, a)
	}
}
