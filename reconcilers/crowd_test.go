package reconcilers_test

import (
	"bytes"
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// heads counts the pods that a filter takes, by node, and how many of them leave.
func heads(w *stage.World, takes func(o *projections.Object) bool) map[string][2]int {
	out := map[string][2]int{}
	for _, o := range w.Pods() {
		if p := w.Row(o); p.Holds(o) && takes(o) {
			n := out[p.Node]
			n[0]++
			if o.Deletion != nil {
				n[1]++
			}
			out[p.Node] = n
		}
	}
	return out
}

func counted(crowds []*projections.Crowd) map[string][2]int {
	out := map[string][2]int{}
	for _, c := range crowds {
		for h := range c.On() {
			n := out[h.Node]
			out[h.Node] = [2]int{n[0] + h.Pods, n[1] + h.Leaving}
		}
	}
	return out
}

// crowded is a pod with a label, as a body of its own or by template.
func crowded(w *stage.World, name, color string, more string, whole bool) {
	raw := fmt.Sprintf(`{"metadata":{"labels":{"color":%q,"all":"yes"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c"}]%s}}`, color, more)
	if whole {
		w.Apply(stage.PodKey(name), fmt.Sprintf(`{"metadata":{"name":%q,"labels":{"color":%q,"all":"yes"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c"}]%s}}`, name, color, more))
		return
	}
	if _, ok := w.State.Get(stage.PodKey(name)); ok {
		return
	}
	w.Do(reconcilers.StoreTemplate([]byte(raw)), reconcilers.Create(stage.PodKey(name),
		events.Created{Template: events.HashOf([]byte(raw)), Object: []byte(`{"metadata":{"name":"` + name + `"}}`)}))
}

const shy = `,"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"k","labelSelector":{"matchLabels":{"color":"red"}}}]}}`

// What the fold keeps of crowds is what a count of all pods gives, however they
// come, change, leave and end; also after a checkpoint.
func TestCrowdsAreCountsOfPods(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := stage.New()
		w.Node("n1", "4", "8Gi")
		w.Node("n2", "4", "8Gi")
		colors := []string{"red", "blue"}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			name := fmt.Sprintf("p%d", rapid.IntRange(0, 5).Draw(t, "name"))
			o := w.Get(stage.PodKey(name))
			op := rapid.IntRange(0, 8).Draw(t, "op")
			if o == nil || op > 6 {
				crowded(w, name, rapid.SampledFrom(colors).Draw(t, "color"), rapid.SampledFrom([]string{"", shy}).Draw(t, "more"), rapid.Bool().Draw(t, "whole"))
				continue
			}
			switch op {
			case 0:
				w.Do(reconcilers.Remove(o))
			case 1:
				w.Stopped(o)
			case 2:
				w.See(o, events.Fact{Kind: events.FactExited, Container: "c", Run: 1})
			case 3:
				w.Delete(o.Key)
			default:
				w.Assign(o, rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "node"))
			}
		}
		crowdsAgree(t, w, w.State)
		var kept bytes.Buffer
		if err := w.State.Keep(&kept); err != nil {
			t.Fatal(err)
		}
		back, err := projections.Restore(projections.KeptVersion, &kept)
		if err != nil {
			t.Fatal(err)
		}
		crowdsAgree(t, w, back)
	})
}

func crowdsAgree(t *rapid.T, w *stage.World, s projections.State) {
	var all, minding []*projections.Crowd
	for c := range s.Crowds("default") {
		all = append(all, c)
	}
	if got, want := counted(all), heads(w, func(*projections.Object) bool { return true }); !maps.Equal(got, want) {
		t.Fatalf("all: %v, want %v", got, want)
	}
	for _, color := range []string{"red", "blue"} {
		var of []*projections.Crowd
		for c := range s.CrowdsWith("default", "color", color) {
			of = append(of, c)
		}
		if got, want := counted(of), heads(w, func(o *projections.Object) bool { return o.PodLabels()["color"] == color }); !maps.Equal(got, want) {
			t.Fatalf("%s: %v, want %v", color, got, want)
		}
	}
	for c := range s.CrowdsMinding("default", map[string]string{"color": "red", "x": "y"}) {
		minding = append(minding, c)
	}
	if got, want := counted(minding), heads(w, func(o *projections.Object) bool { return o.PodSpec().Affinity != nil }); !maps.Equal(got, want) {
		t.Fatalf("minding red: %v, want %v", got, want)
	}
	for c := range s.CrowdsMinding("default", map[string]string{"color": "blue"}) {
		t.Fatalf("%v minds blue", c.Labels)
	}
	for c := range s.CrowdsMinding("other", map[string]string{"color": "red"}) {
		t.Fatalf("%v minds another namespace", c.Labels)
	}
}
