package projections

import (
	"slices"
	"strings"
)

// treeOf is the tree of n entries, each key once. It makes every branch once,
// where with copies a path for every key.
func treeOf[E, T any](entries []E, entry func(i int) (string, T)) tree[T] {
	all := make([]leaf[T], len(entries))
	for i := range entries {
		all[i].key, all[i].value = entry(i)
	}
	if len(all) == 0 {
		return tree[T]{}
	}
	byKey := func(a, b leaf[T]) int { return strings.Compare(a.key, b.key) }
	if !slices.IsSortedFunc(all, byKey) {
		slices.SortFunc(all, byKey)
	}
	all = slices.CompactFunc(all, func(a, b leaf[T]) bool { return a.key == b.key })
	return tree[T]{root: build(all, 0), size: int32(len(all))}
}

// leaf is one entry of a tree that is being built.
type leaf[T any] struct {
	key   string
	value T
}

// build makes the branch of leaves in order that have their first bytes, up to
// at, in common.
func build[T any](all []leaf[T], at int) *branch[T] {
	first, last := all[0].key, all[len(all)-1].key
	end := at + shared(first[at:], last[at:])
	n := &branch[T]{prefix: strings.Clone(first[at:end])}
	if len(first) == end {
		n.holds, n.value = true, all[0].value
		all = all[1:]
	}
	parts := 0
	for i := range all {
		if i == 0 || all[i].key[end] != all[i-1].key[end] {
			parts++
		}
	}
	n.edges = make([]edge[T], 0, parts)
	for len(all) > 0 {
		c := all[0].key[end]
		same := slices.IndexFunc(all, func(l leaf[T]) bool { return l.key[end] != c })
		if same < 0 {
			same = len(all)
		}
		n.edges = append(n.edges, edge[T]{c, build(all[:same], end)})
		all = all[same:]
	}
	return n
}
