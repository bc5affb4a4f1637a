package undo_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/undo"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
	"github.com/stave-run/stave/reconcilers/volume"
)

// A claim that comes back has its data again where that was kept; where it is gone, that is said, and by force the claim is empty.
func TestAClaimComesBackWithItsData(t *testing.T) {
	for _, policy := range []string{"Retain", "Delete"} {
		w := stage.New()
		w.Apply(events.Key{Resource: events.Namespaces, Name: "default"}, `{"metadata":{"name":"default"}}`)
		k, v := stage.In(events.Claims, "data"), projections.VolumeKey("v")
		w.Apply(v, `{"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"persistentVolumeReclaimPolicy":"`+policy+`","volumeMode":"Filesystem","local":{"path":"/x"}},
			"metadata":{"annotations":{"pv.kubernetes.io/provisioned-by":"stave.run/local"}}}`)
		w.Apply(k, `{"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"","volumeMode":"Filesystem","volumeName":"v","resources":{"requests":{"storage":"1Gi"}}}}`)
		settle := func() {
			for range 3 {
				for _, key := range []events.Key{k, v} {
					if _, err := w.Run(volume.Reconciler{}, key); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		settle()
		if _, bound := w.State.VolumeOf(w.Get(k)); !bound {
			t.Fatal("not bound before")
		}
		seq := w.State.Seq + 1
		w.Do(reconcilers.Remove(w.Get(k)))
		settle()
		steps, err := undo.Undo(about(w, seq))
		if policy == "Delete" {
			if err == nil || !strings.Contains(err.Error(), "is gone with its volume v") {
				t.Errorf("with its data gone: %v, %v", steps, err)
			}
			q := about(w, seq)
			q.Force = true
			if steps, err = undo.Undo(q); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			w.Do(s.Draft)
		}
		settle()
		claim := w.State.ObjectOf(w.Get(k), w.Now).(*corev1.PersistentVolumeClaim)
		if want := map[string]corev1.PersistentVolumeClaimPhase{"Retain": corev1.ClaimBound, "Delete": corev1.ClaimPending}[policy]; claim.Status.Phase != want {
			t.Errorf("%s: it is %s with %q", policy, claim.Status.Phase, claim.Spec.VolumeName)
		}
	}
}

// What a node has to give is its agent's to tell: brought back by an undo alone it would be ready, and take nothing.
func TestANodeJoinsByItself(t *testing.T) {
	w := stage.New()
	w.Node("n1", "4", "8Gi")
	seq := w.State.Seq + 1
	w.Do(reconcilers.Remove(w.Get(stage.NodeKey("n1"))))
	if steps, err := undo.Undo(about(w, seq)); err == nil || !strings.Contains(err.Error(), "nodes/n1 joins again when its agent is started anew") {
		t.Errorf("%v, %v", steps, err)
	}
	q := about(w, seq)
	q.Force = true
	if steps, err := undo.Undo(q); err != nil || len(steps) != 1 || steps[0].Outcome != undo.Created {
		t.Errorf("by force: %v, %v", steps, err)
	}
}
