package plan

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
)

// TestStrainIsToldRarely: a limit that is met again and again is told of when its count has grown much, and never twice.
func TestStrainIsToldRarely(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	row.Pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("32Mi")}
	o := ready("a").Put(running("a", 1))
	var got []events.Fact
	look := func() {
		for _, op := range Decide(row, o, Node{}, t0).Ops {
			if r, ok := op.(Report); ok {
				got = append(got, slices.DeleteFunc(slices.Clone(r.Facts), func(f events.Fact) bool { return f.Count == 0 })...)
				o = o.Tell(r.Facts)
			}
		}
	}
	look()
	if len(got) != 0 {
		t.Fatalf("nothing was met: %v", got)
	}
	for n := 1; n <= 1000; n++ {
		o = o.Strained("c", Strain{Kills: n, Starved: "tail (pid 7)", Refused: 100 * n, Pids: 4096})
		look()
		look()
	}
	var kills, refused []int
	for _, f := range got {
		switch f.Kind {
		case events.FactStarved:
			kills = append(kills, f.Count)
		case events.FactCrowded:
			refused = append(refused, f.Count)
		}
	}
	if want := []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}; !slices.Equal(kills, want) {
		t.Errorf("kills told at %v, want %v", kills, want)
	}
	if want := []int{100, 1000, 10_000, 100_000}; !slices.Equal(refused, want) {
		t.Errorf("refused forks told at %v, want %v", refused, want)
	}
	first := slices.IndexFunc(got, func(f events.Fact) bool { return f.Kind == events.FactStarved })
	if f := got[first]; f.Limit != "32Mi" || f.Victim != "tail (pid 7)" || f.Message != "the kernel killed tail (pid 7) for want of memory: its memory limit is 32Mi" {
		t.Errorf("%+v", f)
	}
	first = slices.IndexFunc(got, func(f events.Fact) bool { return f.Kind == events.FactCrowded })
	if f := got[first]; f.Limit != "4096" || f.Message != "its limit of 4096 processes is reached, and forks are refused (100 times so far)" {
		t.Errorf("%+v", f)
	}
}

// TestStrainOfAnEnd: refused forks are told before the end that came of them; what was killed is part of the end itself.
func TestStrainOfAnEnd(t *testing.T) {
	row := rowOf(corev1.RestartPolicyNever, "a")
	o := ready("a").Tell([]events.Fact{{Kind: events.FactStarted, Container: "a", Run: 1}})
	c := running("a", 1)
	c.Phase, c.Exit, c.Strain = Exited, Exit{Code: 2, OOM: true, At: t0}, Strain{Kills: 1, Refused: 1, Pids: 8}
	o = o.Put(c)
	d := Decide(row, o, Node{}, t0)
	r, ok := d.Ops[0].(Report)
	if !ok || len(r.Facts) != 2 || r.Facts[0].Kind != events.FactCrowded || r.Facts[1].Kind != events.FactExited {
		t.Fatalf("%v", d)
	}
	if m := r.Facts[0].Message; m != "its limit of 8 processes is reached, and forks are refused" {
		t.Error(m)
	}
	if again := Decide(row, o.Tell(r.Facts), Node{}, t0); len(again.Ops) != 0 {
		t.Errorf("told twice: %v", again)
	}
}
