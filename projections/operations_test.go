package projections

import (
	"fmt"
	"maps"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
)

// Operations are found where they landed last, those of a snapshot where it left
// them, and what a checkpoint keeps of them says the same.
func TestOperationsAreAMapWithSnapshots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type snapshot struct {
			ops  operations
			want map[events.OpID]events.Seq
		}
		now, want := operations{}, map[events.OpID]events.Seq{}
		var taken []snapshot
		id := rapid.Custom(func(t *rapid.T) events.OpID {
			op := events.NewOpID("test", "user:test", fmt.Sprint(rapid.IntRange(0, 3*shortRun).Draw(t, "id")), events.Key{}, 0)
			switch rapid.IntRange(0, 9).Draw(t, "form") {
			case 0:
				return op[:7] + "/0" // no number
			case 1:
				return "ABCDEF" + op[6:] // not as it would be written
			}
			return op
		})
		for i := range rapid.IntRange(0, 4*shortRun).Draw(t, "events") {
			op := id.Draw(t, "op")
			now, want[op] = now.with(op, events.Seq(i+1)), events.Seq(i+1)
			if rapid.IntRange(0, shortRun).Draw(t, "look") == 0 {
				taken = append(taken, snapshot{now, maps.Clone(want)})
			}
			if rapid.IntRange(0, 2*shortRun).Draw(t, "restart") == 0 {
				now = operationsOf(now.kept())
			}
		}
		for _, s := range append(taken, snapshot{now, want}) {
			for op, seq := range s.want {
				if got, ok := s.ops.find(op); !ok || got != seq {
					t.Fatalf("%s landed at %d, found %v at %d", op, seq, ok, got)
				}
			}
			if again := operationsOf(s.ops.kept()); again.size != s.ops.size || !reflect.DeepEqual(again.kept(), s.ops.kept()) {
				t.Fatalf("kept %d operations, and read %d: %v", s.ops.size, again.size, again.kept())
			}
			if _, ok := s.ops.find(events.NewOpID("test", "user:test", "never", events.Key{}, 0)); ok {
				t.Fatal("an operation that never landed is found")
			}
		}
	})
}

// As many operations as are remembered take so much room, and no more: they are the same
// number for a small cluster as for a large one.
func TestOperationsAreSmall(t *testing.T) {
	var ops operations
	for i := range MaxOps {
		ops = ops.with(events.NewOpID("test", "user:test", fmt.Sprint(i), events.Key{}, 0), events.Seq(i+1))
	}
	if len(ops.runs) > 10 || ops.size != MaxOps {
		t.Errorf("%d operations lie in %d runs: each is to be twice the next", ops.size, len(ops.runs))
	}
}
