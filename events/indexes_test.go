package events

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A set says the same as a list of its indexes, and reads what it wrote.
func TestIndexes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x, y Indexes
		has, other := map[int]bool{}, map[int]bool{}
		for _, i := range rapid.SliceOf(rapid.IntRange(0, 30)).Draw(t, "in") {
			x, has[i] = x.With(i), true
		}
		for _, i := range rapid.SliceOf(rapid.IntRange(0, 30)).Draw(t, "other") {
			y, other[i] = y.With(i), true
		}
		bound := rapid.IntRange(0, 31).Draw(t, "bound")
		below, common := 0, 0
		for i := range 31 {
			if x.Has(i) != has[i] {
				t.Fatalf("%s has %d: %v", x, i, x.Has(i))
			}
			if has[i] && i < bound {
				below++
			}
			if has[i] && other[i] {
				common++
			}
		}
		if x.Len() != len(has) || x.Below(bound).Len() != below || x.Common(y) != common {
			t.Fatalf("%s: %d, %d below %d, %d in %s", x, x.Len(), x.Below(bound).Len(), bound, x.Common(y), y)
		}
		again, err := ParseIndexes(x.String())
		if err != nil || !slices.Equal(again, x) {
			t.Fatalf("%q reads as %v: %v", x.String(), again, err)
		}
	})
}

func TestParseIndexes(t *testing.T) {
	for text, want := range map[string]string{"": "", "0": "0", "0,1": "0,1", "1,3-5,7": "1,3-5,7", "0-1,2": "0-2"} {
		if x, err := ParseIndexes(text); err != nil || x.String() != want {
			t.Errorf("%q: %s, %v", text, x, err)
		}
	}
	for _, text := range []string{"a", "1,", "3,1", "1,1", "5-2", "3-3", "-1", "1-2-3"} {
		if x, err := ParseIndexes(text); err == nil {
			t.Errorf("%q reads as %s", text, x)
		}
	}
}
