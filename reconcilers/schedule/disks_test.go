package schedule

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
	"github.com/stave-run/stave/reconcilers/volume"
)

const using = `"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"c"}}]`

func claim(w *stage.World, mode, more string) {
	w.Apply(stage.In(events.Claims, "c"), `{"spec":{"accessModes":["`+mode+`"],"storageClassName":"local","resources":{"requests":{"storage":"1Gi"}}`+more+`}}`)
}

func local(w *stage.World, more string) {
	w.Apply(events.Key{Resource: events.StorageClasses, Name: "local"}, `{"provisioner":"stave.run/local","volumeBindingMode":"WaitForFirstConsumer"`+more+`}`)
}

// The first pod chooses the node, and gets it when its volume is there; who comes later has to follow.
func TestVolumesAreMadeWhereTheFirstPodGoes(t *testing.T) {
	w := stage.New()
	w.Node("n1", "1", "4Gi")
	w.Node("n2", "2", "4Gi")
	for _, n := range []string{"n1", "n2"} {
		spec(w, n, `{}`)
	}
	local(w, "")
	claim(w, "ReadWriteOnce", "")
	w.Apply(stage.PodKey("first"), asking("first", "100m", "1Mi", using))
	if d := schedule(t, w); len(d.Because) == 0 || nodeOf(w, "first") != "" {
		t.Fatalf("before its volume is there it is on %q, because %v", nodeOf(w, "first"), d.Because)
	}
	k := stage.In(events.Claims, "c")
	chosen := projections.As[*corev1.PersistentVolumeClaim](w.Get(k)).Annotations[projections.SelectedNode]
	if chosen != "n2" {
		t.Fatalf("chose %q, and n2 has more room", chosen)
	}
	for range 3 {
		if _, err := w.Run(volume.Reconciler{}, k); err != nil {
			t.Fatal(err)
		}
	}
	schedule(t, w)
	w.Apply(stage.PodKey("later"), asking("later", "100m", "1Mi", using))
	w.Apply(stage.PodKey("large"), asking("large", "1900m", "1Mi", using))
	schedule(t, w)
	if nodeOf(w, "first") != "n2" || nodeOf(w, "later") != "n2" || nodeOf(w, "large") != "" {
		t.Errorf("first on %q, later on %q, large on %q", nodeOf(w, "first"), nodeOf(w, "later"), nodeOf(w, "large"))
	}
	why := Explain(w.State, stage.PodKey("large"))
	if len(why) != 2 || why[0].Code != CodeVolumeNode && why[0].Code != CodeInsufficient {
		t.Errorf("large: %v", why)
	}
}

func TestWhyAClaimHoldsAPod(t *testing.T) {
	for name, c := range map[string]struct {
		class, claim, mode string
		want               string
	}{
		"no claim":         {"", "-", "", `0/1 nodes are available: persistentvolumeclaim "c" not found.`},
		"not waiting":      {`,"volumeBindingMode":"Immediate"`, "", "ReadWriteOnce", "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."},
		"many":             {"", "", "ReadWriteMany", "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind."},
		"another zone":     {`,"allowedTopologies":[{"matchLabelExpressions":[{"key":"zone","values":["z"]}]}]`, "", "ReadWriteOnce", "didn't find available persistent volumes to bind"},
		"a volume by name": {"", `,"volumeName":"nobody"`, "ReadWriteOnce", "unbound immediate"},
	} {
		w := stage.New()
		w.Node("n1", "2", "4Gi")
		local(w, c.class)
		if c.claim != "-" {
			claim(w, c.mode, c.claim)
		}
		w.Apply(stage.PodKey("p"), asking("p", "100m", "1Mi", using))
		schedule(t, w)
		if v, ok := w.State.Verdict(stage.PodKey("p")); !ok || !strings.Contains(v.Reasons[0].Said, c.want) {
			t.Errorf("%s: %+v, want %q", name, v, c.want)
		}
	}
}

// Two pods want what only one may have: the second waits until the first is gone, also when both ask in one pass.
func TestAnExclusiveClaimIsOnePods(t *testing.T) {
	w := stage.New()
	w.Node("n1", "2", "4Gi")
	local(w, "")
	claim(w, "ReadWriteOncePod", "")
	for _, p := range []string{"a", "b"} {
		w.Apply(stage.PodKey(p), asking(p, "100m", "1Mi", using))
	}
	schedule(t, w)
	for range 3 {
		if _, err := w.Run(volume.Reconciler{}, stage.In(events.Claims, "c")); err != nil {
			t.Fatal(err)
		}
	}
	schedule(t, w)
	if nodeOf(w, "a") != "n1" || nodeOf(w, "b") != "" {
		t.Fatalf("a on %q, b on %q", nodeOf(w, "a"), nodeOf(w, "b"))
	}
	if why := Explain(w.State, stage.PodKey("b")); len(why) != 1 || why[0].Code != CodeVolumeHeld || why[0].Have != "a" {
		t.Errorf("b: %v", why)
	}
	w.Delete(stage.PodKey("a"))
	schedule(t, w)
	if nodeOf(w, "b") != "" {
		t.Error("it got the claim while the other may still run")
	}
	w.Stopped(w.Get(stage.PodKey("a")))
	schedule(t, w)
	if nodeOf(w, "b") != "n1" {
		t.Errorf("b waits for nobody: %v", Explain(w.State, stage.PodKey("b")))
	}
}

// Pods of one template have claims of their own: that one's volume is there says nothing of the others'.
func TestOwnClaimsAreEachPods(t *testing.T) {
	w := stage.New()
	for _, n := range []string{"n1", "n2"} {
		w.Node(n, "2", "4Gi")
	}
	local(w, "")
	raw := []byte(`{"spec":{"containers":[{"name":"c"}],"volumes":[{"name":"v","ephemeral":{"volumeClaimTemplate":{"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"local","resources":{"requests":{"storage":"1Gi"}}}}}}]}}`)
	w.Do(reconcilers.StoreTemplate(raw))
	for _, name := range []string{"a", "b"} {
		w.Do(reconcilers.Create(stage.PodKey(name), events.Created{Template: events.HashOf(raw), Object: []byte(`{"metadata":{"name":"` + name + `"}}`)}))
	}
	for range 5 {
		for _, name := range []string{"a", "b"} {
			if _, err := w.Run(volume.Reconciler{}, stage.In(events.Claims, name+"-v")); err != nil {
				t.Fatal(err)
			}
		}
		schedule(t, w)
		for _, name := range []string{"a", "b"} {
			node := nodeOf(w, name)
			v, bound := w.State.VolumeOf(w.Get(stage.In(events.Claims, name+"-v")))
			if node != "" && (!bound || projections.HomeOf(v) != node) {
				t.Fatalf("%s is on %s, its volume is not: %+v", name, node, v)
			}
		}
	}
	if nodeOf(w, "a") == "" || nodeOf(w, "b") == "" {
		t.Errorf("a on %q, b on %q", nodeOf(w, "a"), nodeOf(w, "b"))
	}
}

// Where a pod's volume is does not make the emptier zones any fuller: a spread that must hold is measured against all of them.
func TestSpreadsLookBeyondVolumes(t *testing.T) {
	w := stage.New()
	zoned(w, "n1 a", "n2 b")
	running(w, "n1 foo=bar")
	local(w, "")
	w.Apply(projections.VolumeKey("v"), `{"metadata":{"name":"v"},"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"local","capacity":{"storage":"1Gi"},"hostPath":{"path":"/x"},
		"claimRef":{"namespace":"default","name":"c"},"nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"topology.kubernetes.io/zone","operator":"In","values":["a"]}]}]}}}}`)
	claim(w, "ReadWriteOnce", "")
	if _, err := w.Run(volume.Reconciler{}, stage.In(events.Claims, "c")); err != nil {
		t.Fatal(err)
	}
	labelled(w, stage.PodKey("p"), "foo=bar", using+","+spreads(constraint(corev1.LabelTopologyZone, 1, hard, "")))
	schedule(t, w)
	if nodeOf(w, "p") != "" {
		t.Errorf("two in zone a and none in b: it is on %q", nodeOf(w, "p"))
	}
	running(w, "n1 x=y", "n2 foo=bar")
	schedule(t, w)
	if nodeOf(w, "p") != "n1" {
		t.Errorf("with one in each zone it is on %q: %v", nodeOf(w, "p"), Explain(w.State, stage.PodKey("p")))
	}
}
