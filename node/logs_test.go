package node

import (
	"testing"
	"time"

	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
)

// TestWhichRunWasBefore: as with a kubelet, the one before is that of the status' last state.
func TestWhichRunWasBefore(t *testing.T) {
	ended := plan.Known{Run: 2, Ended: true, Exit: plan.Exit{Code: 1}}
	waits := ended
	waits.Waiting = plan.CrashLoopBackOff
	exited := plan.Container{Name: "c", Run: 2, Phase: plan.Exited, StartedAt: time.Unix(1, 0)}
	for _, tt := range []struct {
		name              string
		obs               plan.Observed
		present, previous int // 0: none
	}{
		{"the first runs", plan.Observed{Known: map[string]plan.Known{"c": {Run: 1}}}, 1, 0},
		{"the second runs", plan.Observed{Known: map[string]plan.Known{"c": {Run: 2}}}, 2, 1},
		{"the second ended", plan.Observed{Containers: []plan.Container{exited}, Known: map[string]plan.Known{"c": ended}}, 2, 1},
		{"the third is waited for", plan.Observed{Containers: []plan.Container{exited}, Known: map[string]plan.Known{"c": waits}}, 2, 2},
		{"the second is waited for", plan.Observed{Known: map[string]plan.Known{"c": {Run: 1, Ended: true, Waiting: plan.CrashLoopBackOff}}}, 1, 1},
		{"the third runs, untold", plan.Observed{Containers: []plan.Container{exited, {Name: "c", Run: 3, Phase: plan.Running}},
			Known: map[string]plan.Known{"c": waits}}, 3, 2},
		{"nothing ran", plan.Observed{Known: map[string]plan.Known{"c": {Waiting: plan.ErrImagePull}}}, 0, 0},
	} {
		to := target{name: "c", obs: tt.obs, row: &projections.DesiredPod{}}
		for previous, want := range map[bool]int{false: tt.present, true: tt.previous} {
			if got, err := to.logged(previous); got != want || (err == nil) != (want > 0) {
				t.Errorf("%s, previous %v: %d, %v; want %d", tt.name, previous, got, err, want)
			}
		}
	}
}
