package kube_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// patience bounds the waits of tests; nothing comes close to it when all is well.
const patience = 60 * time.Second

// eventually waits until something holds.
func (h *house) eventually(what string, holds func() bool) {
	h.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return
		}
	}
	h.Fatalf("after %v: no %s", patience, what)
}

// next is a watch's next event.
func (h *house) next(w watch.Interface) watch.Event {
	h.Helper()
	select {
	case e, ok := <-w.ResultChan():
		if !ok {
			h.Fatal("the watch ended")
		}
		return e
	case <-time.After(patience):
		h.Fatal("nothing comes")
	}
	return watch.Event{}
}

func (h *house) expect(w watch.Interface, want ...string) (last *corev1.ConfigMap) {
	h.Helper()
	for _, x := range want {
		e := h.next(w)
		cm, ok := e.Object.(*corev1.ConfigMap)
		if !ok || fmt.Sprintf("%s %s", e.Type, cm.Name) != x {
			h.Fatalf("want %s, is %s %+v", x, e.Type, e.Object)
		}
		last = cm
	}
	return last
}

func TestWatch(t *testing.T) {
	h := open(t)
	h.fill(2)
	c := h.client().CoreV1().ConfigMaps("default")
	list, err := c.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	odd, err := c.Watch(t.Context(), metav1.ListOptions{ResourceVersion: "0", LabelSelector: "odd=1"})
	if err != nil {
		t.Fatal(err)
	}
	h.expect(odd, "ADDED c001")
	relabel := func(name, odd string) {
		if _, err := c.Patch(t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"labels":{"odd":"`+odd+`"}}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	relabel("c000", "1")
	relabel("c001", "0")
	if err := c.Delete(t.Context(), "c000", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	h.expect(all, "MODIFIED c000", "MODIFIED c001", "DELETED c000")
	last := h.expect(odd, "ADDED c000", "DELETED c001", "DELETED c000")
	if last.Labels["odd"] != "1" || last.ResourceVersion <= list.ResourceVersion {
		t.Errorf("the deleted one is told as %+v", last)
	}
	again, err := c.Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	h.expect(again, "MODIFIED c000", "MODIFIED c001", "DELETED c000")
	one, err := c.Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion, FieldSelector: "metadata.name=c001"})
	if err != nil {
		t.Fatal(err)
	}
	h.expect(one, "MODIFIED c001")
}

func TestWatchList(t *testing.T) {
	h := open(t)
	h.fill(2)
	yes := true
	w, err := h.client().CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{SendInitialEvents: &yes, AllowWatchBookmarks: true,
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
	if err != nil {
		t.Fatal(err)
	}
	mark := h.expect(w, "ADDED c000", "ADDED c001", "BOOKMARK ")
	if mark.Annotations[metav1.InitialEventsAnnotationKey] != "true" || mark.ResourceVersion == "" {
		t.Errorf("bookmark %+v", mark)
	}
}

// A watch tells where it is before its time is up, and then ends.
func TestWatchTimesOut(t *testing.T) {
	h := open(t)
	seconds := int64(3)
	w, err := h.client().CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{TimeoutSeconds: &seconds, AllowWatchBookmarks: true,
		ResourceVersion: h.view.Durable().End().String()})
	if err != nil {
		t.Fatal(err)
	}
	h.expect(w, "BOOKMARK ")
	select {
	case e, ok := <-w.ResultChan():
		if ok {
			t.Errorf("after its time: %+v", e)
		}
	case <-time.After(patience):
		t.Error("it does not end")
	}
}

// A watch goes on from any position of the log, however far back and whichever
// process it was before, and tells every change once.
func TestWatchLosesNothing(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1().ConfigMaps("default")
	h.fill(1)
	first, err := c.Get(t.Context(), "c000", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const changes = 1200 // more than the ring holds
	for i := range changes {
		if _, err := c.Patch(t.Context(), "c000", types.MergePatchType, fmt.Appendf(nil, `{"data":{"n":"%d"}}`, i), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	h.close()
	h.serve()
	c = h.client().CoreV1().ConfigMaps("default")
	w, err := c.Watch(t.Context(), metav1.ListOptions{ResourceVersion: first.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	for i := range changes {
		if cm := h.expect(w, "MODIFIED c000"); cm.Data["n"] != fmt.Sprint(i) {
			t.Fatalf("change %d is told as %s", i, cm.Data["n"])
		}
	}
}

// An informer sees what happens while the server is away, without listing again.
func TestInformerOutlivesTheServer(t *testing.T) {
	h := open(t)
	h.fill(1)
	f := informers.NewSharedInformerFactory(h.client(), 0)
	inf := f.Core().V1().ConfigMaps().Informer()
	f.Start(t.Context().Done())
	if !cache.WaitForCacheSync(t.Context().Done(), inf.HasSynced) {
		t.Fatal("no sync")
	}
	h.close()
	h.serve()
	h.add("later")
	h.eventually("later in the informer", func() bool {
		_, ok, err := inf.GetStore().GetByKey("default/later")
		return err == nil && ok
	})
}

func (h *house) add(name string) {
	h.Helper()
	if _, err := h.client().CoreV1().ConfigMaps("default").Create(h.Context(), configMap(name, nil), metav1.CreateOptions{}); err != nil {
		h.Fatal(err)
	}
}

// The old way to watch, which no query asks for: a list is no answer to it, and nothing is written there.
func TestWatchByPath(t *testing.T) {
	h := open(t)
	h.fill(2)
	c := h.client().CoreV1().RESTClient()
	for path, want := range map[string]int{"/api/v1/watch/namespaces/default/configmaps": 2, "/api/v1/watch/namespaces/default/configmaps/c000": 1, "/api/v1/watch/configmaps": 3,
		"/apis/coordination.k8s.io/v1/watch/leases": 0} {
		raw, err := c.Get().AbsPath(path).Param("timeoutSeconds", "1").Do(t.Context()).Raw()
		if err != nil || strings.Count(string(raw), `{"type":"ADDED"`) < want || strings.Contains(string(raw), `List"`) {
			t.Errorf("%s: %v, %s", path, err, raw)
		}
	}
	if code, _ := rough(t, h.config, "POST", "/api/v1/watch/namespaces/default/configmaps", "application/json", []byte("{}")); code != 405 {
		t.Errorf("to write there: %d", code)
	}
}
