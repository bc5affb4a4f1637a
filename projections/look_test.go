package projections

import (
	"fmt"
	"testing"

	"github.com/stave-run/stave/events"
)

// TestLooksMakeNoKeys holds that nobody pays for a key that is only looked up: it is done several times for each event.
func TestLooksMakeNoKeys(t *testing.T) {
	var s State
	key := func(i int) events.Key {
		return events.Key{Resource: events.Pods, Namespace: "default", Name: fmt.Sprintf("a-name-as-long-as-that-of-most-pods-%d", i)}
	}
	for i := range 100 {
		k := key(i)
		s.objects = s.objects.with(rowKey(k), &Object{Key: k, pod: newPod(k, "")})
	}
	k := key(42)
	if n := testing.AllocsPerRun(100, func() {
		if p, ok := s.PodOf(k); !ok || p.Key != k {
			t.Error("not found")
		}
	}); n != 0 {
		t.Errorf("a look allocates %v times", n)
	}
}
