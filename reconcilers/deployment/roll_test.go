package deployment

import (
	"fmt"
	"strconv"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/projections"
)

// A step is what nodes and replica sets did, and the wishes that follow.
type step struct {
	v1, v2 [2]int // pods and ready ones
	want   map[string]int
}

func TestRollout(t *testing.T) {
	for _, c := range []struct {
		name     string
		replicas int
		strategy string
		steps    []step
	}{
		{"a surge first, then one by one", 4, rolling(`1`, `1`), []step{
			{[2]int{4, 4}, [2]int{0, 0}, map[string]int{"v1": 4, "v2": 1}},
			{[2]int{4, 4}, [2]int{1, 0}, map[string]int{"v1": 4, "v2": 1}}, // not proven yet
			{[2]int{4, 4}, [2]int{1, 1}, map[string]int{"v1": 2, "v2": 1}},
			{[2]int{2, 2}, [2]int{1, 1}, map[string]int{"v1": 2, "v2": 3}},
			{[2]int{2, 2}, [2]int{3, 2}, map[string]int{"v1": 1, "v2": 3}},
			{[2]int{1, 1}, [2]int{3, 3}, map[string]int{"v1": 0, "v2": 4}},
		}},
		{"pods that were told to go still count", 4, rolling(`1`, `1`), []step{
			{[2]int{4, 4}, [2]int{1, 1}, map[string]int{"v1": 2, "v2": 1}},
			{[2]int{4, 4}, [2]int{1, 1}, map[string]int{"v1": 2, "v2": 1}},
			{[2]int{3, 3}, [2]int{1, 1}, map[string]int{"v1": 2, "v2": 2}},
		}},
		{"without surge something good has to go", 2, rolling(`0`, `1`), []step{
			{[2]int{2, 2}, [2]int{0, 0}, map[string]int{"v1": 1, "v2": 0}},
			{[2]int{1, 1}, [2]int{0, 0}, map[string]int{"v1": 1, "v2": 1}},
			{[2]int{1, 1}, [2]int{1, 0}, map[string]int{"v1": 1, "v2": 1}},
			{[2]int{1, 1}, [2]int{1, 1}, map[string]int{"v1": 0, "v2": 1}},
			{[2]int{0, 0}, [2]int{1, 1}, map[string]int{"v1": 0, "v2": 2}},
		}},
		{"bad old pods go first and at once", 4, rolling(`1`, `1`), []step{
			{[2]int{4, 2}, [2]int{1, 0}, map[string]int{"v1": 3, "v2": 1}},
		}},
		{"recreate waits for the last", 2, `"strategy":{"type":"Recreate"}`, []step{
			{[2]int{2, 2}, [2]int{0, 0}, map[string]int{"v1": 0}},
			{[2]int{1, 1}, [2]int{0, 0}, map[string]int{"v1": 0}},
			{[2]int{0, 0}, [2]int{0, 0}, map[string]int{"v1": 0, "v2": 2}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := world()
			w.Apply(web, object(c.replicas, "v1", c.strategy))
			run(t, w)
			pods(w, "v1", c.replicas, c.replicas)
			w.Apply(web, object(c.replicas, "v2", c.strategy))
			for i, s := range c.steps {
				pods(w, "v1", s.v1[0], s.v1[1])
				pods(w, "v2", s.v2[0], s.v2[1])
				run(t, w)
				// The first pods of v2 need its set: it is made by the first decision.
				if i == 0 && s.v2[0] > 0 {
					pods(w, "v2", s.v2[0], s.v2[1])
					run(t, w)
				}
				if got := sets(w); fmt.Sprint(got) != fmt.Sprint(s.want) {
					t.Fatalf("step %d: %v, want %v", i, got, s.want)
				}
			}
		})
	}
}

// Whatever templates, sizes and pods: wishes never add up to more than the
// surge allows, available pods never fall below what may be missing by a
// decision, and with obedient pods it ends as wished.
func TestAnyRollout(t *testing.T) {
	images := []string{"v1", "v2", "v3"}
	rapid.Check(t, func(t *rapid.T) {
		w := world()
		strategy := rolling(strconv.Itoa(rapid.IntRange(0, 2).Draw(t, "surge")), strconv.Itoa(rapid.IntRange(0, 2).Draw(t, "away")))
		replicas := rapid.IntRange(0, 6).Draw(t, "replicas") // constant: scaling moves the bounds
		image := images[0]
		w.Apply(web, object(replicas, image, strategy))
		check := func() {
			p := &pass{v: w.State, o: w.Get(web), d: projections.As[*appsv1.Deployment](w.Get(web)), now: w.Now}
			p.wish()
			p.survey()
			if p.total() > p.want+p.surge {
				t.Fatalf("%v for %d+%d", sets(w), p.want, p.surge)
			}
			before := 0 // of the available pods, those whose set still wants them
			for _, s := range p.sets {
				before += min(s.available, s.size)
			}
			d := decide(w)
			w.Do(d.Events...)
			after, cut := 0, false
			for i, s := range p.sets {
				rs := projections.As[*appsv1.ReplicaSet](w.Get(s.o.Key))
				after += min(p.sets[i].available, int(*rs.Spec.Replicas))
				cut = cut || int(*rs.Spec.Replicas) < min(s.available, s.size)
			}
			if cut && after < min(before, p.want-p.away) {
				t.Fatalf("%d of %d available pods stay, %d are needed", after, before, p.want-p.away)
			}
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				image = rapid.SampledFrom(images).Draw(t, "image")
				w.Apply(web, object(replicas, image, strategy))
			case 1, 2:
				of := rapid.SampledFrom(images).Draw(t, "of")
				n := sets(w)[of]
				pods(w, of, n, rapid.IntRange(0, n).Draw(t, "ready"))
			}
			check()
		}
		for range 60 {
			for _, of := range images {
				n := sets(w)[of]
				pods(w, of, n, n)
			}
			check()
		}
		for of, n := range sets(w) {
			if of == image && n != replicas || of != image && n != 0 {
				t.Fatalf("ends at %v, wants %d of %s", sets(w), replicas, image)
			}
		}
	})
}
