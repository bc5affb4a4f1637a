package birth

import (
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// TestWhatIsReadMayEase: whatever is asked about before a pod is made lets its
// controller look once more when it changes; a Job once slept through PriorityClasses.
func TestWhatIsReadMayEase(t *testing.T) {
	for _, r := range Reads() {
		k := events.Key{Resource: r, Name: "x"}
		c := projections.Change{Key: k, Before: &projections.Object{Key: k, Extras: &projections.Extras{}}}
		if _, ok := Eases(c); !ok {
			t.Errorf("%s changes, and nobody looks", r)
		}
	}
}
