package deployment

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

var web = stage.In(events.Deployments, "web")

// rolling is a strategy in JSON.
func rolling(surge, away string) string {
	return `"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":` + surge + `,"maxUnavailable":` + away + `}}`
}

func object(replicas int, image, more string) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"metadata":{"name":"web","namespace":"default","annotations":{"team":"a"}},"spec":{"replicas":%d,"selector":{"matchLabels":{"app":"web"}},
		"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":%q}]}}%s}}`, replicas, image, more)
}

func decide(w *stage.World) reconcilers.Decision {
	return Reconciler{}.Decide(w.State, web, w.Now)
}

func run(t interface{ Fatal(...any) }, w *stage.World) reconcilers.Decision {
	d, err := w.Run(Reconciler{}, web)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sets are the replica sets by image: their wishes.
func sets(w *stage.World) map[string]int {
	out := map[string]int{}
	for o := range w.State.List(events.ReplicaSets, "") {
		rs := projections.As[*appsv1.ReplicaSet](o)
		if o.Deletion == nil {
			out[rs.Spec.Template.Spec.Containers[0].Image] = int(*rs.Spec.Replicas)
		}
	}
	return out
}

func setOf(w *stage.World, image string) *projections.Object {
	for o := range w.State.List(events.ReplicaSets, "") {
		if projections.As[*appsv1.ReplicaSet](o).Spec.Template.Spec.Containers[0].Image == image && o.Deletion == nil {
			return o
		}
	}
	return nil
}

// pods stands in for the replica set: it gives the set of an image so many
// pods, of which so many are ready.
func pods(w *stage.World, image string, all, ready int) {
	o := setOf(w, image)
	if o == nil {
		return
	}
	var have []*projections.Object
	for p := range w.State.Children(o.UID) {
		if p.Deletion == nil {
			have = append(have, p)
		}
	}
	for i := len(have); i < all; i++ {
		k := stage.PodKey(fmt.Sprintf("%s-%d", o.Key.Name, len(w.Log)))
		w.Do(reconcilers.Create(k, events.Created{Owner: &events.Owner{Resource: o.Key.Resource, Name: o.Key.Name, UID: o.UID},
			Template: o.Template.Hash, Object: []byte(`{"metadata":{"name":"` + k.Name + `"}}`)}))
		w.Assign(w.Get(k), "n1")
		have = append(have, w.Get(k))
	}
	for i, p := range have {
		row := w.Row(p)
		switch {
		case i >= all:
			w.Do(reconcilers.Remove(p))
		case i < ready && row.ReadySince.IsZero():
			w.Ready(p)
		case i >= ready && !row.ReadySince.IsZero():
			w.See(p, events.Fact{Kind: events.FactUnready, Container: "c", Run: 1})
		}
	}
}

func world() *stage.World {
	w := stage.New()
	w.Node("n1", "64", "64Gi")
	return w
}

func TestFirstReplicaSetLooksAsInKubernetes(t *testing.T) {
	w := world()
	w.Apply(web, object(3, "v1", `"minReadySeconds":5`))
	w.Apply(web, object(3, "v1", `"minReadySeconds":5`)) // generation 2
	run(t, w)
	o := setOf(w, "v1")
	rs := projections.As[*appsv1.ReplicaSet](o)
	hash := rs.Labels["pod-template-hash"]
	if !regexp.MustCompile(`^[bcdfghjklmnpqrstvwxz2456789]{8,10}$`).MatchString(hash) || rs.Name != "web-"+hash {
		t.Errorf("name %s, hash %s", rs.Name, hash)
	}
	if rs.Spec.Selector.MatchLabels["pod-template-hash"] != hash || rs.Spec.Template.Labels["pod-template-hash"] != hash || rs.Spec.Template.Labels["app"] != "web" {
		t.Errorf("selector %v, template %v", rs.Spec.Selector, rs.Spec.Template.Labels)
	}
	if *rs.Spec.Replicas != 3 || rs.Spec.MinReadySeconds != 5 || rs.OwnerReferences[0].Kind != "Deployment" {
		t.Errorf("spec %+v", rs.Spec)
	}
	want := map[string]string{RevisionAnnotation: "1", desiredAnnotation: "3", maxAnnotation: "4", "team": "a"}
	if fmt.Sprint(rs.Annotations) != fmt.Sprint(want) {
		t.Errorf("annotations %v", rs.Annotations)
	}
	d := w.Get(web)
	if a := d.Typed().GetAnnotations(); a[RevisionAnnotation] != "1" || a["team"] != "a" || d.Generation != 2 {
		t.Errorf("the deployment has %v, generation %d", a, d.Generation)
	}
	if w.State.Void != 0 {
		t.Errorf("%d void events", w.State.Void)
	}
}

func TestHashIsTheTemplates(t *testing.T) {
	a, b := &corev1.PodTemplateSpec{}, &corev1.PodTemplateSpec{}
	if Hash(a, 0) != Hash(b, 0) || Hash(a, 0) == Hash(a, 1) {
		t.Error("equal templates differ, or salts do not")
	}
	b.Labels = map[string]string{"a": "b"}
	if Hash(a, 0) == Hash(b, 0) {
		t.Error("different templates agree")
	}
}

func TestNameOfAnotherSetGetsASalt(t *testing.T) {
	w := world()
	w.Apply(web, object(1, "v1", ""))
	tpl := &projections.As[*appsv1.Deployment](w.Get(web)).Spec.Template
	taken := "web-" + Hash(tpl, 0)
	w.Apply(stage.In(events.ReplicaSets, taken), `{"metadata":{"name":"`+taken+`"},"spec":{"selector":{"matchLabels":{"x":"y"}},"template":{}}}`)
	run(t, w)
	if o := setOf(w, "v1"); o == nil || o.Key.Name != "web-"+Hash(tpl, 1) {
		t.Errorf("made %v", sets(w))
	}
}

func TestRoomAroundTheWish(t *testing.T) {
	for _, c := range []struct {
		replicas     int
		surge, away  string
		wantS, wantA int
	}{
		{10, `"25%"`, `"25%"`, 3, 2}, // surge up, unavailable down
		{1, `"25%"`, `"25%"`, 1, 0},
		{10, `0`, `0`, 0, 1}, // something has to move
		{3, `"0%"`, `"10%"`, 0, 1},
		{4, `2`, `9`, 2, 4}, // never below nothing
		{0, `"25%"`, `"25%"`, 0, 0},
	} {
		w := world()
		w.Apply(web, object(c.replicas, "v1", rolling(c.surge, c.away)))
		p := &pass{o: w.Get(web), d: projections.As[*appsv1.Deployment](w.Get(web))}
		p.wish()
		if p.surge != c.wantS || p.away != c.wantA {
			t.Errorf("%d with %s, %s: %d, %d", c.replicas, c.surge, c.away, p.surge, p.away)
		}
	}
}

func TestMinReadySecondsWakes(t *testing.T) {
	w := world()
	w.Apply(web, object(1, "v1", `"minReadySeconds":10,`+rolling(`1`, `0`)))
	run(t, w)
	pods(w, "v1", 1, 1)
	w.Now = w.Now.Add(time.Minute)
	w.Apply(web, object(1, "v2", `"minReadySeconds":10,`+rolling(`1`, `0`)))
	run(t, w)
	pods(w, "v2", 1, 1)
	d := run(t, w)
	if at := w.Now.Add(10 * time.Second); !d.WakeAt.Equal(at) || sets(w)["v1"] != 1 {
		t.Fatalf("wakes at %v, want %v; %v", d.WakeAt, at, sets(w))
	}
	w.Now = d.WakeAt
	run(t, w)
	if got := sets(w); got["v1"] != 0 {
		t.Errorf("after the wait %v", got)
	}
}

func TestPausedScalesButDoesNotRoll(t *testing.T) {
	w := world()
	w.Apply(web, object(2, "v1", ""))
	run(t, w)
	w.Apply(web, object(5, "v2", `"paused":true`))
	run(t, w)
	if got := sets(w); fmt.Sprint(got) != `map[v1:5]` {
		t.Errorf("sets %v", got)
	}
}

func TestScalingInTheMiddleIsProportional(t *testing.T) {
	w := world()
	w.Apply(web, object(10, "v1", rolling(`2`, `2`)))
	run(t, w)
	pods(w, "v1", 10, 10)
	w.Apply(web, object(10, "v2", rolling(`2`, `2`)))
	run(t, w)
	pods(w, "v2", 2, 0)
	run(t, w)
	if got := sets(w); fmt.Sprint(got) != `map[v1:10 v2:2]` {
		t.Fatalf("before %v", got)
	}
	w.Apply(web, object(22, "v2", rolling(`2`, `2`)))
	w.Do(decide(w).Events...)
	if got := sets(w); fmt.Sprint(got) != `map[v1:20 v2:4]` {
		t.Errorf("scaled up to %v", got)
	}
	w.Apply(web, object(10, "v2", rolling(`2`, `2`)))
	w.Do(decide(w).Events...)
	if got := sets(w); fmt.Sprint(got) != `map[v1:10 v2:2]` {
		t.Errorf("scaled down to %v", got)
	}
}

// Each set gets its part to the nearest pod, as in Kubernetes, and all parts together are what there is to share.
func TestSharesAreRounded(t *testing.T) {
	for _, c := range []struct{ a, b, want, gotA, gotB int }{
		{8, 5, 30, 20, 13}, {10, 3, 30, 25, 8}, {8, 5, 5, 5, 3}, {1, 1, 0, 0, 0}, {5, 5, 8, 5, 6}, {3, 2, 10, 8, 5},
	} {
		row := func(seq events.Seq) *projections.Object {
			return &projections.Object{Created: projections.Mark{Seq: seq}, Extras: &projections.Extras{}}
		}
		p := &pass{want: c.want, surge: 3, sets: []*set{{size: c.a, have: c.a, o: row(1)}, {size: c.b, have: c.b, o: row(2)}}}
		p.scale()
		if got := []int{p.sets[0].size, p.sets[1].size}; got[0] != c.gotA || got[1] != c.gotB || got[0]+got[1] != p.most() {
			t.Errorf("%d and %d to %d: %v", c.a, c.b, c.want, got)
		}
	}
}

// An old set was made smaller, but its pods are still there: a wish that grows waits for them.
func TestScalingInTheMiddleCountsPodsThatShallGo(t *testing.T) {
	w := world()
	w.Apply(web, object(6, "v1", rolling(`0`, `2`)))
	run(t, w)
	pods(w, "v1", 6, 6)
	w.Apply(web, object(6, "v2", rolling(`0`, `2`)))
	run(t, w)
	if got := sets(w); fmt.Sprint(got) != `map[v1:4 v2:0]` {
		t.Fatalf("before %v", got)
	}
	w.Apply(web, object(7, "v2", rolling(`0`, `2`)))
	w.Do(decide(w).Events...)
	if got := sets(w); got["v2"] > 1 || got["v1"]+got["v2"] > 5 {
		t.Errorf("beside 6 pods %v", got)
	}
	pods(w, "v1", 4, 4)
	run(t, w)
	if got := sets(w); fmt.Sprint(got) != `map[v1:5 v2:2]` {
		t.Errorf("when they are gone %v", got)
	}
}

func TestHistoryIsKeptUpToItsLimit(t *testing.T) {
	w := world()
	for i := range 6 {
		image := "v" + strconv.Itoa(i)
		w.Apply(web, object(0, image, `"revisionHistoryLimit":2`))
		run(t, w)
	}
	got := sets(w)
	if len(got) != 3 || setOf(w, "v3") == nil || setOf(w, "v4") == nil || setOf(w, "v5") == nil {
		t.Errorf("kept %v", got)
	}
}

// As with Kubernetes it is the revision that tells how old a set is: the one
// that was rolled back to is young again.
func TestHistoryForgetsByRevision(t *testing.T) {
	w := world()
	for _, image := range []string{"v1", "v2", "v1", "v3"} {
		w.Apply(web, object(0, image, `"revisionHistoryLimit":1`))
		run(t, w)
	}
	if got := sets(w); setOf(w, "v1") == nil || setOf(w, "v2") != nil || setOf(w, "v3") == nil {
		t.Errorf("kept %v", got)
	}
	w.Apply(web, object(0, "v3", `"revisionHistoryLimit":0`))
	run(t, w)
	if got := sets(w); len(got) != 1 || setOf(w, "v3") == nil {
		t.Errorf("without history %v are kept", got)
	}
}

// What is not part of the template reaches the present set without a rollout.
func TestPresentSetFollowsTheDeployment(t *testing.T) {
	w := world()
	w.Apply(web, object(1, "v1", ""))
	run(t, w)
	w.Apply(web, strings.Replace(object(1, "v1", `"minReadySeconds":7`), `"team":"a"`, `"team":"b","note":"n","kubectl.kubernetes.io/last-applied-configuration":"x"`, 1))
	run(t, w)
	rs := projections.As[*appsv1.ReplicaSet](setOf(w, "v1"))
	if rs.Spec.MinReadySeconds != 7 || rs.Annotations["team"] != "b" || rs.Annotations["note"] != "n" || rs.Annotations[desiredAnnotation] != "1" {
		t.Errorf("minReadySeconds %d, annotations %v", rs.Spec.MinReadySeconds, rs.Annotations)
	}
	if _, ok := rs.Annotations[corev1.LastAppliedConfigAnnotation]; ok || len(sets(w)) != 1 {
		t.Errorf("annotations %v, sets %v", rs.Annotations, sets(w))
	}
	before := len(w.Log)
	if run(t, w); len(w.Log) != before {
		t.Errorf("never done: %s", w.Log[before].Type)
	}
}

// A pod whose node is heard of again counts as ready from then on.
func TestReturnOfANodeStartsMinReadyAnew(t *testing.T) {
	w := world()
	const more = `"minReadySeconds":10,`
	w.Apply(web, object(1, "v1", more+rolling(`1`, `0`)))
	run(t, w)
	pods(w, "v1", 1, 1)
	w.Now = w.Now.Add(time.Minute)
	w.Apply(web, object(1, "v2", more+rolling(`1`, `0`)))
	run(t, w)
	pods(w, "v2", 1, 1)
	w.Report("n1", false)
	w.Now = w.Now.Add(time.Minute)
	run(t, w)
	w.Report("n1", true)
	d := run(t, w)
	if at := w.Now.Add(10 * time.Second); !d.WakeAt.Equal(at) || sets(w)["v1"] != 1 {
		t.Errorf("wakes at %v, want %v; %v", d.WakeAt, at, sets(w))
	}
}

func TestRollbackBumpsTheRevision(t *testing.T) {
	w := world()
	for _, image := range []string{"v1", "v2", "v1"} {
		w.Apply(web, object(0, image, ""))
		run(t, w)
	}
	for image, want := range map[string]string{"v1": "3", "v2": "2"} {
		if got := setOf(w, image).Typed().GetAnnotations()[RevisionAnnotation]; got != want {
			t.Errorf("%s has revision %s", image, got)
		}
	}
	if got := w.Get(web).Typed().GetAnnotations()[RevisionAnnotation]; got != "3" {
		t.Errorf("the deployment has %s", got)
	}
}

func TestAdoptsTheOrphansOfItsFormerLife(t *testing.T) {
	w := world()
	w.Apply(web, object(2, "v1", ""))
	run(t, w)
	rs := setOf(w, "v1")
	b := reconcilers.Same(rs)
	b.Owner = nil
	w.Do(reconcilers.Change(rs, b), reconcilers.Remove(w.Get(web)))
	c := projections.Change{Key: rs.Key, After: w.Get(rs.Key)}
	w.Apply(web, object(2, "v1", ""))
	if keys := (Reconciler{}).Keys(w.State, c); !slices.Equal(keys, []events.Key{web}) {
		t.Errorf("an orphan wakes %v", keys)
	}
	run(t, w)
	if o := w.Get(rs.Key); o.Owner == nil || o.Owner.UID != w.Get(web).UID || len(sets(w)) != 1 {
		t.Errorf("not adopted: %v", sets(w))
	}
}

func TestDecidesNothingForWhatGoesOrSelectsAll(t *testing.T) {
	w := world()
	w.Apply(web, `{"metadata":{"name":"web"},"spec":{"template":{}}}`)
	if d := decide(w); len(d.Events) != 0 || len(d.Because) != 1 {
		t.Errorf("without a selector: %+v", d)
	}
	w.Apply(web, object(2, "v1", ""))
	w.Delete(web)
	if d := decide(w); len(d.Events) != 0 {
		t.Errorf("being deleted: %v", d.Events)
	}
}

// A quota that counts ReplicaSets holds a rollout up: what there is stays, the deployment says why, and it goes on when the quota lets it.
func TestQuotasHoldRolloutsUp(t *testing.T) {
	w := world()
	quota := stage.In(events.Quotas, "few")
	limit := func(n int) {
		w.Apply(quota, fmt.Sprintf(`{"metadata":{"name":"few","namespace":"default"},"spec":{"hard":{"count/replicasets.apps":"%d"}}}`, n))
	}
	limit(1)
	w.Apply(web, object(2, "v1", `"progressDeadlineSeconds":600`))
	run(t, w)
	pods(w, "v1", 2, 2)
	w.Apply(web, object(2, "v2", `"progressDeadlineSeconds":600`))
	d := run(t, w)
	if got := sets(w); fmt.Sprint(got) != `map[v1:2]` || d.WakeAt.IsZero() {
		t.Fatalf("past the quota: %v, wakes at %v", got, d.WakeAt)
	}
	var said string
	for _, c := range w.State.ObjectOf(w.Get(web), w.Now).(*appsv1.Deployment).Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse && c.Reason == "ReplicaSetCreateError" {
			said = c.Message
		}
	}
	if !regexp.MustCompile(`^replicasets.apps "web-\w+" is forbidden: exceeded quota: few, requested: count/replicasets.apps=1, used: count/replicasets.apps=1, limited: count/replicasets.apps=1$`).MatchString(said) {
		t.Errorf("it says %q", said)
	}
	before := len(w.Log)
	if run(t, w); len(w.Log) != before {
		t.Errorf("said again: %s", w.Log[before].Type)
	}
	was := w.Get(quota)
	limit(2)
	if keys := (Reconciler{}).Keys(w.State, projections.Change{Key: quota, Before: was, After: w.Get(quota)}); !slices.Equal(keys, []events.Key{web}) {
		t.Errorf("a quota that lets it wakes %v", keys)
	}
	run(t, w)
	if v, ok := w.State.Verdict(web); sets(w)["v2"] == 0 || ok && len(v.Reasons) > 0 {
		t.Errorf("with room %v, %+v", sets(w), v)
	}
}
