package projections_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

func asking(cpu string) string {
	return fmt.Sprintf(`{"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":%q}}}]}}`, cpu)
}

// resizing is a pod on a node, step by step.
type resizing struct {
	*testing.T
	*foldtest.Log
	key events.Key
}

func (r resizing) judge(generation int64, refused events.Code, said string) events.Seq {
	return r.Spec(r.key, events.VerbResized, events.Controller("resize"), 0,
		events.Resized{UID: foldtest.UID(r.key, 1), Generation: generation, Refused: refused, Said: said})
}

// is wants what its node is told, what it counts for there, and what is shown of it: what is set aside, what it has, conditions.
func (r resizing) is(told string, used int64, set, has string, conditions ...string) {
	r.Helper()
	d, _ := projections.DesiredRow(r.State, r.key)
	if got := d.Pod.Spec.Containers[0].Resources.Requests.Cpu().String(); got != told {
		r.Errorf("the node is told %s, not %s", got, told)
	}
	if got := r.State.Used("n1").CPU; got != used {
		r.Errorf("it counts for %d, not %d", got, used)
	}
	o, _ := r.State.Get(r.key)
	pod := r.State.ObjectOf(o, r.Now).(*corev1.Pod)
	c := pod.Status.ContainerStatuses[0]
	if c.AllocatedResources.Cpu().String() != set || c.Resources.Requests.Cpu().String() != has {
		r.Errorf("set aside %s, not %s; has %s, not %s", c.AllocatedResources.Cpu(), set, c.Resources.Requests.Cpu(), has)
	}
	var got []string
	for _, c := range pod.Status.Conditions {
		if strings.HasPrefix(string(c.Type), "PodResize") {
			got = append(got, fmt.Sprintf("%s %s %d %s", c.Type, c.Reason, c.ObservedGeneration, c.Message))
		}
	}
	if strings.Join(got, "\n") != strings.Join(conditions, "\n") {
		r.Errorf("conditions %q, not %q", got, conditions)
	}
	var kept bytes.Buffer
	if err := r.State.Keep(&kept); err != nil {
		r.Fatal(err)
	}
	again, err := projections.Restore(projections.KeptVersion, &kept)
	if err != nil || string(events.MustBody(again.Dump())) != string(events.MustBody(r.State.Dump())) {
		r.Errorf("after a checkpoint it is another state: %v", err)
	}
}

func newResizing(t *testing.T) resizing {
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	r := resizing{t, l, foldtest.Key(events.Pods, "p")}
	l.Create(r.key, asking("100m"))
	l.Assign("n1", r.key)
	l.Saw(r.key, foldtest.Up("c", "10.244.0.5", l.Now)...)
	return r
}

func TestResizeStepByStep(t *testing.T) {
	r := newResizing(t)
	r.is("100m", 100, "100m", "100m")
	before := r.State.Used("n1")
	r.Change(r.key, foldtest.Person, asking("300m"))
	r.is("100m", 300, "100m", "100m")
	r.judge(2, events.Deferred, "no room")
	r.is("100m", 300, "100m", "100m", "PodResizePending Deferred 2 no room")
	r.judge(2, events.Infeasible, "never")
	r.is("100m", 100, "100m", "100m", "PodResizePending Infeasible 2 never")
	r.judge(2, "", "")
	r.is("300m", 300, "300m", "100m", "PodResizeInProgress  2 ")
	grant := int(r.State.Seq)
	if d, _ := projections.DesiredRow(r.State, r.key); int(d.Resized) != grant || d.Position.Seq() != r.State.Seq {
		t.Errorf("row at %d of grant %d, not %d", d.Position.Seq(), d.Resized, grant)
	}
	r.Saw(r.key, events.Fact{Kind: events.FactNotResized, Count: grant, Reason: "Error", Message: "in use"})
	r.is("300m", 300, "300m", "100m", "PodResizeInProgress Error 2 in use")
	r.Saw(r.key, events.Fact{Kind: events.FactResized, Count: grant - 1}) // of another grant
	r.is("300m", 300, "300m", "100m", "PodResizeInProgress Error 2 in use")
	r.Saw(r.key, events.Fact{Kind: events.FactResized, Count: grant})
	r.is("300m", 300, "300m", "300m")

	// Less of it: what the container still has counts until it has less.
	r.Change(r.key, foldtest.Person, asking("100m"))
	r.is("300m", 300, "300m", "300m")
	r.judge(3, "", "")
	r.is("100m", 300, "100m", "300m", "PodResizeInProgress  3 ")
	r.Saw(r.key, events.Fact{Kind: events.FactResized, Count: int(r.State.Seq)})
	r.is("100m", 100, "100m", "100m")
	if r.State.Used("n1") != before {
		t.Errorf("it ends with %+v, and began with %+v", r.State.Used("n1"), before)
	}
}

// A wish that another one overtook, or that was taken back, is not granted any more.
func TestResizeThatMovedOn(t *testing.T) {
	r := newResizing(t)
	r.Change(r.key, foldtest.Person, asking("300m"))
	r.Change(r.key, foldtest.Person, asking("200m"))
	void := r.State.Void
	if r.judge(2, "", ""); r.State.Void != void+1 {
		t.Error("a grant of an earlier wish counts")
	}
	r.is("100m", 200, "100m", "100m")
	r.Change(r.key, foldtest.Person, asking("100m"))
	r.is("100m", 100, "100m", "100m")
	if r.judge(4, "", ""); r.State.Void != void+2 {
		t.Error("nothing was wished for, and something granted")
	}
	// One that comes while another is being done.
	r.Change(r.key, foldtest.Person, asking("300m"))
	r.judge(5, "", "")
	grant := int(r.State.Seq)
	r.Change(r.key, foldtest.Person, asking("500m"))
	r.judge(6, events.Deferred, "no room")
	r.is("300m", 500, "300m", "100m", "PodResizePending Deferred 6 no room", "PodResizeInProgress  5 ")
	r.Saw(r.key, events.Fact{Kind: events.FactResized, Count: grant})
	r.is("300m", 500, "300m", "300m", "PodResizePending Deferred 6 no room")
	// What changes something else is no wish.
	r.Change(r.key, foldtest.Person, strings.Replace(asking("500m"), `"i"`, `"j"`, 1))
	r.is("300m", 500, "300m", "300m", "PodResizePending Deferred 6 no room")
	r.Remove(r.key)
	if u := r.State.Used("n1"); u != (projections.Usage{}) {
		t.Errorf("left over: %+v", u)
	}
}
