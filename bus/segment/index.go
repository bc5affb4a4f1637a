package segment

import (
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"
	"sort"

	"github.com/stave-run/stave/events"
)

// Index knows which events speak of an object. It may name an event that does
// not: keys are told apart by a hash.
type Index struct {
	at map[uint64][]events.Seq
}

// Note enters an event; events come in order.
func (x *Index) Note(e events.Envelope) {
	if x.at == nil {
		x.at = map[uint64][]events.Seq{}
	}
	for _, k := range events.About(e) {
		h := hash(k)
		if had := x.at[h]; len(had) == 0 || had[len(had)-1] != e.Seq {
			x.at[h] = append(had, e.Seq)
		}
	}
}

// Find lists the events that speak of an object, in order.
func (x *Index) Find(k events.Key) []events.Seq { return x.at[hash(k)] }

// Drop forgets the events up to a sequence.
func (x *Index) Drop(upTo events.Seq) {
	for h, seqs := range x.at {
		n, _ := slices.BinarySearch(seqs, upTo+1)
		if n == len(seqs) {
			delete(x.at, h)
			continue
		}
		x.at[h] = slices.Clone(seqs[n:])
	}
}

func hash(k events.Key) uint64 {
	h := fnv.New64a()
	for _, part := range []string{string(k.Resource), k.Namespace, k.Name} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return h.Sum64()
}

// entrySize is one row of the table: hash and where its list begins.
const entrySize = 12

// encode writes a table of hashes, in order, and behind it the lists.
func (x *Index) encode() []byte {
	keys := slices.Sorted(maps.Keys(x.at))
	table := binary.LittleEndian.AppendUint32(nil, uint32(len(keys)))
	var lists []byte
	for _, h := range keys {
		table = binary.LittleEndian.AppendUint64(table, h)
		table = binary.LittleEndian.AppendUint32(table, uint32(len(lists)))
		lists = binary.AppendUvarint(lists, uint64(len(x.at[h])))
		last := events.Seq(0)
		for _, seq := range x.at[h] {
			lists = binary.AppendUvarint(lists, uint64(seq-last))
			last = seq
		}
	}
	return append(table, lists...)
}

// lookUp finds an object's list in an encoded index.
func lookUp(b []byte, k events.Key) ([]events.Seq, bool) {
	if len(b) < 4 {
		return nil, false
	}
	n := int(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if len(b) < n*entrySize {
		return nil, false
	}
	want := hash(k)
	i := sort.Search(n, func(i int) bool { return binary.LittleEndian.Uint64(b[i*entrySize:]) >= want })
	if i == n || binary.LittleEndian.Uint64(b[i*entrySize:]) != want {
		return nil, true
	}
	at := n*entrySize + int(binary.LittleEndian.Uint32(b[i*entrySize+8:]))
	if at > len(b) {
		return nil, false
	}
	d := decoder{rest: string(b[at:min(len(b), at+listBytes)])}
	count := d.uvarint()
	if count > uint64(len(b)) {
		return nil, false
	}
	d.rest = string(b[at:])
	d.uvarint()
	out := make([]events.Seq, 0, count)
	last := events.Seq(0)
	for range count {
		last += events.Seq(d.uvarint())
		out = append(out, last)
	}
	return out, d.err == nil
}

// listBytes is enough to read a list's length.
const listBytes = binary.MaxVarintLen64
