package events

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Span is a run of indexes, both ends among them.
type Span struct {
	_           struct{} `cbor:",toarray"`
	First, Last int
}

// Indexes is a set of indexes: spans in order that do not touch. It is immutable.
type Indexes []Span

// Has tells whether an index is in the set.
func (x Indexes) Has(i int) bool {
	at, _ := slices.BinarySearchFunc(x, i, func(s Span, i int) int { return s.Last - i })
	return at < len(x) && x[at].First <= i
}

// With is a set that has one more index.
func (x Indexes) With(i int) Indexes {
	if x.Has(i) {
		return x
	}
	at, _ := slices.BinarySearchFunc(x, i, func(s Span, i int) int { return s.Last - i })
	s := Span{First: i, Last: i}
	from, to := at, at
	if at > 0 && x[at-1].Last == i-1 {
		from, s.First = at-1, x[at-1].First
	}
	if at < len(x) && x[at].First == i+1 {
		to, s.Last = at+1, x[at].Last
	}
	return slices.Replace(slices.Clone(x), from, to, s)
}

// Below is the part of a set that is below a bound.
func (x Indexes) Below(bound int) Indexes {
	var out Indexes
	for _, s := range x {
		if s.First < bound {
			out = append(out, Span{First: s.First, Last: min(s.Last, bound-1)})
		}
	}
	return out
}

// Len is how many indexes are in the set.
func (x Indexes) Len() int {
	n := 0
	for _, s := range x {
		n += s.Last - s.First + 1
	}
	return n
}

// Common is how many indexes are in both sets.
func (x Indexes) Common(y Indexes) int {
	n := 0
	for _, a := range x {
		for _, b := range y {
			n += max(0, min(a.Last, b.Last)-max(a.First, b.First)+1)
		}
	}
	return n
}

// String is the set as Kubernetes writes it: "1,3-5,7".
func (x Indexes) String() string {
	words := make([]string, len(x))
	for i, s := range x {
		words[i] = strconv.Itoa(s.First)
		switch s.Last - s.First {
		case 0:
		case 1:
			words[i] += "," + strconv.Itoa(s.Last)
		default:
			words[i] += "-" + strconv.Itoa(s.Last)
		}
	}
	return strings.Join(words, ",")
}

// ParseIndexes reads what String wrote: numbers from 0 that grow.
func ParseIndexes(s string) (Indexes, error) {
	if s == "" {
		return nil, nil
	}
	var out Indexes
	last := -1
	for _, part := range strings.Split(s, ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		first, err := strconv.Atoi(from)
		if err != nil {
			return nil, fmt.Errorf("cannot convert string to integer for index: %q", from)
		}
		end, err := strconv.Atoi(to)
		if err != nil {
			return nil, fmt.Errorf("cannot convert string to integer for index: %q", to)
		}
		switch {
		case first < 0 || first <= last:
			return nil, fmt.Errorf("non-increasing order, previous: %d, current: %d", last, first)
		case ranged && end <= first:
			return nil, fmt.Errorf("non-increasing order, previous: %d, current: %d", first, end)
		case strings.Contains(to, "-"):
			return nil, errors.New("a range has two ends")
		}
		if n := len(out); n > 0 && out[n-1].Last == first-1 {
			out[n-1].Last = end
		} else {
			out = append(out, Span{First: first, Last: end})
		}
		last = end
	}
	return out, nil
}
