package kube_test

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// said collects the warnings of answers.
type said []string

// HandleWarningHeader implements rest.WarningHandler.
func (s *said) HandleWarningHeader(_ int, _, text string) { *s = append(*s, text) }

// metricsServer is what the manifest of a metrics server says of its API.
const metricsServer = `{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1beta1.metrics.k8s.io","labels":{"k8s-app":"metrics-server"}},
"spec":{"group":"metrics.k8s.io","groupPriorityMinimum":100,"insecureSkipTLSVerify":true,"service":{"name":"metrics-server","namespace":"kube-system"},"version":"v1beta1","versionPriority":100}}`

// The APIService of what is served here is kept, whichever way it is written, and nobody is sent to its service; when it is
// gone, the one that follows from what is served stands there again.
func TestServicesOfWhatIsServedAreKept(t *testing.T) {
	h := open(t)
	var warned said
	config := rest.CopyConfig(h.config)
	config.WarningHandler = &warned
	c := dynamic.NewForConfigOrDie(config).Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
	const name = "v1beta1.metrics.k8s.io"
	own, err := c.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	tells := func(how watch.EventType, service bool) {
		t.Helper()
		e := <-w.ResultChan()
		o, _ := e.Object.(*unstructured.Unstructured)
		if _, of, _ := unstructured.NestedMap(o.Object, "spec", "service"); e.Type != how || of != service {
			t.Errorf("%s %v, want %s %t", e.Type, o, how, service)
		}
	}
	tells(watch.Added, false)
	for way, write := range map[string]func() error{
		"create": func() error {
			_, err := c.Create(t.Context(), toUnstructured(t, metricsServer), metav1.CreateOptions{})
			return err
		},
		"update": func() error {
			o := toUnstructured(t, metricsServer)
			o.SetResourceVersion(own.GetResourceVersion())
			_, err := c.Update(t.Context(), o, metav1.UpdateOptions{})
			return err
		},
		"patch": func() error {
			_, err := c.Patch(t.Context(), name, types.StrategicMergePatchType, []byte(metricsServer), metav1.PatchOptions{})
			return err
		},
		"apply": func() error {
			_, err := c.Patch(t.Context(), name, types.ApplyPatchType, []byte(metricsServer), metav1.PatchOptions{FieldManager: "me"})
			return err
		},
	} {
		warned = nil
		if err := write(); err != nil {
			t.Fatalf("%s: %v", way, err)
		}
		if all := strings.Join(warned, "\n"); !strings.Contains(all, "Stave answers metrics.k8s.io/v1beta1 itself") || strings.Contains(all, "insecureSkip") {
			t.Errorf("%s: warned %q", way, warned)
		}
		tells(watch.Added, true)
		var kept apiregistrationv1.APIService
		if err := h.read(servicesPath+"/"+name, &kept); err != nil || kept.Spec.Service == nil || kept.Labels["k8s-app"] != "metrics-server" || len(kept.Labels) != 1 ||
			kept.UID == own.GetUID() || len(kept.Status.Conditions) != 1 || kept.Status.Conditions[0].Reason != "Local" || kept.Status.Conditions[0].Status != apiregistrationv1.ConditionTrue {
			t.Errorf("%s: %+v, %v", way, kept, err)
		}
		var all apiregistrationv1.APIServiceList
		if err := h.read(servicesPath+"?labelSelector=k8s-app", &all); err != nil || len(all.Items) != 1 {
			t.Errorf("%s: %+v, %v", way, all, err)
		}
		var pods metricsv1beta1.PodMetricsList
		if err := h.read(metricsPath+"/pods", &pods); err != nil || pods.Kind != "PodMetricsList" {
			t.Errorf("%s: %+v, %v", way, pods, err)
		}
		if err := c.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatalf("%s: %v", way, err)
		}
		tells(watch.Deleted, true)
		tells(watch.Added, false)
		if o, err := c.Get(t.Context(), name, metav1.GetOptions{}); err != nil || o.GetUID() != own.GetUID() {
			t.Errorf("%s: after it %v, %v", way, o, err)
		}
	}
	warned = nil
	o, err := c.Patch(t.Context(), "v1.apps", types.MergePatchType, []byte(`{"metadata":{"annotations":{"a":"b"}}}`), metav1.PatchOptions{})
	if err != nil || o.GetAnnotations()["a"] != "b" || len(warned) > 0 {
		t.Errorf("%v, %v, %v", o, err, warned)
	}
}

func toUnstructured(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(text), o); err != nil {
		t.Fatal(err)
	}
	return o
}
