package kube_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
)

func lease(name, holder string) *coordinationv1.Lease {
	life := int32(15)
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &life}}
}

func TestLeases(t *testing.T) {
	h := open(t)
	leases := h.client().CoordinationV1().Leases("default")
	ctx := t.Context()
	made, err := leases.Create(ctx, lease("a", "me"), metav1.CreateOptions{})
	if err != nil || made.UID == "" || made.ResourceVersion == "" || made.CreationTimestamp.IsZero() {
		t.Fatalf("created %+v, %v", made, err)
	}
	if _, err := leases.Create(ctx, lease("a", "you"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("again: %v", err)
	}
	first := made.DeepCopy()
	*made.Spec.HolderIdentity = "you"
	updated, err := leases.Update(ctx, made, metav1.UpdateOptions{})
	if err != nil || *updated.Spec.HolderIdentity != "you" || updated.UID != made.UID || updated.ResourceVersion == first.ResourceVersion {
		t.Errorf("updated %+v, %v", updated, err)
	}
	if _, err := leases.Update(ctx, first, metav1.UpdateOptions{}); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "the object has been modified") {
		t.Errorf("from an old one: %v", err)
	}
	patched, err := leases.Patch(ctx, "a", types.MergePatchType, []byte(`{"metadata":{"labels":{"x":"y"}}}`), metav1.PatchOptions{})
	if err != nil || patched.Labels["x"] != "y" || *patched.Spec.HolderIdentity != "you" {
		t.Errorf("patched %+v, %v", patched, err)
	}
	if found, err := leases.List(ctx, metav1.ListOptions{LabelSelector: "x=y", FieldSelector: "metadata.name=a"}); err != nil || len(found.Items) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
	if _, err := leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: coordinationv1.LeaseSpec{LeaseDurationSeconds: new(int32)}}, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a lease of no seconds: %v", err)
	}
	dry, err := leases.Create(ctx, lease("c", "me"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil || dry.UID == "" {
		t.Errorf("dry run: %v, %v", dry, err)
	}
	if _, err := leases.Get(ctx, "c", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what was tried is there: %v", err)
	}
	other := types.UID("other")
	if err := leases.Delete(ctx, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &other}}); !apierrors.IsConflict(err) {
		t.Errorf("deletion of another: %v", err)
	}
	if err := leases.Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if err := leases.Delete(ctx, "a", metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("deleted twice: %v", err)
	}
	again, err := leases.Create(ctx, lease("a", "me"), metav1.CreateOptions{})
	if err != nil || again.UID == first.UID {
		t.Errorf("made again: %+v, %v", again, err)
	}
	if _, err := h.client().CoordinationV1().Leases("nowhere").Create(ctx, lease("a", "me"), metav1.CreateOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("in no namespace: %v", err)
	}
}

func TestLeasesAreApplied(t *testing.T) {
	h := open(t)
	leases := h.client().CoordinationV1().Leases("default")
	apply := func(manager, body string) (*coordinationv1.Lease, error) {
		return leases.Patch(t.Context(), "a", types.ApplyPatchType, []byte(`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"a"},`+body+`}`), metav1.PatchOptions{FieldManager: manager})
	}
	if _, err := apply("one", `"spec":{"holderIdentity":"me"}`); err != nil {
		t.Fatal(err)
	}
	if _, err := apply("two", `"spec":{"holderIdentity":"you"}`); !apierrors.IsConflict(err) {
		t.Errorf("another's field: %v", err)
	}
	both, err := apply("two", `"spec":{"leaseTransitions":3}`)
	if err != nil || *both.Spec.HolderIdentity != "me" || *both.Spec.LeaseTransitions != 3 || len(both.ManagedFields) != 2 {
		t.Errorf("both: %+v, %v", both, err)
	}
}

func TestFinalizersHoldLeases(t *testing.T) {
	h := open(t)
	leases := h.client().CoordinationV1().Leases("default")
	l := lease("a", "me")
	l.Finalizers = []string{"example.org/hold"}
	if _, err := leases.Create(t.Context(), l, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := leases.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	held, err := leases.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || held.DeletionTimestamp == nil {
		t.Fatalf("held: %+v, %v", held, err)
	}
	if _, err := leases.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := leases.Get(t.Context(), "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("let go: %v", err)
	}
}

// candidate runs for the lead until it is stopped.
func candidate(t *testing.T, c kubernetes.Interface, name string, leads func(string)) (stop func()) {
	t.Helper()
	lock := &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Namespace: "default", Name: "lead"}, Client: c.CoordinationV1(), LockConfig: resourcelock.ResourceLockConfig{Identity: name}}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{Lock: lock, LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 200 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(ctx context.Context) { leads(name); <-ctx.Done() }, OnStoppedLeading: func() {}}})
	})
	return func() { cancel(); done.Wait() }
}

// Two run for the lead. One dies without a word, and the other follows; the door
// closes and opens again, and at no time do two lead.
func TestLeadersAreElected(t *testing.T) {
	h := open(t)
	var leader atomic.Value
	leader.Store("")
	leads := func(name string) { leader.Store(name) }
	first := candidate(t, h.client(), "one", leads)
	defer first()
	eventually(t, "the first leads", func(context.Context) bool { return leader.Load() == "one" })
	second := candidate(t, h.client(), "two", leads)
	defer second()
	h.close()
	h.serve()
	holder := func() string {
		l, err := h.client().CoordinationV1().Leases("default").Get(t.Context(), "lead", metav1.GetOptions{})
		if err != nil || l.Spec.HolderIdentity == nil {
			return ""
		}
		return *l.Spec.HolderIdentity
	}
	eventually(t, "somebody leads after the restart", func(context.Context) bool { return holder() != "" })
	first()
	eventually(t, "the second leads", func(context.Context) bool { return leader.Load() == "two" && holder() == "two" })
	l, err := h.client().CoordinationV1().Leases("default").Get(t.Context(), "lead", metav1.GetOptions{})
	if err != nil || *l.Spec.LeaseTransitions < 1 {
		t.Errorf("the lease is %+v, %v", l, err)
	}
}

// Many writers of one lease: each update was made from what the one before left.
func TestLeaseWritersNeverOverwrite(t *testing.T) {
	h := open(t)
	leases := h.client().CoordinationV1().Leases("default")
	if _, err := leases.Create(t.Context(), lease("a", "0"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var wins atomic.Int32
	for range 8 {
		all.Go(func() {
			for range 20 {
				l, err := leases.Get(t.Context(), "a", metav1.GetOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				var n int32
				if _, err := fmt.Sscan(*l.Spec.HolderIdentity, &n); err != nil {
					t.Error(err)
				}
				next := fmt.Sprint(n + 1)
				l.Spec.HolderIdentity = &next
				switch _, err = leases.Update(t.Context(), l, metav1.UpdateOptions{}); {
				case err == nil:
					wins.Add(1)
				case !apierrors.IsConflict(err):
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	l, err := leases.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || *l.Spec.HolderIdentity != fmt.Sprint(wins.Load()) {
		t.Errorf("%d updates were taken, the lease says %v, %v", wins.Load(), *l.Spec.HolderIdentity, err)
	}
}

func TestLeasesAreWatched(t *testing.T) {
	h := open(t)
	c := h.client()
	leases := c.CoordinationV1().Leases("default")
	list, err := leases.List(t.Context(), metav1.ListOptions{})
	if err != nil || list.ResourceVersion == "" || list.ResourceVersion == "0" {
		t.Fatalf("list: %+v, %v", list, err)
	}
	made, err := leases.Create(t.Context(), lease("a", "me"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leases.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec":{"holderIdentity":"you"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := leases.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string][]watch.EventType{
		list.ResourceVersion: {watch.Added, watch.Modified, watch.Deleted},
		made.ResourceVersion: {watch.Modified, watch.Deleted},
	} {
		w, err := leases.Watch(t.Context(), metav1.ListOptions{ResourceVersion: from})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range want {
			if e := <-w.ResultChan(); e.Type != x {
				t.Errorf("from %s: %v, want %s", from, e, x)
			}
		}
		w.Stop()
	}
	// A door that was opened anew remembers nothing of how things came to be.
	h.close()
	h.serve()
	leases = h.client().CoordinationV1().Leases("default")
	if _, err := leases.List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	w, err := leases.Watch(t.Context(), metav1.ListOptions{ResourceVersion: made.ResourceVersion})
	if err == nil {
		e := <-w.ResultChan()
		err = apierrors.FromObject(e.Object)
	}
	if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		t.Errorf("from before: %v", err)
	}
}

func TestLeaseInformersOutliveTheServer(t *testing.T) {
	h := open(t)
	factory := informers.NewSharedInformerFactory(h.client(), 0)
	informer := factory.Coordination().V1().Leases()
	informer.Informer()
	factory.Start(t.Context().Done())
	if !cache.WaitForCacheSync(t.Context().Done(), informer.Informer().HasSynced) {
		t.Fatal("not in step")
	}
	for round := range 3 {
		for i := range 5 {
			if _, err := h.client().CoordinationV1().Leases("default").Create(t.Context(), lease(fmt.Sprintf("l%d-%d", round, i), "me"), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if round > 0 {
			if err := h.client().CoordinationV1().Leases("default").Delete(t.Context(), fmt.Sprintf("l%d-0", round-1), metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the informer knows all", func(context.Context) bool { return len(informer.Informer().GetStore().List()) == 5*(round+1)-round })
		h.close()
		h.serve()
	}
}

func TestPagesOfLeasesAreOneState(t *testing.T) {
	h := open(t)
	leases := h.client().CoordinationV1().Leases("default")
	for i := range 7 {
		if _, err := leases.Create(t.Context(), lease(fmt.Sprint("l", i), "me"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	opts := metav1.ListOptions{Limit: 3}
	for {
		page, err := leases.List(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range page.Items {
			names = append(names, l.Name)
		}
		if opts.Continue = page.Continue; opts.Continue == "" {
			break
		}
		if err := leases.Delete(t.Context(), fmt.Sprint("l", 7-len(names)/3), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"l0", "l1", "l2", "l3", "l4", "l5", "l6"}; !slices.Equal(names, want) {
		t.Errorf("pages show %v", names)
	}
}

func TestPagesOfLeasesThatExpired(t *testing.T) {
	h := open(t)
	leases := h.client().CoordinationV1().Leases("default")
	for i := range 6 {
		if _, err := leases.Create(t.Context(), lease(fmt.Sprint("l", i), "me"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	first, err := leases.List(t.Context(), metav1.ListOptions{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := leases.Delete(t.Context(), "l1", metav1.DeleteOptions{}); err != nil { // the last one that was shown
		t.Fatal(err)
	}
	for range 20 { // more than the sheets that are kept
		if _, err := leases.List(t.Context(), metav1.ListOptions{Limit: 1}); err != nil {
			t.Fatal(err)
		}
	}
	h.goesOn(first.ResourceVersion, first.Continue, func(opts metav1.ListOptions) (metav1.ListInterface, []string, error) {
		l, err := leases.List(t.Context(), opts)
		var names []string
		for _, x := range l.Items {
			names = append(names, x.Name)
		}
		return l, names, err
	}, "l2", "l3", "l4", "l5")
}

func TestNotesEndWithTheirNamespace(t *testing.T) {
	h := open(t)
	c := h.client()
	make := func() {
		t.Helper()
		if _, err := c.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "blue"}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	make()
	if _, err := c.CoordinationV1().Leases("blue").Create(t.Context(), lease("a", "me"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.CoreV1().Namespaces().Delete(t.Context(), "blue", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace is gone", func(context.Context) bool {
		_, err := c.CoreV1().Namespaces().Get(t.Context(), "blue", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	eventually(t, "and the lease", func(context.Context) bool {
		_, err := c.CoordinationV1().Leases("blue").Get(t.Context(), "a", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	make()
	if _, err := c.CoordinationV1().Leases("blue").Create(t.Context(), lease("a", "me"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestRecordersOfEvents(t *testing.T) {
	h := open(t)
	c := h.client()
	pod := &corev1.ObjectReference{Kind: "Thing", Namespace: "default", Name: "x", UID: "1"}
	b := record.NewBroadcaster()
	defer b.Shutdown()
	b.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: c.CoreV1().Events("")})
	r := b.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "tester"})
	for range 3 {
		r.Event(pod, corev1.EventTypeWarning, "Failed", "it does not work")
	}
	about := "involvedObject.name=x,involvedObject.kind=Thing,involvedObject.uid=1"
	eventually(t, "an event is counted", func(context.Context) bool {
		all, err := c.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: about})
		return err == nil && len(all.Items) == 1 && all.Items[0].Count == 3 && all.Items[0].Source.Component == "tester"
	})
	same, err := c.EventsV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "regarding.name=x,reason=Failed"})
	if err != nil || len(same.Items) != 1 || same.Items[0].Note != "it does not work" || same.Items[0].DeprecatedCount != 3 {
		t.Errorf("by the new API: %+v, %v", same, err)
	}
	e := &eventsv1.Event{ObjectMeta: metav1.ObjectMeta{GenerateName: "x."}, EventTime: metav1.NowMicro(), Type: "Normal", Reason: "Worked", Action: "Work", Note: "it does",
		ReportingController: "example.org/tester", ReportingInstance: "t-1", Regarding: *pod}
	made, err := c.EventsV1().Events("default").Create(t.Context(), e, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	old, err := c.CoreV1().Events("default").Get(t.Context(), made.Name, metav1.GetOptions{})
	if err != nil || old.Message != "it does" || old.InvolvedObject != *pod || old.UID != made.UID {
		t.Errorf("by the old API: %+v, %v", old, err)
	}
	e.Action = ""
	if _, err := c.EventsV1().Events("default").Create(t.Context(), e, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("without an action: %v", err)
	}
	if err := c.CoreV1().Events("default").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: about}); err != nil {
		t.Error(err)
	}
	if all, err := c.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: about}); err != nil || len(all.Items) != 0 {
		t.Errorf("deleted: %+v, %v", all, err)
	}
}

// What the log knows is shown beside what clients write, and cannot be changed.
func TestEventsAreToldFromTheLog(t *testing.T) {
	h := open(t)
	c := h.client()
	if _, err := c.AppsV1().Deployments("default").Create(t.Context(), workload("web", 2), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var found []corev1.Event
	eventually(t, "its scaling is told", func(context.Context) bool {
		all, err := c.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=Deployment,involvedObject.name=web"})
		if err != nil {
			t.Fatal(err)
		}
		found = all.Items
		return slices.ContainsFunc(found, func(e corev1.Event) bool { return e.Reason == "ScalingReplicaSet" })
	})
	e := found[0]
	if e.InvolvedObject.UID == "" || e.InvolvedObject.APIVersion != "apps/v1" || e.Name == "" || e.UID == "" {
		t.Errorf("told %+v", e)
	}
	if again, err := c.CoreV1().Events("default").Get(t.Context(), e.Name, metav1.GetOptions{}); err != nil || again.UID != e.UID {
		t.Errorf("by name: %+v, %v", again, err)
	}
	if err := c.CoreV1().Events("default").Delete(t.Context(), e.Name, metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("deleting what the log tells: %v", err)
	}
	all, err := c.EventsV1().Events("").List(t.Context(), metav1.ListOptions{})
	if err != nil || !slices.ContainsFunc(all.Items, func(x eventsv1.Event) bool { return x.Reason == "ScalingReplicaSet" && x.Regarding.Name == "web" }) {
		t.Errorf("by the new API: %v", err)
	}
}

// All leases together have a bound: what is there may be renewed and taken over beyond it, and nothing grows.
func TestLeasesAreBounded(t *testing.T) {
	h := open(t)
	leases := h.client().CoordinationV1().Leases("default")
	small, err := leases.Create(t.Context(), lease("small", "me"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", 1_000_000)
	for i := 0; err == nil; i++ {
		if i > 20 {
			t.Fatal("there is no bound")
		}
		_, err = leases.Create(t.Context(), lease(fmt.Sprint("large", i), large), metav1.CreateOptions{})
	}
	if !apierrors.IsServiceUnavailable(err) {
		t.Errorf("one too many: %v", err)
	}
	other := "somebody-else"
	small.Spec.HolderIdentity = &other
	if small, err = leases.Update(t.Context(), small, metav1.UpdateOptions{}); err != nil {
		t.Fatalf("taken over: %v", err)
	}
	small.Spec.HolderIdentity = &large
	if _, err = leases.Update(t.Context(), small, metav1.UpdateOptions{}); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("one that grows: %v", err)
	}
}
