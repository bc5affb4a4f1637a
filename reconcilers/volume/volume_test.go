package volume

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/gc"
	"github.com/stave-run/stave/reconcilers/stage"
)

const localClass = `{"metadata":{"name":"local","annotations":{"storageclass.kubernetes.io/is-default-class":"true"}},"provisioner":"stave.run/local","reclaimPolicy":"Delete","volumeBindingMode":"WaitForFirstConsumer"}`

func classKey(name string) events.Key {
	return events.Key{Resource: events.StorageClasses, Name: name}
}

func claimKey(name string) events.Key { return stage.In(events.Claims, name) }

// cluster has a node and the class that every cluster begins with.
func cluster() *stage.World {
	w := stage.New()
	w.Node("n1", "4", "8Gi")
	w.Apply(classKey("local"), localClass)
	return w
}

// settle asks about every claim and volume until nothing follows.
func settle(t testing.TB, w *stage.World) {
	t.Helper()
	for range 20 {
		before := w.State.Seq
		for _, r := range []events.Resource{events.Claims, events.Volumes} {
			var keys []events.Key
			for o := range w.State.List(r, "") {
				keys = append(keys, o.Key)
			}
			for _, k := range keys {
				for _, who := range []reconcilers.Reconciler{Reconciler{}, gc.Reconciler{}} {
					if _, there := w.State.Get(k); !there {
						continue
					}
					if _, err := w.Run(who, k); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if w.State.Seq == before {
			return
		}
	}
	t.Fatal("it does not come to rest")
}

func claimOf(w *stage.World, name string) *corev1.PersistentVolumeClaim {
	return w.State.ObjectOf(w.Get(claimKey(name)), w.Now).(*corev1.PersistentVolumeClaim)
}

func volumeOf(w *stage.World, name string) *corev1.PersistentVolume {
	o, ok := w.State.Get(projections.VolumeKey(name))
	if !ok {
		return nil
	}
	return w.State.ObjectOf(o, w.Now).(*corev1.PersistentVolume)
}

func spec(size, class, more string) string {
	return fmt.Sprintf(`{"spec":{"accessModes":["ReadWriteOnce"],"volumeMode":"Filesystem","storageClassName":%q,"resources":{"requests":{"storage":%q}}%s}}`, class, size, more)
}

func hand(size, class, more string) string {
	return fmt.Sprintf(`{"metadata":{"labels":{"disk":%q}},"spec":{"accessModes":["ReadWriteOnce","ReadOnlyMany"],"volumeMode":"Filesystem","storageClassName":%q,"persistentVolumeReclaimPolicy":"Retain","capacity":{"storage":%q},"hostPath":{"path":"/x"}%s}}`,
		size, class, size, more)
}

// Who made a volume for a claim, and the claim for the volume, knows what they want: neither size nor class is in the way.
func TestEachNamesTheOther(t *testing.T) {
	w := cluster()
	w.Apply(projections.VolumeKey("v"), hand("2Gi", "", `,"claimRef":{"namespace":"default","name":"c"}`))
	w.Apply(claimKey("c"), spec("9Gi", "local", `,"volumeName":"v"`))
	settle(t, w)
	if got := claimOf(w, "c"); got.Status.Phase != corev1.ClaimBound {
		v, _ := w.State.Verdict(claimKey("c"))
		t.Errorf("%s: %+v", got.Status.Phase, v.Reasons)
	}
}

func TestTheSmallestThatFitsIsBound(t *testing.T) {
	for _, c := range []struct{ name, claim, want string }{
		{"smallest", spec("1Gi", "hand", ""), "two"},
		{"size", spec("4Gi", "hand", ""), "five"},
		{"too large", spec("9Gi", "hand", ""), ""},
		{"class", spec("1Gi", "other", ""), "other"},
		{"no class", spec("1Gi", "", ""), "plain"},
		{"selector", spec("1Gi", "hand", `,"selector":{"matchLabels":{"disk":"5Gi"}}`), "five"},
		{"by name", spec("1Gi", "hand", `,"volumeName":"five"`), "five"},
		{"by name, too small", spec("4Gi", "hand", `,"volumeName":"two"`), ""},
		{"by name, another class", spec("1Gi", "hand", `,"volumeName":"other"`), ""},
		{"mode", strings.Replace(spec("1Gi", "hand", ""), "ReadWriteOnce", "ReadWriteMany", 1), ""},
		{"device", strings.Replace(spec("1Gi", "hand", ""), "Filesystem", "Block", 1), ""},
	} {
		w := cluster()
		for name, v := range map[string]string{"one": hand("500Mi", "hand", ""), "two": hand("2Gi", "hand", ""), "five": hand("5Gi", "hand", ""),
			"other": hand("2Gi", "other", ""), "plain": hand("2Gi", "", ""),
			"meant": hand("1Gi", "hand", `,"claimRef":{"namespace":"default","name":"somebody"}`)} {
			w.Apply(projections.VolumeKey(name), v)
		}
		w.Apply(claimKey("c"), c.claim)
		settle(t, w)
		got := claimOf(w, "c")
		if bound := got.Status.Phase == corev1.ClaimBound; bound != (c.want != "") || bound && got.Spec.VolumeName != c.want {
			t.Errorf("%s: %s with %q, want %q", c.name, got.Status.Phase, got.Spec.VolumeName, c.want)
		}
		if c.want == "" {
			if v, ok := w.State.Verdict(claimKey("c")); !ok || len(v.Reasons) == 0 {
				t.Errorf("%s: nobody says why it waits", c.name)
			}
			continue
		}
		if v := volumeOf(w, c.want); v.Status.Phase != corev1.VolumeBound || string(v.Spec.ClaimRef.UID) != string(w.Get(claimKey("c")).UID) {
			t.Errorf("%s: the volume is %s for %v", c.name, v.Status.Phase, v.Spec.ClaimRef)
		}
	}
}

func TestAVolumeMeantForAClaimIsItsOwn(t *testing.T) {
	w := cluster()
	w.Apply(claimKey("c"), spec("1Gi", "local", ""))
	settle(t, w)
	if got := claimOf(w, "c"); got.Spec.VolumeName != "" {
		t.Fatalf("it has %s before any pod", got.Spec.VolumeName)
	}
	w.Apply(projections.VolumeKey("meant"), hand("1Gi", "local", `,"claimRef":{"namespace":"default","name":"c"}`))
	settle(t, w)
	if got := claimOf(w, "c"); got.Spec.VolumeName != "meant" || got.Status.Phase != corev1.ClaimBound {
		t.Errorf("%s with %q", got.Status.Phase, got.Spec.VolumeName)
	}
}

// choose is what the scheduler does for the first pod.
func choose(w *stage.World, name, node string) {
	o := w.Get(claimKey(name))
	w.Do(edited(o, func(m map[string]any) {
		reconcilers.Field(reconcilers.Field(m, "metadata"), "annotations")[projections.SelectedNode] = node
	}))
}

func TestALocalVolumeLivesAndEnds(t *testing.T) {
	w := cluster()
	w.Apply(claimKey("c"), strings.Replace(spec("1Gi", "local", ""), `"storageClassName":"local",`, "", 1)) // the cluster's
	settle(t, w)
	choose(w, "c", "n1")
	settle(t, w)
	claim := claimOf(w, "c")
	name := "pvc-" + string(claim.UID)
	v := volumeOf(w, name)
	if claim.Status.Phase != corev1.ClaimBound || claim.Spec.VolumeName != name || v == nil || v.Status.Phase != corev1.VolumeBound {
		t.Fatalf("claim %+v, volume %+v", claim, v)
	}
	if v.Spec.Local.Path != "/var/lib/stave/claims/"+name || !ReachesNode(v, "n1", nil) && v.Spec.NodeAffinity == nil || claim.Status.Capacity.Storage().String() != "1Gi" {
		t.Errorf("volume %+v", v.Spec)
	}
	row := w.Get(projections.VolumeKey(name))
	w.Append(seen("n2", name, row.UID, events.VolumeMade)) // another node's word is void
	w.Append(seen("n1", name, row.UID, events.VolumeMade))
	if d := w.Get(row.Key).Disk; d == nil || d.Node != "n1" {
		t.Errorf("disk %+v", d)
	}
	w.Delete(claimKey("c"))
	settle(t, w)
	if w.Get(claimKey("c")) != nil {
		t.Fatal("a claim that nobody uses stays")
	}
	gone := w.Get(row.Key)
	if gone == nil || gone.Deletion == nil || !w.State.ToErase(gone) {
		t.Fatalf("the volume has to wait for its node: %+v", gone)
	}
	if set := projections.DesiredFor(w.State, "n1"); len(set.Erase) != 1 || set.Erase[0].UID != row.UID {
		t.Errorf("the node is told %+v", set.Erase)
	}
	w.Append(seen("n2", name, row.UID, events.VolumeErased))
	w.Append(seen("n1", name, "another", events.VolumeErased))
	settle(t, w)
	if w.Get(row.Key) == nil {
		t.Fatal("gone on the word of somebody else")
	}
	w.Append(seen("n1", name, row.UID, events.VolumeErased))
	settle(t, w)
	if w.Get(row.Key) != nil {
		t.Errorf("it stays: %+v", volumeOf(w, name))
	}
}

func seen(node, volume string, uid events.UID, what events.VolumeKind) events.Envelope {
	return events.Envelope{Subject: events.SeenSubject(node), Type: events.PodsSeen, Actor: events.NodeActor(node),
		Body: events.MustBody(events.Seen{Volumes: []events.VolumeSeen{{Name: volume, UID: uid, Kind: what}}})}
}

func TestWhatIsKept(t *testing.T) {
	w := cluster()
	w.Apply(projections.VolumeKey("kept"), hand("1Gi", "hand", ""))
	w.Apply(claimKey("c"), spec("1Gi", "hand", ""))
	w.Apply(stage.PodKey("p"), `{"spec":{"containers":[{"name":"c","image":"x"}],"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"c"}}]}}`)
	settle(t, w)
	pod := w.Get(stage.PodKey("p"))
	w.Do(reconcilers.Assign("n1", events.Assigned{Pods: []events.Ref{{Key: pod.Key, UID: pod.UID}}}))
	w.Delete(projections.VolumeKey("kept"))
	w.Delete(claimKey("c"))
	settle(t, w)
	if w.Get(claimKey("c")) == nil || w.Get(projections.VolumeKey("kept")) == nil {
		t.Fatal("what a pod uses is gone")
	}
	w.Do(reconcilers.Remove(pod))
	settle(t, w)
	if w.Get(claimKey("c")) != nil || w.Get(projections.VolumeKey("kept")) != nil {
		t.Error("what nobody uses stays")
	}
	w.Apply(projections.VolumeKey("again"), hand("1Gi", "hand", ""))
	w.Apply(claimKey("d"), spec("1Gi", "hand", ""))
	settle(t, w)
	w.Delete(claimKey("d"))
	settle(t, w)
	w.Apply(claimKey("d"), spec("1Gi", "hand", ""))
	settle(t, w)
	if v := volumeOf(w, "again"); v == nil || v.Status.Phase != corev1.VolumeReleased || claimOf(w, "d").Spec.VolumeName != "" {
		t.Errorf("data that is kept goes to the next of the name: %v", v.Status)
	}
}

func TestWhyAClaimWaits(t *testing.T) {
	many := strings.Replace(spec("1Gi", "local", ""), "ReadWriteOnce", "ReadWriteMany", 1)
	for name, c := range map[string]struct{ class, claim, want string }{
		"first pod":  {"", spec("1Gi", "local", ""), "waiting for first consumer"},
		"many nodes": {"", many, "ReadWriteMany wants many"},
		"no class":   {"", spec("1Gi", "standard", ""), `storageclass.storage.k8s.io "standard" not found`},
		"none set":   {"", spec("1Gi", "", ""), "no storage class is set"},
		"outside":    {`{"provisioner":"example.org/disk","volumeBindingMode":"Immediate"}`, spec("1Gi", "other", ""), "external provisioner 'example.org/disk'"},
		"by hand":    {`{"provisioner":"kubernetes.io/no-provisioner","volumeBindingMode":"Immediate"}`, spec("1Gi", "other", ""), "made by people"},
		"parameters": {`{"provisioner":"stave.run/local","volumeBindingMode":"Immediate","parameters":{"type":"ssd"}}`, spec("1Gi", "other", ""), "does not know: type"},
		"nowhere": {`{"provisioner":"stave.run/local","volumeBindingMode":"Immediate","allowedTopologies":[{"matchLabelExpressions":[{"key":"zone","values":["z"]}]}]}`,
			spec("1Gi", "other", ""), "no node can have the volume"},
		"not there": {"", spec("1Gi", "hand", `,"volumeName":"nobody"`), `volume "nobody": it is not there`},
	} {
		w := cluster()
		if c.class != "" {
			w.Apply(classKey("other"), c.class)
		}
		w.Apply(claimKey("c"), c.claim)
		settle(t, w)
		v, ok := w.State.Verdict(claimKey("c"))
		if !ok || len(v.Reasons) != 1 || !strings.Contains(v.Reasons[0].Said, c.want) {
			t.Errorf("%s: %+v, want %q", name, v, c.want)
		}
	}
}

// Claims and volumes come and go in any order: whoever is bound stays so until one of them is gone, and nobody shares.
func TestBoundIsForEver(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := cluster()
		w.Apply(classKey("now"), `{"provisioner":"stave.run/local","volumeBindingMode":"Immediate","reclaimPolicy":"Delete"}`)
		pairs := map[events.UID]events.UID{} // claim to volume
		names := []string{"a", "b", "c"}
		for range rapid.IntRange(1, 15).Draw(rt, "steps") {
			name := rapid.SampledFrom(names).Draw(rt, "name")
			class := rapid.SampledFrom([]string{"hand", "local", "now", ""}).Draw(rt, "class")
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0:
				if w.Get(claimKey(name)) == nil {
					w.Apply(claimKey(name), spec(rapid.SampledFrom([]string{"1Gi", "2Gi"}).Draw(rt, "size"), class, ""))
				}
			case 1:
				if w.Get(projections.VolumeKey(name)) == nil {
					ref := ""
					if rapid.Bool().Draw(rt, "meant") {
						ref = `,"claimRef":{"namespace":"default","name":"` + rapid.SampledFrom(names).Draw(rt, "for") + `"}`
					}
					w.Apply(projections.VolumeKey(name), hand("2Gi", class, ref))
				}
			case 2:
				if o := w.Get(claimKey(name)); o != nil && o.Deletion == nil {
					w.Delete(claimKey(name))
				}
			case 3:
				if o := w.Get(projections.VolumeKey(name)); o != nil && o.Deletion == nil {
					w.Delete(o.Key)
				}
			case 4:
				if o := w.Get(claimKey(name)); o != nil && o.Deletion == nil && claimOf(w, name).Spec.VolumeName == "" {
					choose(w, name, "n1")
				}
			}
			settle(t, w)
			taken := map[events.UID]bool{}
			for o := range w.State.List(events.Claims, "") {
				v, bound := w.State.VolumeOf(o)
				had, was := pairs[o.UID]
				switch {
				case was && (!bound || v.UID != had):
					rt.Fatalf("%s lost its volume", o.Key)
				case bound && taken[v.UID]:
					rt.Fatalf("%s is shared", v.Key)
				case bound:
					pairs[o.UID], taken[v.UID] = v.UID, true
				}
			}
		}
	})
}

// A pod that comes under the name of one before gets its own claim when that one's is gone, and so does a pod whose claim somebody took away.
func TestAPodsOwnClaimComesAgain(t *testing.T) {
	w := cluster()
	type turn struct {
		who reconcilers.Reconciler
		key events.Key
	}
	var waiting []turn // each once, as in the writer's queue
	w.OnFold = func(_ events.Envelope, changes []projections.Change) {
		for _, who := range []reconcilers.Reconciler{Reconciler{}, gc.Reconciler{}} {
			for _, c := range changes {
				for _, k := range who.Keys(w.State, c) {
					if x := (turn{who, k}); !slices.Contains(waiting, x) {
						waiting = append(waiting, x)
					}
				}
			}
		}
	}
	live := func() {
		for len(waiting) > 0 { // all of one turn is decided on one view
			var all []reconcilers.Draft
			for _, x := range waiting {
				all = append(all, x.who.Decide(w.State, x.key, w.Now).Events...)
			}
			waiting = nil
			w.Do(all...)
		}
	}
	const pod = `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}],"volumes":[{"name":"v","ephemeral":{"volumeClaimTemplate":{"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}}}]}}`
	owner := func() events.UID {
		live()
		if o := w.Get(claimKey("p-v")); o != nil && o.Owner != nil {
			return o.Owner.UID
		}
		return ""
	}
	first := w.Apply(stage.PodKey("p"), pod)
	if owner() != first.UID {
		t.Fatal("no claim for the first")
	}
	w.Do(reconcilers.Remove(first))
	second := w.Apply(stage.PodKey("p"), pod)
	if owner() != second.UID {
		t.Fatalf("of the second it is %+v", w.Get(claimKey("p-v")))
	}
	w.Delete(claimKey("p-v"))
	if owner() != second.UID {
		t.Fatal("it does not come again")
	}
}

// A volume whose labels name zones is reached from nodes in one of them, as Kubernetes' scheduler reads them.
func TestLabelsSayWhereAVolumeIs(t *testing.T) {
	for _, c := range []struct {
		volume, node map[string]string
		want         bool
	}{
		{nil, map[string]string{corev1.LabelTopologyZone: "a"}, true},
		{map[string]string{corev1.LabelTopologyZone: "a"}, nil, true},
		{map[string]string{corev1.LabelTopologyZone: "a"}, map[string]string{corev1.LabelTopologyZone: "a"}, true},
		{map[string]string{corev1.LabelTopologyZone: "a"}, map[string]string{corev1.LabelTopologyZone: "b"}, false},
		{map[string]string{corev1.LabelTopologyZone: "a__b"}, map[string]string{corev1.LabelTopologyZone: "b"}, true},
		{map[string]string{corev1.LabelTopologyZone: "a__"}, map[string]string{corev1.LabelTopologyZone: "b"}, true},
		{map[string]string{corev1.LabelTopologyRegion: "r"}, map[string]string{corev1.LabelTopologyZone: "a"}, false},
		{map[string]string{corev1.LabelFailureDomainBetaZone: "a"}, map[string]string{corev1.LabelTopologyZone: "a"}, true},
		{map[string]string{corev1.LabelFailureDomainBetaZone: "a"}, map[string]string{corev1.LabelTopologyZone: "b"}, false},
		{map[string]string{corev1.LabelTopologyZone: "a"}, map[string]string{corev1.LabelFailureDomainBetaZone: "a"}, false},
	} {
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Labels: c.volume}}
		if got := ReachesNode(pv, "n1", c.node); got != c.want {
			t.Errorf("%v from %v: %v", c.volume, c.node, got)
		}
	}
}
