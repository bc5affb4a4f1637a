package birth

import (
	"strings"
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

// TestGist: a refusal is news when somebody else refuses, or what they ask for is another thing, not when their numbers move.
func TestGist(t *testing.T) {
	const quota = `pods "web-1" is forbidden: exceeded quota: q, requested: pods=1, used: pods=7,requests.cpu=1, limited: pods=7,requests.cpu=1`
	for _, c := range []struct {
		was, is string
		same    bool
	}{
		{quota, strings.Replace(quota, "used: pods=7,requests.cpu=1", "used: pods=8,requests.cpu=1500m", 1), true},
		{quota, strings.Replace(quota, "limited: pods=7", "limited: pods=8", 1), false},
		{quota, strings.Replace(quota, "quota: q", "quota: q2", 1), false},
		{`admission webhook "a" denied the request: at 12:00:01.5 there were 7`, `admission webhook "a" denied the request: at 12:00:11.7 there were 12`, true},
		{`admission webhook "a" denied the request: no`, `admission webhook "b" denied the request: no`, false},
		{"needs label v1", "needs label v2", false},
	} {
		if got := gist(c.was) == gist(c.is); got != c.same {
			t.Errorf("%s\n%s\nthe same: %t", c.was, c.is, got)
		}
	}
}
