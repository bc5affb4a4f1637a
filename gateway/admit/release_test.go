package admit

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
)

// with is a manifest with finalizers.
func with(yaml, finalizers string) string {
	head, rest, _ := strings.Cut(yaml, "metadata: {")
	return head + "metadata: {finalizers: [" + finalizers + "], " + rest
}

const kept = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, namespace: default}\ndata: {a: b}\n"

func TestAFinalizerHoldsADeletionUp(t *testing.T) {
	w := newTown(t)
	r := w.must(wire.Create, with(kept, "x.io/one, x.io/two"), Created)
	for range 2 { // a second wish changes nothing
		w.delete(r.Key, nil)
	}
	o, ok := w.v.Get(r.Key)
	if !ok || o.Deletion == nil || o.Typed().GetDeletionTimestamp() == nil || *o.Typed().GetDeletionGracePeriodSeconds() != 0 {
		t.Fatalf("it is %+v", o)
	}
	w.refused(w.do(wire.Replace, with(kept, "x.io/one, x.io/two, x.io/three")), metav1.StatusReasonInvalid,
		`ConfigMap "kept" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"x.io/three"}`)
	w.must(wire.Replace, with(kept, "x.io/two"), Replaced)
	w.refused(w.do(wire.Replace, with(kept, "x.io/one, x.io/two")), metav1.StatusReasonInvalid,
		`ConfigMap "kept" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"x.io/one"}`)
	w.must(wire.Replace, strings.Replace(with(kept, "x.io/two"), "a: b", "a: c", 1), Replaced) // its content may still change
	w.must(wire.Replace, kept, Replaced)
	if _, ok := w.v.Get(r.Key); ok {
		t.Error("the last finalizer is gone, and it is there")
	}
}

// What the deletion itself waits for is shown as finalizers that anybody may take
// off; an apply, which has never heard of them, does not.
func TestADeletionHasFinalizersOfItsOwn(t *testing.T) {
	w := newTown(t)
	r := w.must(wire.Create, deploy, Created)
	foreground := func(q *Request) { q.Cascade = "foreground" }
	w.delete(r.Key, foreground)
	o, _ := w.v.Get(r.Key)
	if f := o.Typed().GetFinalizers(); len(f) != 1 || f[0] != metav1.FinalizerDeleteDependents {
		t.Fatalf("finalizers %v", f)
	}
	w.must(wire.Apply, strings.Replace(deploy, "replicas: 3", "replicas: 4", 1), Configured)
	if o, _ = w.v.Get(r.Key); !o.Deletion.Foreground || len(o.Keepers()) > 0 {
		t.Fatalf("after an apply %+v", o.Deletion)
	}
	w.must(wire.Replace, deploy, Replaced)
	if _, ok := w.v.Get(r.Key); ok {
		t.Error("nothing keeps it any more")
	}
	r = w.must(wire.Create, with(deploy, "orphan"), Created)
	w.delete(r.Key, nil)
	if o, _ = w.v.Get(r.Key); !o.Deletion.Orphan || o.Deletion.Foreground {
		t.Errorf("it says itself what becomes of its children: %+v", o.Deletion)
	}
	w.delete(r.Key, func(q *Request) { q.Cascade = "background" })
	if o, _ = w.v.Get(r.Key); o.Deletion.Orphan || len(o.Typed().GetFinalizers()) > 0 {
		t.Errorf("who deletes knows better: %+v, %v", o.Deletion, o.Typed().GetFinalizers())
	}
}

func TestAPodThatIsKeptWaitsForItsNodeToo(t *testing.T) {
	w := newTown(t)
	w.join("n1")
	r := w.must(wire.Create, with(pod, "x.io/one"), Created)
	w.assign(r, "n1")
	w.delete(r.Key, nil)
	w.must(wire.Replace, pod, Replaced)
	if o, ok := w.v.Get(r.Key); !ok || o.Deletion == nil {
		t.Fatalf("its node has not said that it stopped: %+v", o)
	}
	w.delete(r.Key, func(q *Request) { q.Force = true })
	r = w.must(wire.Create, with(pod, "x.io/one"), Created)
	w.assign(r, "n1")
	for range 2 {
		w.delete(r.Key, func(q *Request) { q.Force = true })
		if o, ok := w.v.Get(r.Key); !ok || !o.Deletion.Force {
			t.Fatalf("force passes by the node, not by the finalizers: %+v", o)
		}
	}
	w.must(wire.Replace, pod, Replaced)
	if _, ok := w.v.Get(r.Key); ok {
		t.Error("nobody was to wait for the node")
	}
}

func TestASecretThatIsKeptIsNotShredded(t *testing.T) {
	w := newTown(t)
	r := w.must(wire.Create, with("apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: default}\n", "x.io/one"), Created)
	w.refused(w.delete(r.Key, func(q *Request) { q.Shred = true }), metav1.StatusReasonBadRequest, "secrets/default/s is kept by its finalizers x.io/one: take them off before it is shredded")
}

func TestSpecFinalizersAreWrittenApart(t *testing.T) {
	w := newTown(t)
	blue := "apiVersion: v1\nkind: Namespace\nmetadata: {name: blue}\n"
	r := w.must(wire.Create, blue, Created)
	w.must(wire.Replace, blue+"spec: {finalizers: [kubernetes, x.io/one]}\n", Replaced)
	if o, _ := w.v.Get(r.Key); len(o.Keepers()) > 0 {
		t.Errorf("a plain write put %v there", o.Keepers())
	}
	docs, _ := manifest.Decode("f", []byte(blue+"spec: {finalizers: [kubernetes, x.io/one]}\n"))
	w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Replace}, Part: PartFinalize,
		Item: wire.Item{Object: docs[0].JSON()}})
	w.delete(events.Key{Resource: events.Namespaces, Name: "blue"}, nil)
	if o, ok := w.v.Get(r.Key); !ok || len(o.Keepers()) != 1 {
		t.Errorf("it is %+v", o)
	}
}
