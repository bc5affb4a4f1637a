package projections

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/stave-run/stave/events"
)

// MaxOps is how many operations are remembered at least; twice as many at most.
// A retry comes within seconds, so what is older than so many events is settled.
const MaxOps = 1 << 16

// noteOp remembers the event's operation in two generations, so that forgetting
// costs nothing.
func (s State) noteOp(e events.Envelope) State {
	if e.Op == "" {
		return s
	}
	if s.ops.size >= MaxOps {
		s.oldOps, s.ops = s.ops, operations{}
	}
	s.ops = s.ops.with(e.Op, e.Seq)
	return s
}

// operations remembers where operations landed. It is a value: what is kept of
// it stays what it was. Every event adds one and hardly anybody asks, so the
// newest are a list, and the others lie in runs of bare numbers, sorted, each
// at least twice as long as the one after it. A tree of as many took ten times
// the room, and a fifth of the fold.
type operations struct {
	newest *newestOp
	runs   [][]landed       // the oldest first
	odd    tree[events.Seq] // those whose id is not as NewOpID makes them
	size   int
}

// landed is where an operation stands.
type landed struct {
	op  [16]byte
	seq events.Seq
}

// newestOp is a list's newest operation.
type newestOp struct {
	landed
	rest *newestOp
	long int
}

// shortRun is how many operations a list has that becomes a run.
const shortRun = 128

// with is operations and one more. One that lands again is found where it landed last.
func (o operations) with(op events.OpID, seq events.Seq) operations {
	o.size++
	id, ok := bare(op)
	if !ok {
		if _, again := o.odd.get(string(op)); again {
			o.size--
		}
		o.odd = o.odd.with(strings.Clone(string(op)), seq) // it may be a part of all the event's headers
		return o
	}
	n := &newestOp{landed{id, seq}, o.newest, 1}
	if o.newest != nil {
		n.long += o.newest.long
	}
	if o.newest = n; n.long == shortRun {
		return o.packed()
	}
	return o
}

// packed makes a run of the list.
func (o operations) packed() operations {
	run := make([]landed, 0, shortRun)
	for n := o.newest; n != nil; n = n.rest {
		run = append(run, n.landed)
	}
	slices.SortFunc(run, landed.compare)
	last := len(o.runs)
	for last > 0 && len(o.runs[last-1]) < 2*len(run) {
		last--
		run = merged(o.runs[last], run)
	}
	o.runs, o.newest = append(slices.Clip(o.runs[:last]), run), nil
	return o
}

// compare orders operations by their id, then by where they landed.
func (l landed) compare(m landed) int {
	return cmp.Or(bytes.Compare(l.op[:], m.op[:]), cmp.Compare(l.seq, m.seq))
}

func merged(a, b []landed) []landed {
	out := make([]landed, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].compare(b[0]) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// find tells where an operation landed last.
func (o operations) find(op events.OpID) (events.Seq, bool) {
	id, ok := bare(op)
	if !ok {
		return o.odd.get(string(op))
	}
	for n := o.newest; n != nil; n = n.rest {
		if n.op == id {
			return n.seq, true
		}
	}
	for _, run := range slices.Backward(o.runs) {
		// The first that is greater comes after all that have the id.
		i, _ := slices.BinarySearchFunc(run, id, func(l landed, id [16]byte) int {
			return cmp.Or(bytes.Compare(l.op[:], id[:]), -1)
		})
		if i > 0 && run[i-1].op == id {
			return run[i-1].seq, true
		}
	}
	return 0, false
}

// bare is an id as numbers; false for one that NewOpID did not make.
func bare(op events.OpID) (id [16]byte, ok bool) {
	if len(op) != 2*len(id) || strings.ToLower(string(op)) != string(op) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(op))
	return id, err == nil
}

// kept are all of them as a checkpoint has them, always the same for the same operations.
func (o operations) kept() []keptSeq {
	all := slices.Concat(o.runs...)
	for n := o.newest; n != nil; n = n.rest {
		all = append(all, n.landed)
	}
	slices.SortFunc(all, landed.compare)
	out := seqs(o.odd)
	for _, l := range all {
		out = append(out, keptSeq{Key: hex.EncodeToString(l.op[:]), Seq: l.seq})
	}
	return out
}

// operationsOf is what kept gave, or an older program in any order.
func operationsOf(rows []keptSeq) operations {
	var o operations
	var run []landed
	for _, x := range rows {
		if id, ok := bare(events.OpID(x.Key)); ok {
			run = append(run, landed{id, x.Seq})
		} else {
			o.odd = o.odd.with(x.Key, x.Seq)
		}
	}
	slices.SortFunc(run, landed.compare)
	if o.size = len(rows); len(run) > 0 {
		o.runs = [][]landed{run}
	}
	return o
}
