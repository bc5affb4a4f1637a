package statefulset_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
	"github.com/stave-run/stave/reconcilers/gc"
	"github.com/stave-run/stave/reconcilers/stage"
	"github.com/stave-run/stave/reconcilers/statefulset"
)

// bench is a world with one set in it.
type bench struct {
	*stage.World
	t   rapid.TB
	k   events.Key
	set *appsv1.StatefulSet
}

func n(i int) *int32 { v := int32(i); return &v }

// begin makes a set of which a test says what is special.
func begin(t rapid.TB, edit func(*appsv1.StatefulSetSpec)) *bench {
	t.Helper()
	w := stage.New()
	w.Node("n1", "64", "64Gi")
	b := &bench{World: w, t: t, k: stage.In(events.StatefulSets, "web")}
	b.set = &appsv1.StatefulSet{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"}, ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}}
	b.set.Spec.ServiceName = "www"
	b.set.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	b.set.Spec.Template.Labels = map[string]string{"app": "web"}
	b.set.Spec.Template.Spec = corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "one"}}}
	b.edit(edit)
	return b
}

// edit changes the set as a person does.
func (b *bench) edit(edit func(*appsv1.StatefulSetSpec)) {
	b.t.Helper()
	edit(&b.set.Spec)
	manifest.Default(b.set)
	if errs := manifest.Validate(b.set); len(errs) > 0 {
		b.t.Fatalf("the test's set: %v", errs)
	}
	raw, err := manifest.Canonical(b.set)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Apply(b.k, string(raw))
}

// decide lets the reconciler do all that it wants now.
func (b *bench) decide() reconcilers.Decision {
	b.t.Helper()
	d, err := b.Run(statefulset.Reconciler{}, b.k)
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

// up gives a pod to the node, which starts it.
func (b *bench) up(names ...string) {
	b.t.Helper()
	for _, name := range names {
		if o := b.pod(name); b.Row(o).Node == "" {
			b.Assign(o, "n1")
		}
		b.Ready(b.pod(name))
	}
}

// gone lets the node say that pods stopped which shall go.
func (b *bench) gone(names ...string) {
	b.t.Helper()
	for _, name := range names {
		o := b.pod(name)
		if o.Deletion == nil {
			b.t.Fatalf("nobody wants %s gone", name)
		}
		b.Stopped(o)
		if _, err := b.Run(gc.Reconciler{}, o.Key); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) pod(name string) *projections.Object {
	b.t.Helper()
	o := b.Get(stage.PodKey(name))
	if o == nil {
		b.t.Fatalf("no pod %s among %s", name, b.names())
	}
	return o
}

// names are the pods: those on their way out in brackets.
func (b *bench) names() string {
	var out []string
	for _, o := range b.Pods() {
		if o.Deletion != nil {
			out = append(out, "("+o.Key.Name+")")
			continue
		}
		out = append(out, o.Key.Name)
	}
	return strings.Join(out, " ")
}

func (b *bench) has(want string) {
	b.t.Helper()
	if got := b.names(); got != want {
		b.t.Fatalf("the pods are %q, want %q", got, want)
	}
}

func (b *bench) status() appsv1.StatefulSetStatus {
	return b.State.ObjectOf(b.Get(b.k), b.Now).(*appsv1.StatefulSet).Status
}

// images are those of the pods, in order.
func (b *bench) images() string {
	var out []string
	for _, o := range b.Pods() {
		out = append(out, o.PodSpec().Containers[0].Image)
	}
	return strings.Join(out, " ")
}

// all brings a set up to its last pod.
func (b *bench) all() {
	b.t.Helper()
	for range 20 {
		b.decide()
		for _, o := range b.Pods() {
			if o.Deletion != nil {
				b.gone(o.Key.Name)
			} else if b.Row(o).ReadySince.IsZero() {
				b.up(o.Key.Name)
			}
		}
	}
}

func image(s string) func(*appsv1.StatefulSetSpec) {
	return func(spec *appsv1.StatefulSetSpec) { spec.Template.Spec.Containers[0].Image = s }
}

func TestOneAfterTheOther(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) { s.Replicas = n(3); s.Ordinals = &appsv1.StatefulSetOrdinals{Start: 4} })
	b.decide()
	b.has("web-4")
	b.Assign(b.pod("web-4"), "n1")
	if d := b.decide(); len(d.Because) != 1 || d.Because[0].Code != "NotReady" || d.Because[0].About.Name != "web-4" {
		t.Errorf("%+v", d.Because)
	}
	b.up("web-4")
	b.decide()
	b.has("web-4 web-5")
	b.all()
	b.has("web-4 web-5 web-6")
	pod := projections.As[*corev1.Pod](b.pod("web-5"))
	rev := b.status().UpdateRevision
	if pod.Spec.Hostname != "web-5" || pod.Spec.Subdomain != "www" || pod.GenerateName != "web-" || pod.Labels["app"] != "web" ||
		pod.Labels[appsv1.StatefulSetPodNameLabel] != "web-5" || pod.Labels[appsv1.PodIndexLabel] != "5" || pod.Labels[appsv1.StatefulSetRevisionLabel] != rev {
		t.Errorf("%+v %+v", pod.ObjectMeta, pod.Spec)
	}
	if st := b.status(); st.Replicas != 3 || st.ReadyReplicas != 3 || st.AvailableReplicas != 3 || st.CurrentReplicas != 3 || st.UpdatedReplicas != 3 ||
		st.CurrentRevision != rev || !strings.HasPrefix(rev, "web-") || st.ObservedGeneration != 1 || st.CollisionCount == nil || *st.CollisionCount != 0 {
		t.Errorf("%+v", st)
	}
}

func TestAllAtOnce(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) {
		s.Replicas = n(3)
		s.PodManagementPolicy = appsv1.ParallelPodManagement
	})
	b.decide()
	b.has("web-0 web-1 web-2")
	b.edit(func(s *appsv1.StatefulSetSpec) { s.Replicas = n(1) })
	for _, o := range b.Pods() {
		b.Assign(o, "n1")
	}
	b.decide()
	b.has("web-0 (web-1) (web-2)")
}

// A name is free when its pod is gone, and not before: nothing else fences an identity.
func TestANameIsFreeWhenItsPodIsGone(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) { s.Replicas = n(1) })
	b.all()
	b.Report("n1", false)
	b.Now = b.Now.Add(time.Hour)
	b.Delete(stage.PodKey("web-0"))
	for range 3 {
		if _, err := b.Run(gc.Reconciler{}, stage.PodKey("web-0")); err != nil {
			t.Fatal(err)
		}
		if d := b.decide(); len(d.Because) != 1 || d.Because[0].Code != "Stopping" {
			t.Errorf("%+v", d.Because)
		}
	}
	b.has("(web-0)")
	was := b.pod("web-0").UID
	b.Report("n1", true)
	b.gone("web-0")
	b.decide()
	if b.has("web-0"); b.pod("web-0").UID == was {
		t.Error("it is the same pod")
	}
}

// Of a pod that failed as a whole nothing runs: it goes, and its name is made again,
// but not in a ring without a pause.
func TestFailedPodsAreReplaced(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) { s.Replicas = n(2) })
	b.all()
	b.See(b.pod("web-0"), events.Fact{Kind: events.FactFailed, Reason: "Evicted"}, events.Fact{Kind: events.FactStopped})
	d := b.decide()
	if b.has("web-0 web-1"); d.WakeAt.IsZero() {
		t.Errorf("%+v", d)
	}
	b.Now = d.WakeAt
	b.decide()
	b.has("(web-0) web-1")
	b.gone("web-0")
	b.decide()
	b.has("web-0 web-1")
}

func TestScalingDown(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) { s.Replicas = n(4) })
	b.all()
	b.See(b.pod("web-1"), events.Fact{Kind: events.FactUnready, Container: "c", Run: 1})
	b.edit(func(s *appsv1.StatefulSetSpec) { s.Replicas = n(2) })
	b.decide()
	b.has("web-0 web-1 web-2 web-3") // while one is not available, none goes
	b.See(b.pod("web-1"), events.Fact{Kind: events.FactReady, Container: "c", Run: 1})
	b.decide()
	b.has("web-0 web-1 web-2 (web-3)")
	if st := b.status(); st.Replicas != 4 || st.CurrentReplicas != 3 {
		t.Errorf("%+v", st)
	}
	b.gone("web-3")
	b.See(b.pod("web-2"), events.Fact{Kind: events.FactUnready, Container: "c", Run: 1})
	b.decide()
	b.has("web-0 web-1 (web-2)") // the only one that is not available is the one to go
}

// Pods of which nothing will run again become available no more: nobody who is to go waits for that.
func TestScalingDownWhatIsOver(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) { s.Replicas = n(2) })
	b.all()
	b.edit(func(s *appsv1.StatefulSetSpec) { s.Replicas = n(0) })
	for _, name := range []string{"web-0", "web-1"} {
		b.See(b.pod(name), events.Fact{Kind: events.FactFailed, Reason: "Evicted"}, events.Fact{Kind: events.FactStopped})
	}
	b.decide()
	b.has("web-0 (web-1)")
	b.gone("web-1")
	b.decide()
	b.has("(web-0)")
}

func TestRollingFromTheLast(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) { s.Replicas = n(3) })
	b.all()
	first := b.status().CurrentRevision
	b.edit(image("two"))
	b.decide()
	b.has("web-0 web-1 (web-2)")
	if st := b.status(); st.CurrentRevision != first || st.UpdateRevision == first || st.ObservedGeneration != 2 {
		t.Errorf("%+v", st)
	}
	b.gone("web-2")
	b.decide()
	b.up("web-2")
	if b.images() != "one one two" || b.status().UpdatedReplicas != 1 || b.status().CurrentReplicas != 2 {
		t.Errorf("%s %+v", b.images(), b.status())
	}
	b.decide()
	b.has("web-0 (web-1) web-2")
	b.all()
	if st := b.status(); b.images() != "two two two" || st.CurrentRevision != st.UpdateRevision || st.CurrentReplicas != 3 {
		t.Errorf("%s %+v", b.images(), st)
	}
	b.edit(image("one"))
	b.all()
	if st := b.status(); st.CurrentRevision != first || b.images() != "one one one" {
		t.Errorf("the way back makes a new revision: %+v of %s", st, first)
	}
}

// Below the partition pods stay what they are, also when they are made anew.
func TestThePartitionKeepsTheOld(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) { s.Replicas = n(3); s.Ordinals = &appsv1.StatefulSetOrdinals{Start: 2} })
	b.all()
	b.edit(func(s *appsv1.StatefulSetSpec) { image("two")(s); s.UpdateStrategy.RollingUpdate.Partition = n(2) })
	b.all()
	if b.images() != "one one two" {
		t.Fatal(b.images())
	}
	b.Delete(stage.PodKey("web-2"))
	b.Delete(stage.PodKey("web-4"))
	b.all()
	if st := b.status(); b.images() != "one one two" || st.CurrentRevision == st.UpdateRevision || st.CurrentReplicas != 2 || st.UpdatedReplicas != 1 {
		t.Errorf("%s %+v", b.images(), st)
	}
	b.edit(func(s *appsv1.StatefulSetSpec) { s.UpdateStrategy.RollingUpdate.Partition = n(0) })
	b.all()
	if b.images() != "two two two" {
		t.Error(b.images())
	}
}

func TestSeveralAtATime(t *testing.T) {
	two := intstr.FromString("50%")
	b := begin(t, func(s *appsv1.StatefulSetSpec) {
		s.Replicas = n(4)
		s.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{MaxUnavailable: &two}}
	})
	b.all()
	b.edit(image("two"))
	b.decide()
	b.has("web-0 web-1 (web-2) (web-3)")
}

// In parallel, old pods that do not serve go first and cost nothing.
func TestBrokenPodsAreRolledFirst(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) {
		s.Replicas = n(3)
		s.PodManagementPolicy = appsv1.ParallelPodManagement
	})
	b.all()
	b.See(b.pod("web-0"), events.Fact{Kind: events.FactUnready, Container: "c", Run: 1})
	b.edit(image("two"))
	b.decide()
	b.has("(web-0) web-1 web-2")
}

func TestOnDelete(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) {
		s.Replicas = n(2)
		s.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType}
	})
	b.all()
	b.edit(image("two"))
	b.all()
	if b.images() != "one one" {
		t.Fatal(b.images())
	}
	b.Delete(stage.PodKey("web-0"))
	b.all()
	if b.images() != "two one" {
		t.Error(b.images())
	}
}

func TestMinReadySeconds(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) { s.Replicas = n(2); s.MinReadySeconds = 30 })
	b.decide()
	b.up("web-0")
	d := b.decide()
	if b.has("web-0"); !d.WakeAt.Equal(b.Now.Add(30*time.Second)) || b.status().AvailableReplicas != 0 || b.status().ReadyReplicas != 1 {
		t.Errorf("%+v %+v", d, b.status())
	}
	b.Now = d.WakeAt
	b.decide()
	if b.has("web-0 web-1"); b.status().AvailableReplicas != 1 {
		t.Errorf("%+v", b.status())
	}
}

// A pod of an older template that is over, or lacks the label of its name, is written once a decision: the set would be stuck.
func TestRollsWhatItWritesOnce(t *testing.T) {
	for name, before := range map[string]func(b *bench){
		"over": func(b *bench) {
			b.See(b.pod("web-0"), events.Fact{Kind: events.FactFailed, Reason: "Evicted"}, events.Fact{Kind: events.FactStopped})
		},
		"adopted": func(b *bench) {
			o := b.pod("web-0")
			body := reconcilers.Same(o)
			body.Object = reconcilers.Edit(events.MustBody(o.Typed()), func(object map[string]any) {
				delete(reconcilers.Field(reconcilers.Field(object, "metadata"), "labels"), appsv1.StatefulSetPodNameLabel)
			})
			body.Template = ""
			b.Do(reconcilers.Change(o, body))
		},
	} {
		b := begin(t, func(s *appsv1.StatefulSetSpec) {
			s.Replicas, s.PodManagementPolicy = n(1), appsv1.ParallelPodManagement
		})
		b.decide()
		b.up("web-0")
		before(b)
		b.Now = b.Now.Add(time.Minute)
		b.edit(image("two"))
		if b.decide(); b.pod("web-0").Deletion == nil {
			t.Errorf("%s: it stays", name)
		}
	}
}

// Pods that match by name and labels are taken in and get their labels; one whose
// labels say otherwise is let go, and holds its name for as long as it is there.
func TestAdoptionAndRelease(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) { s.Replicas = n(2) })
	b.Apply(stage.PodKey("web-0"), `{"metadata":{"name":"web-0","namespace":"default","labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"one"}]}}`)
	b.Apply(stage.PodKey("web-x"), `{"metadata":{"name":"web-x","namespace":"default","labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"one"}]}}`)
	b.decide()
	b.up("web-0")
	b.decide()
	if o := b.pod("web-0"); o.Owner == nil || o.PodLabels()[appsv1.PodIndexLabel] != "0" || b.pod("web-x").Owner != nil {
		t.Errorf("%+v", o)
	}
	b.has("web-0 web-1 web-x")
	left := b.pod("web-1")
	body := reconcilers.Same(left)
	body.Object = reconcilers.Edit(left.Raw, func(o map[string]any) {
		reconcilers.Field(reconcilers.Field(o, "metadata"), "labels")["app"] = "other"
	})
	b.Do(reconcilers.Change(left, body))
	d := b.decide()
	if b.pod("web-1").Owner != nil || len(d.Because) == 0 || d.Because[0].Code != "NameTaken" {
		t.Errorf("%+v, %+v", b.pod("web-1").Owner, d.Because)
	}
	keys := statefulset.Reconciler{}.Keys(b.State, projections.Change{Key: stage.PodKey("web-1"), Before: b.pod("web-1")})
	if fmt.Sprint(keys) != fmt.Sprint([]events.Key{b.k}) {
		t.Errorf("the end of it wakes %v", keys)
	}
}

// What bars a pod is told once, and asked again.
func TestBarred(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) { s.Replicas = n(1) })
	said := "no"
	r := statefulset.Reconciler{Guards: func(reconcilers.View, events.Resource) birth.Guard {
		return birth.Guard{Bars: func(o events.Object) string {
			p := o.(*corev1.Pod)
			if p.Name != "web-0" || p.Labels[appsv1.PodIndexLabel] != "0" || p.Spec.Hostname != "web-0" || len(p.OwnerReferences) != 1 {
				t.Errorf("asked about %+v", p)
			}
			return said
		}}
	}}
	d, err := b.Run(r, b.k)
	if v, ok := b.State.Verdict(b.k); err != nil || !ok || len(v.Reasons) != 1 || v.Reasons[0].Code != events.FailedCreate || d.WakeAt.IsZero() {
		t.Fatalf("%+v %+v %v", v, d, err)
	}
	said = ""
	if _, err := b.Run(r, b.k); err != nil {
		t.Fatal(err)
	}
	b.up("web-0")
	if _, err := b.Run(r, b.k); err != nil {
		t.Fatal(err)
	}
	if v, _ := b.State.Verdict(b.k); len(v.Reasons) != 0 {
		t.Errorf("%+v", v)
	}
}

func TestHistoryIsKeptShort(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) { s.Replicas = n(1); s.RevisionHistoryLimit = n(2) })
	for i := range 6 {
		b.edit(image(fmt.Sprint("v", i)))
		b.all()
	}
	count := 0
	for range b.State.List(events.Revisions, "default") {
		count++
	}
	if count != 3 {
		t.Errorf("%d revisions, want the present and two", count)
	}
}

// However many pods somebody asks for, a decision makes as many as it may hold, and costs no more.
func TestHugeSetsAreMadeInSteps(t *testing.T) {
	b := begin(t, func(s *appsv1.StatefulSetSpec) {
		s.Replicas, s.PodManagementPolicy = n(50_000_000), appsv1.ParallelPodManagement
	})
	made := 0
	b.OnFold = func(e events.Envelope, _ []projections.Change) {
		if e.Type == events.TypeOf(events.Pods, events.VerbCreated) {
			made++
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d := statefulset.Reconciler{}.Decide(b.State, b.k, b.Now)
	runtime.ReadMemStats(&after)
	if len(d.Events) != reconcilers.MaxSteps || !d.More {
		t.Errorf("%d events, more %v", len(d.Events), d.More)
	}
	if cost := after.TotalAlloc - before.TotalAlloc; cost > 10<<20 {
		t.Errorf("it takes %d bytes", cost)
	}
	for range 3 {
		b.Do(statefulset.Reconciler{}.Decide(b.State, b.k, b.Now).Events...)
	}
	if _, ok := b.State.Get(stage.PodKey(fmt.Sprintf("web-%d", made-1))); made < 2*reconcilers.MaxSteps || !ok {
		t.Errorf("after three decisions %d pods, web-%d among them: %v", made, made-1, ok)
	}
}
