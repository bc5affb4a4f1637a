package revision_test

import (
	"encoding/json"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/revision"
	"github.com/stave-run/stave/reconcilers/stage"
)

var owner = stage.In(events.Deployments, "web") // any kind of controller will do

func world() (*stage.World, *projections.Object) {
	w := stage.New()
	return w, w.Apply(owner, `{"metadata":{"name":"web","namespace":"default"},"spec":{}}`)
}

func template(image string) *corev1.PodTemplateSpec {
	t := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}}}
	t.Labels = map[string]string{"app": "web"}
	return t
}

func settle(t testing.TB, w *stage.World, o *projections.Object, image string, collisions int32) revision.Settled {
	t.Helper()
	s, ok := revision.Of(w.State, o).Settle(template(image), map[string]string{"kubernetes.io/change-cause": "to " + image, corev1.LastAppliedConfigAnnotation: "{}"}, collisions)
	if !ok {
		t.Fatalf("no name for %s", image)
	}
	w.Do(s.Drafts...)
	return s
}

func get(t testing.TB, w *stage.World, name string) *appsv1.ControllerRevision {
	t.Helper()
	o := w.Get(stage.In(events.Revisions, name))
	if o == nil {
		t.Fatalf("no revision %s", name)
	}
	return projections.As[*appsv1.ControllerRevision](o)
}

// A revision is what Kubernetes would write: its name, labels, owner, and data that
// kubectl's undo patches onto whatever there is.
func TestARevisionIsAPatch(t *testing.T) {
	w, o := world()
	s := settle(t, w, o, "nginx:1", 0)
	r := get(t, w, s.Name)
	if s.Name != "web-"+s.Hash || r.Revision != 1 || r.Labels["app"] != "web" || r.Labels[revision.HashLabel] != s.Hash || r.Labels[revision.DaemonHashLabel] != s.Hash {
		t.Errorf("%+v of %+v", r.ObjectMeta, s)
	}
	if len(r.Annotations) != 1 || r.Annotations["kubernetes.io/change-cause"] != "to nginx:1" || len(r.OwnerReferences) != 1 || string(r.OwnerReferences[0].UID) != string(o.UID) {
		t.Errorf("%+v", r.ObjectMeta)
	}
	now := appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{ServiceName: "stays", Template: *template("other")}}
	now.Spec.Template.Spec.Hostname = "goes"
	patched, err := strategicpatch.StrategicMergePatch(events.MustBody(now), r.Data.Raw, appsv1.StatefulSet{})
	var got appsv1.StatefulSet
	if err != nil || json.Unmarshal(patched, &got) != nil || got.Spec.ServiceName != "stays" || string(events.MustBody(got.Spec.Template)) != string(events.MustBody(template("nginx:1"))) {
		t.Errorf("%s, %v", patched, err)
	}
	if held, ok := revision.Of(w.State, o).Template(s.Name); !ok || string(events.MustBody(held)) != string(events.MustBody(template("nginx:1"))) {
		t.Errorf("read back: %+v", held)
	}
}

// Whatever templates come and go, each has one revision, the present one the highest
// number, and of those that nothing uses no more than the limit stay.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, o := world()
		limit := rapid.IntRange(0, 4).Draw(t, "limit")
		names := map[string]string{}
		for i := range rapid.IntRange(1, 20).Draw(t, "rollouts") {
			image := fmt.Sprint("nginx:", rapid.IntRange(0, 6).Draw(t, "image"))
			s, ok := revision.Of(w.State, o).Settle(template(image), nil, 0)
			if !ok {
				t.Fatal("no name")
			}
			w.Do(s.Drafts...)
			if had, known := names[image]; known && had != s.Name {
				t.Fatalf("%s is %s and was %s", image, s.Name, had)
			}
			names[image] = s.Name
			if again, _ := revision.Of(w.State, o).Settle(template(image), nil, 0); len(again.Drafts) > 0 || again.Name != s.Name {
				t.Fatalf("round %d is not settled: %+v", i, again)
			}
			w.Do(revision.Of(w.State, o).Truncate(limit, func(r *projections.Object) bool { return r.Key.Name == s.Name })...)
			check(t, w, s.Name, limit)
		}
	})
}

func check(t *rapid.T, w *stage.World, present string, limit int) {
	n, highest, numbers := 0, "", map[int64]bool{}
	best := int64(0)
	for o := range w.State.List(events.Revisions, "default") {
		n++
		r := revision.Number(o)
		if numbers[r] {
			t.Fatalf("two revisions have the number %d", r)
		}
		if numbers[r] = true; r > best {
			best, highest = r, o.Key.Name
		}
	}
	if highest != present || n > limit+1 {
		t.Fatalf("%d revisions with a limit of %d, the newest is %s and not %s", n, limit, highest, present)
	}
}

// A name that another object has is left to it: the hash is another one then, and the
// count of collisions says so for good.
func TestNamesThatAreTaken(t *testing.T) {
	w, o := world()
	first, _ := revision.Of(w.State, o).Settle(template("nginx"), nil, 0)
	w.Apply(stage.In(events.Revisions, first.Name), `{"metadata":{"name":"`+first.Name+`","namespace":"default"},"data":{"of":"others"},"revision":1}`)
	s := settle(t, w, o, "nginx", 0)
	if s.Name == first.Name || s.Collisions != 1 {
		t.Errorf("%+v beside %s", s, first.Name)
	}
	if again := settle(t, w, o, "nginx", s.Collisions); again.Name != s.Name || again.Collisions != 1 || len(again.Drafts) != 0 {
		t.Errorf("%+v", again)
	}
	for range 20 { // whoever takes all names is told of by nobody but the caller
		next, ok := revision.Of(w.State, o).Settle(template("other"), nil, 0)
		if !ok {
			return
		}
		w.Apply(stage.In(events.Revisions, next.Name), `{"metadata":{"name":"`+next.Name+`","namespace":"default"},"data":{"of":"others"},"revision":1}`)
	}
	t.Error("the search has no bound")
}

// Orphans that match are taken in, numbers and all; what is written otherwise and
// means the same is the same revision.
func TestOrphansAreTakenIn(t *testing.T) {
	w, o := world()
	raw := fmt.Sprintf(`{"metadata":{"name":"left","namespace":"default","labels":{"app":"web"}},"data":%s,"revision":7}`,
		`{"spec":{"template":{"spec":{"containers":[{"resources":{},"image":"nginx","name":"c"}]},"metadata":{"labels":{"app":"web"}},"$patch":"replace"}}}`)
	left := w.Apply(stage.In(events.Revisions, "left"), raw)
	w.Apply(stage.In(events.Revisions, "strange"), `{"metadata":{"name":"strange","namespace":"default","labels":{"app":"db"}},"data":{},"revision":1}`)
	web := labels.SelectorFromSet(labels.Set{"app": "web"})
	wooed := reconcilers.Wooers(w.State, events.Deployments, left, func(*projections.Object) (labels.Selector, bool) { return web, true })
	if len(wooed) != 1 || wooed[0] != owner {
		t.Errorf("%v", wooed)
	}
	w.Do(revision.Of(w.State, o).Adopt(web)...)
	if !revision.Of(w.State, o).Has("left") || revision.Of(w.State, o).Has("strange") {
		t.Error("not those that match")
	}
	if s := settle(t, w, o, "nginx", 0); s.Name != "left" || s.Hash != "left" || len(s.Drafts) != 0 {
		t.Errorf("%+v", s)
	}
	if s := settle(t, w, o, "nginx:2", 0); get(t, w, s.Name).Revision != 8 {
		t.Errorf("%+v", get(t, w, s.Name))
	}
	if s := settle(t, w, o, "nginx", 0); s.Name != "left" || get(t, w, "left").Revision != 9 {
		t.Errorf("%+v", get(t, w, "left"))
	}
}
