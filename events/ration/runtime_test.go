package ration

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"
)

// What a runtime takes beside its pod counts in quotas: as a request always, as a limit
// where there is one.
func TestOverheadCounts(t *testing.T) {
	has := corev1.ResourceList{"cpu": resource.MustParse("1")}
	of := pod(has, has)
	of.Pod.Overhead = corev1.ResourceList{"cpu": resource.MustParse("250m"), "memory": resource.MustParse("1Mi")}
	q := Quota{Spec: &corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"requests.cpu": {}, "requests.memory": {}, "limits.cpu": {}, "limits.memory": {}}}}
	cost := q.Cost(of)
	for name, want := range map[corev1.ResourceName]string{"requests.cpu": "1250m", "requests.memory": "1Mi", "limits.cpu": "1250m", "limits.memory": "0"} {
		if n := cost[name]; n.Cmp(resource.MustParse(want)) != 0 {
			t.Errorf("%s: %s, want %s", name, n.String(), want)
		}
	}
}

// A pod bears after a merge what it bore before it, and what its class wants; nothing
// in it is covered by another.
func TestMergedTolerations(t *testing.T) {
	seconds := int64(7)
	draw := rapid.Custom(func(t *rapid.T) corev1.Toleration {
		x := corev1.Toleration{Key: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"), Effect: rapid.SampledFrom([]corev1.TaintEffect{"", corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute}).Draw(t, "effect")}
		if rapid.Bool().Draw(t, "exists") {
			if x.Operator = corev1.TolerationOpExists; rapid.Bool().Draw(t, "all") {
				x.Key = ""
			}
		} else {
			x.Value = rapid.SampledFrom([]string{"v", "w"}).Draw(t, "value")
		}
		if x.Effect == corev1.TaintEffectNoExecute && rapid.Bool().Draw(t, "seconds") {
			x.TolerationSeconds = &seconds
		}
		return x
	})
	rapid.Check(t, func(t *rapid.T) {
		first, second := rapid.SliceOfN(draw, 0, 4).Draw(t, "first"), rapid.SliceOfN(draw, 0, 4).Draw(t, "second")
		out := merged(first, second)
		for _, x := range append(append([]corev1.Toleration{}, first...), second...) {
			n := 0
			for _, y := range out {
				if covered(x, y) {
					n++
				}
			}
			if n == 0 {
				t.Fatalf("nothing of %v covers %v", out, x)
			}
		}
		for i, x := range out {
			for j, y := range out {
				if i != j && covered(x, y) {
					t.Fatalf("%v is covered by %v in %v", x, y, out)
				}
			}
		}
	})
}
