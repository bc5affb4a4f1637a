package kube_test

import (
	"regexp"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

func TestMetricsOfTheServer(t *testing.T) {
	h := open(t)
	c := h.client()
	if _, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), configMap("c", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CoordinationV1().Leases("default").Create(t.Context(), lease("a", "me"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w, err := c.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if e := <-w.ResultChan(); e.Type != watch.Added {
		t.Errorf("watched %v", e)
	}
	if err := c.CoreV1().RESTClient().Get().RequestURI("/api/v1/nosuchthings").Do(t.Context()).Error(); !apierrors.IsNotFound(err) {
		t.Errorf("what is not there: %v", err)
	}
	text, err := c.RESTClient().Get().RequestURI("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`apiserver_request_total\{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"\} [1-9]`,
		`apiserver_request_total\{code="201",component="apiserver",dry_run="",group="coordination.k8s.io",resource="leases",scope="resource",subresource="",verb="POST",version="v1"\} [1-9]`,
		`apiserver_request_duration_seconds_bucket\{.*resource="configmaps".*verb="LIST".*le="1"\} [1-9]`,
		`apiserver_longrunning_requests\{.*resource="configmaps".*verb="WATCH".*\} [1-9]`,
		`stave_log_sequence [1-9]`, `stave_log_durable_sequence [1-9]`, `stave_log_folded_sequence [1-9]`, `stave_log_watermark_lag_events [0-9]`,
		`stave_objects\{resource="namespaces"\} [1-9]`, `stave_pods\{phase="Running"\} 0`,
		`stave_notes\{resource="leases.coordination.k8s.io"\} 1`, `stave_notes_bytes\{resource="leases.coordination.k8s.io"\} [1-9]`,
		`stave_requests_in_flight\{kind="long"\} [1-9]`, `stave_requests_in_flight\{kind="read"\} 1`, `stave_requests_waiting\{kind="write"\} 0`,
		`go_goroutines [1-9]`, `process_resident_memory_bytes [1-9]`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).Match(text) {
			t.Errorf("no %s", want)
		}
	}
	if regexp.MustCompile("nosuchthings").Match(text) {
		t.Error("what anybody asks for became a label")
	}
}

// As in Kubernetes it takes the path's own permission, which system:monitoring has.
func TestWhoReadsMetrics(t *testing.T) {
	h := open(t)
	for user, want := range map[string]func(error) bool{"ann": apierrors.IsForbidden, "prometheus": func(err error) bool { return err == nil }} {
		group := "people"
		if user == "prometheus" {
			group = "system:monitoring"
		}
		c, err := kubernetes.NewForConfig(h.as(user, group))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.RESTClient().Get().RequestURI("/metrics").Do(t.Context()).Error(); !want(err) {
			t.Errorf("%s: %v", user, err)
		}
	}
}
