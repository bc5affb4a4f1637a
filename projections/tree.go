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
// It is our own because the fold spends its time here. A general one pays for
// channels that tell of changes and for caches of open transactions with every
// insertion, which made a fold twice as dear.
type tree[T any] struct {
	root *branch[T]
	size int
}

// branch is a node of a tree. It is never changed once it is part of one.
type branch[T any] struct {
	prefix string // of all keys below, after what lies above
	holds  bool   // a value of the key that ends here
	value  T
	edges  []edge[T] // by their first byte
}

type edge[T any] struct {
	first byte
	to    *branch[T]
}

// len is the number of values.
func (t tree[T]) len() int { return t.size }

// get finds the value of a key.
func (t tree[T]) get(key string) (value T, ok bool) {
	n := t.root
	for n != nil && strings.HasPrefix(key, n.prefix) {
		key = key[len(n.prefix):]
		if key == "" {
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
		return tree[T]{&branch[T]{prefix: key, holds: true, value: value}, 1}
	}
	root, grew := t.root.with(key, value)
	if grew {
		t.size++
	}
	return tree[T]{root, t.size}
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
	return tree[T]{root, t.size}
}

// below walks the values of the keys that begin with prefix, in the order of
// the keys.
func (t tree[T]) below(prefix string) iter.Seq[T] {
	return func(yield func(T) bool) {
		n := t.root
		for n != nil && len(n.prefix) < len(prefix) {
			if !strings.HasPrefix(prefix, n.prefix) {
				return
			}
			prefix = prefix[len(n.prefix):]
			i, found := n.find(prefix[0])
			if !found {
				return
			}
			n = n.edges[i].to
		}
		if n != nil && strings.HasPrefix(n.prefix, prefix) {
			n.each(yield)
		}
	}
}

// all walks keys and values in the order of the keys. It makes every key anew.
func (t tree[T]) all() iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		if t.root != nil {
			t.root.entries("", yield)
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

func (n *branch[T]) with(key string, value T) (_ *branch[T], grew bool) {
	common := shared(n.prefix, key)
	if common < len(n.prefix) {
		return n.split(common, key, value), true
	}
	c, rest := *n, key[common:]
	if rest == "" {
		c.holds, c.value = true, value
		return &c, !n.holds
	}
	i, found := n.find(rest[0])
	if !found {
		c.edges = make([]edge[T], len(n.edges)+1)
		copy(c.edges, n.edges[:i])
		c.edges[i] = edge[T]{rest[0], &branch[T]{prefix: rest, holds: true, value: value}}
		copy(c.edges[i+1:], n.edges[i:])
		return &c, true
	}
	c.edges = slices.Clone(n.edges)
	c.edges[i].to, grew = n.edges[i].to.with(rest, value)
	return &c, grew
}

// split parts a branch where a new key leaves it.
func (n *branch[T]) split(at int, key string, value T) *branch[T] {
	down := *n
	down.prefix = n.prefix[at:]
	up := &branch[T]{prefix: n.prefix[:at], edges: []edge[T]{{down.prefix[0], &down}}}
	rest := key[at:]
	if rest == "" {
		up.holds, up.value = true, value
		return up
	}
	leaf := edge[T]{rest[0], &branch[T]{prefix: rest, holds: true, value: value}}
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

func (n *branch[T]) entries(above string, yield func(string, T) bool) bool {
	key := above + n.prefix
	if n.holds && !yield(key, n.value) {
		return false
	}
	for i := range n.edges {
		if !n.edges[i].to.entries(key, yield) {
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
