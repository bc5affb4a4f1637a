package projections

import (
	"iter"
	"slices"
	"strings"
)

// tree is an immutable ordered map from strings: a radix tree that copies the
// path to what changes, so that a copy of the tree is a snapshot for ever. The
// zero tree is empty.
//
// While a Bulk folds it is open for edits: branches that were made since then
// belong to that fold alone and are changed where they are.
//
// It is our own because the fold spends its time here. A general one pays for
// channels that tell of changes and for caches of open transactions with every
// insertion, which made a fold twice as dear.
type tree[T any] struct {
	root *branch[T]
	size int32
	edit uint32 // the branches with this mark may be changed; 0: none may
}

// branch is a node of a tree. It is never changed once it is part of one that
// somebody sees.
type branch[T any] struct {
	prefix string // of all keys below, after what lies above
	holds  bool   // a value of the key that ends here
	edit   uint32 // who made it
	value  T
	edges  []edge[T] // by their first byte
}

type edge[T any] struct {
	first byte
	to    *branch[T]
}

// len is the number of values.
func (t tree[T]) len() int { return int(t.size) }

// get finds the value of a key.
func (t tree[T]) get(key string) (value T, ok bool) { return look[T](t.root, key) }

// find is get for a key that is no text yet.
func (t tree[T]) find(key []byte) (value T, ok bool) { return look[T](t.root, key) }

func look[T any, K string | []byte](n *branch[T], key K) (value T, ok bool) {
	for n != nil && len(key) >= len(n.prefix) && string(key[:len(n.prefix)]) == n.prefix {
		key = key[len(n.prefix):]
		if len(key) == 0 {
			return n.value, n.holds
		}
		i, found := n.find(key[0])
		if !found {
			break
		}
		n = n.edges[i].to
	}
	return value, false
}

// with is the tree with a value for a key, new or instead of the old one.
func (t tree[T]) with(key string, value T) tree[T] {
	if t.root == nil {
		return tree[T]{&branch[T]{prefix: key, holds: true, edit: t.edit, value: value}, 1, t.edit}
	}
	root, grew := t.root.with(key, value, t.edit)
	if grew {
		t.size++
	}
	return tree[T]{root, t.size, t.edit}
}

// without is the tree without a key.
func (t tree[T]) without(key string) tree[T] {
	if t.root == nil {
		return t
	}
	root, shrank := t.root.without(key)
	if shrank {
		t.size--
	}
	return tree[T]{root, t.size, t.edit}
}

// below walks the values of the keys that begin with prefix, in the order of
// the keys.
func (t tree[T]) below(prefix string) iter.Seq[T] {
	return func(yield func(T) bool) {
		if n, _ := t.at(prefix); n != nil {
			n.each(yield)
		}
	}
}

// after is below without the keys up to one, which begins with prefix itself.
func (t tree[T]) after(prefix, key string) iter.Seq[T] {
	return func(yield func(T) bool) {
		if n, above := t.at(prefix); n != nil {
			n.after(key[above:], yield)
		}
	}
}

// endings walks what follows prefix in the keys that begin with it, in their
// order, each behind head: a tree of nothing but keys says with them all that it has to say.
func (t tree[T]) endings(prefix, head string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if n, above := t.at(prefix); n != nil {
			n.entries(append(make([]byte, 0, usualKey), head...), len(prefix)-above, func(key string, _ T) bool { return yield(key) })
		}
	}
}

// usualKey is as long as most keys are at most, in bytes.
const usualKey = 128

// at is the branch with all keys that begin with prefix, and how much of these lies
// above it; nil when there are none.
func (t tree[T]) at(prefix string) (n *branch[T], above int) {
	n = t.root
	for n != nil && len(n.prefix) < len(prefix)-above {
		rest := prefix[above:]
		if !strings.HasPrefix(rest, n.prefix) {
			return nil, 0
		}
		above += len(n.prefix)
		i, found := n.find(prefix[above])
		if !found {
			return nil, 0
		}
		n = n.edges[i].to
	}
	if n == nil || !strings.HasPrefix(n.prefix, prefix[above:]) {
		return nil, 0
	}
	return n, above
}

// all walks keys and values in the order of the keys. It makes every key anew.
func (t tree[T]) all() iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		if t.root != nil {
			t.root.entries(make([]byte, 0, usualKey), 0, yield)
		}
	}
}

func (n *branch[T]) find(first byte) (int, bool) {
	lo, hi := 0, len(n.edges)
	for lo < hi {
		mid := (lo + hi) / 2
		if n.edges[mid].first < first {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(n.edges) && n.edges[lo].first == first
}

func (n *branch[T]) with(key string, value T, edit uint32) (_ *branch[T], grew bool) {
	common := shared(n.prefix, key)
	if common < len(n.prefix) {
		return n.split(common, key, value, edit), true
	}
	c, rest := n.own(edit), key[common:]
	if rest == "" {
		grew = !c.holds
		c.holds, c.value = true, value
		return c, grew
	}
	i, found := c.find(rest[0])
	if !found {
		c.insert(i, edge[T]{rest[0], leafOf(rest, value, edit)})
		return c, true
	}
	c.edges[i].to, grew = c.edges[i].to.with(rest, value, edit)
	return c, grew
}

// leafOf is a branch of one key. It keeps what it needs of it: most keys differ
// from others in a few letters at their end, and each is in many trees.
func leafOf[T any](rest string, value T, edit uint32) *branch[T] {
	return &branch[T]{prefix: strings.Clone(rest), holds: true, edit: edit, value: value}
}

// own is the branch itself when it may be changed, else a copy that may.
func (n *branch[T]) own(edit uint32) *branch[T] {
	if edit != 0 && n.edit == edit {
		return n
	}
	c := *n
	c.edit, c.edges = edit, slices.Clone(n.edges)
	return &c
}

// moreEdges is how many edges a branch gets room for at most when it has none
// left and may be changed.
const moreEdges = 4

func (n *branch[T]) insert(i int, e edge[T]) {
	if len(n.edges) < cap(n.edges) { // its own: see own
		n.edges = slices.Insert(n.edges, i, e)
		return
	}
	room := len(n.edges) + 1
	if n.edit != 0 {
		room += min(len(n.edges)/2, moreEdges-1) // most have two or three, and stay so
	}
	edges := make([]edge[T], len(n.edges)+1, room)
	copy(edges, n.edges[:i])
	edges[i] = e
	copy(edges[i+1:], n.edges[i:])
	n.edges = edges
}

// split parts a branch where a new key leaves it.
func (n *branch[T]) split(at int, key string, value T, edit uint32) *branch[T] {
	down := *n // a copy also where n may be changed: splits are rare
	down.prefix = n.prefix[at:]
	up := &branch[T]{prefix: n.prefix[:at], edit: edit, edges: []edge[T]{{down.prefix[0], &down}}}
	rest := key[at:]
	if rest == "" {
		up.holds, up.value = true, value
		return up
	}
	leaf := edge[T]{rest[0], leafOf(rest, value, edit)}
	if leaf.first < down.prefix[0] {
		up.edges = []edge[T]{leaf, up.edges[0]}
	} else {
		up.edges = append(up.edges, leaf)
	}
	return up
}

// without gives nil when nothing is left.
func (n *branch[T]) without(key string) (_ *branch[T], shrank bool) {
	if !strings.HasPrefix(key, n.prefix) {
		return n, false
	}
	c, rest := *n, key[len(n.prefix):]
	if rest == "" {
		if !n.holds {
			return n, false
		}
		var none T
		c.holds, c.value = false, none
		return c.tidied(), true
	}
	i, found := n.find(rest[0])
	if !found {
		return n, false
	}
	to, shrank := n.edges[i].to.without(rest)
	switch {
	case !shrank:
		return n, false
	case to == nil:
		c.edges = slices.Delete(slices.Clone(n.edges), i, i+1)
	default:
		c.edges = slices.Clone(n.edges)
		c.edges[i].to = to
	}
	return c.tidied(), true
}

// tidied is a new branch without what it no longer needs: itself, when nothing
// is below, or the step to its only child.
func (n *branch[T]) tidied() *branch[T] {
	switch {
	case n.holds || len(n.edges) > 1:
		return n
	case len(n.edges) == 0:
		return nil
	}
	only := *n.edges[0].to
	only.prefix = n.prefix + only.prefix
	return &only
}

func (n *branch[T]) each(yield func(T) bool) bool {
	if n.holds && !yield(n.value) {
		return false
	}
	for i := range n.edges {
		if !n.edges[i].to.each(yield) {
			return false
		}
	}
	return true
}

// after walks what lies below and has a greater key.
func (n *branch[T]) after(key string, yield func(T) bool) bool {
	common := shared(n.prefix, key)
	switch {
	case common == len(key) && common < len(n.prefix), common < min(len(key), len(n.prefix)) && n.prefix[common] > key[common]:
		return n.each(yield)
	case common < len(n.prefix):
		return true // all of it is smaller
	}
	next := 0
	if rest := key[common:]; rest != "" {
		i, found := n.find(rest[0])
		if next = i; found {
			if !n.edges[i].to.after(rest, yield) {
				return false
			}
			next++
		}
	}
	for _, e := range n.edges[next:] {
		if !e.to.each(yield) {
			return false
		}
	}
	return true
}

// entries walks the keys without their beginning: above, and the branch's own
// bytes from a place on.
func (n *branch[T]) entries(above []byte, from int, yield func(string, T) bool) bool {
	above = append(above, n.prefix[from:]...)
	if n.holds && !yield(string(above), n.value) {
		return false
	}
	for i := range n.edges {
		if !n.edges[i].to.entries(above, 0, yield) {
			return false
		}
	}
	return true
}

// shared is how many bytes two strings have in common at their beginning.
func shared(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
