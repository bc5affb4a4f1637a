package projections

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A tree that may be edited does what a map does, and the snapshots that were
// taken between edits stay what they were.
func TestEditedTreeIsAnOrderedMapWithSnapshots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := tree[int]{edit: 1}
		want := map[string]int{}
		type snapshot struct {
			tree tree[int]
			want map[string]int
		}
		var kept []snapshot
		key := rapid.StringMatching(`[ab\x00]{0,6}`)
		for i := range rapid.IntRange(0, 60).Draw(t, "steps") {
			k := key.Draw(t, "key")
			switch rapid.IntRange(0, 9).Draw(t, "op") {
			case 0, 1:
				now = now.without(k)
				delete(want, k)
			case 2:
				s := snapshot{now, maps.Clone(want)}
				s.tree.edit = 0
				kept = append(kept, s)
				now.edit++
				continue
			case 3: // somebody goes on from a snapshot, as immutable trees or by edits of the same number
				if len(kept) > 0 {
					old := kept[rapid.IntRange(0, len(kept)-1).Draw(t, "snapshot")]
					old.tree.edit = rapid.SampledFrom([]uint32{0, now.edit}).Draw(t, "edit")
					old.tree.with(k, -1).without(key.Draw(t, "other")).with("ab"+k, -2)
				}
				continue
			default:
				now = now.with(k, i)
				want[k] = i
			}
		}
		now.edit = 0
		for _, s := range append(kept, snapshot{now, want}) {
			same(t, s.tree, s.want, key.Draw(t, "prefix"), key.Draw(t, "rest"))
		}
	})
}

// Every table of a state is edited while a Bulk folds, and none that it gives is.
func TestEveryTableIsEditedByABulk(t *testing.T) {
	edits := func(s State) (open, all int) {
		v := reflect.ValueOf(s)
		for i := range v.NumField() {
			if strings.HasPrefix(v.Field(i).Type().Name(), "tree[") {
				all++
				if v.Field(i).FieldByName("edit").Uint() != 0 {
					open++
				}
			}
		}
		return open, all
	}
	b := NewBulk(Empty())
	given := b.State()
	if open, all := edits(b.s); open != all || all == 0 {
		t.Errorf("%d of %d tables are edited", open, all)
	}
	if open, _ := edits(given); open != 0 {
		t.Errorf("%d tables of a state that was given away are still edited", open)
	}
}
