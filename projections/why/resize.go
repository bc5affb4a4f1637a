package why

import (
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// wish is what the containers of a pod were to have from a change of its spec on, as the kubelet writes it into its events.
type wish struct {
	InitContainers []share `json:"initContainers,omitempty"`
	Containers     []share `json:"containers,omitempty"`
	Generation     int64   `json:"generation"`
	Error          string  `json:"error,omitempty"`
}

type share struct {
	Name      string                      `json:"name"`
	Resources corev1.ResourceRequirements `json:"resources"`
}

func (w wish) saying(failed string) string {
	w.Error = failed
	return string(events.MustBody(w))
}

// wished remembers what the pod in question is to have.
func (t *telling) wished(e events.Envelope) {
	b, err := events.Decode[events.Changed](e)
	var o struct{ Spec wish }
	if err == nil && json.Unmarshal(b.Object, &o) == nil {
		t.wish = o.Spec
		t.wish.Generation = b.Generation
	}
}

// resized tells what became of a wish for other resources.
func (t *telling) resized(e events.Envelope) {
	b, err := events.Decode[events.Resized](e)
	switch {
	case err != nil:
	case b.Refused != "":
		t.add(e.Time, warning, "Resize"+string(b.Refused), fromKubelet, "Pod resize %s: %s", b.Refused, t.wish.saying(b.Said))
	default:
		t.granted = t.wish
		t.add(e.Time, normal, "ResizeStarted", fromKubelet, "Pod resize started: %s", t.granted.saying(""))
	}
}

// resizing tells what a node did about what it granted.
func (t *telling) resizing(x events.Fact, at time.Time) {
	if x.Kind == events.FactNotResized {
		t.add(at, warning, "ResizeError", fromKubelet, "Pod resize error: %s", t.granted.saying(x.Message))
		return
	}
	t.add(at, normal, "ResizeCompleted", fromKubelet, "Pod resize completed: %s", t.granted.saying(""))
}

// judged is what became of a wish in a few words.
func judged(name string, e events.Envelope) string {
	b, err := events.Decode[events.Resized](e)
	if err != nil || b.Refused == "" {
		return "granted " + name + " the resources that it wishes for"
	}
	return fmt.Sprintf("%s does not get the resources that it wishes for, %s: %s", name, b.Refused, b.Said)
}

// resize tells of a pod that runs and has not the resources that it wishes for.
func (q Question) resize(a *Answer, o *projections.Object, p *projections.Pod) {
	r := p.Resize
	if r == nil || a.fault.level > levelMoving {
		return
	}
	f := fault{level: levelMoving, cause: "resize " + q.owner(o), since: r.Asked.Time, next: q.command("why", o.Key)}
	switch {
	case r.Waits() && r.Refused == events.Infeasible:
		a.Details = append(a.Details, "has not the resources that it wishes for, and cannot have them there: "+r.Said)
		a.Fix = "ask for less, or let another pod take its place on a larger node"
	case r.Waits() && r.Refused != "":
		a.Details = append(a.Details, "has not the resources that it wishes for yet: "+r.Said)
		a.WaitsFor = "room on " + p.Node
		a.Fix = "ask for less, or take other pods from " + p.Node
	case r.Failed != "":
		a.Details = append(a.Details, p.Node+" cannot give it the resources that it was granted: "+r.Failed)
		a.WaitsFor, f.since = p.Node+" to try again", r.FailedAt.Time
	case r.Waits():
		a.WaitsFor = "a look at the resources that it wishes for"
	default:
		a.WaitsFor = p.Node + " to give it the resources that it was granted"
	}
	if a.fault.level == 0 {
		a.fault = f
	}
}
