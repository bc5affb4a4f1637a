package kube_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// read asks for a path and decodes the answer.
func (h *house) read(path string, into any) error {
	h.Helper()
	body, err := h.client().RESTClient().Get().RequestURI(path).SetHeader("Accept", "application/json").DoRaw(h.Context())
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		h.Fatalf("%s: %v: %s", path, err, body)
	}
	return nil
}

const metricsPath = "/apis/metrics.k8s.io/v1beta1"

func TestWhatIsMeasured(t *testing.T) {
	h := open(t)
	h.podOn("web")
	c := h.client()
	pod, err := c.CoreV1().Pods("default").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Truncate(time.Second)
	h.agent(wire.NodeMetrics, func(ctx context.Context, _ bus.Request, s bus.Stream) {
		m := wire.Metrics{Node: "n1", At: at, Use: wire.Use{CPU: 1_500_000_000, Memory: 512 << 20, Window: 15 * time.Second}, Pods: []wire.PodMetrics{
			{Namespace: "default", Name: "web", UID: events.UID(pod.UID), Containers: []wire.ContainerMetrics{{Name: "c", Use: wire.Use{CPU: 20_000_000, Memory: 8 << 20, Window: 15 * time.Second}}}}}}
		_ = s.Send(ctx, bus.Frame{Channel: wire.Stdout, Data: events.MustBody(m)})
	})
	var nodes metricsv1beta1.NodeMetricsList
	if err := h.read(metricsPath+"/nodes", &nodes); err != nil {
		t.Fatal(err)
	}
	if len(nodes.Items) != 1 || nodes.Items[0].Name != "n1" || nodes.Items[0].Usage.Cpu().MilliValue() != 1500 || nodes.Items[0].Usage.Memory().Value() != 512<<20 || nodes.Items[0].Window.Duration != 15*time.Second {
		t.Errorf("nodes: %+v", nodes)
	}
	for path, want := range map[string]int{"/pods": 1, "/namespaces/default/pods": 1, "/namespaces/default/pods?labelSelector=app%3Dother": 0, "/pods?fieldSelector=metadata.name%3Dother": 0,
		"/pods?fieldSelector=spec.nodeName%3Dn1": 1, "/namespaces/kube-system/pods": 0} {
		var pods metricsv1beta1.PodMetricsList
		if err := h.read(metricsPath+path, &pods); err != nil {
			t.Fatal(err)
		}
		if len(pods.Items) != want || want == 1 && pods.Items[0].Containers[0].Usage.Cpu().MilliValue() != 20 {
			t.Errorf("%s: %+v", path, pods)
		}
	}
	var none metricsv1beta1.PodMetrics
	if err := h.read(metricsPath+"/namespaces/default/pods/nobody", &none); !apierrors.IsNotFound(err) {
		t.Errorf("nobody: %v", err)
	}
}

func TestNodesThatDoNotAnswerHaveNoMetrics(t *testing.T) {
	h := open(t)
	if _, err := h.client().CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var nodes metricsv1beta1.NodeMetricsList
	if err := h.read(metricsPath+"/nodes", &nodes); err != nil || len(nodes.Items) != 0 {
		t.Errorf("%+v, %v", nodes, err)
	}
}

func TestServicesOfTheAPI(t *testing.T) {
	h := open(t)
	var all apiregistrationv1.APIServiceList
	if err := h.read("/apis/apiregistration.k8s.io/v1/apiservices", &all); err != nil || len(all.Items) < 5 {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, name := range []string{"v1.", "v1beta1.metrics.k8s.io", "v1.coordination.k8s.io"} {
		var one apiregistrationv1.APIService
		err := h.read("/apis/apiregistration.k8s.io/v1/apiservices/"+name, &one)
		if err != nil || one.Name != name || len(one.Status.Conditions) != 1 || one.Status.Conditions[0].Status != apiregistrationv1.ConditionTrue {
			t.Errorf("%s: %+v, %v", name, one, err)
		}
	}
}
