package kube_test

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

const nodePath = "/api/v1/nodes/n1/proxy"

// measuredNode is a cluster with a node whose pod uses something.
func measuredNode(t *testing.T) *house {
	h := open(t)
	h.podOn("web")
	h.serving("web")
	pod, err := h.client().CoreV1().Pods("default").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Truncate(time.Second)
	h.agent(wire.NodeMetrics, func(ctx context.Context, _ bus.Request, s bus.Stream) {
		m := wire.Metrics{Node: "n1", At: at, Use: wire.Use{CPU: 1_500_000_000, Memory: 512 << 20, Window: 15 * time.Second, Spent: time.Hour}, Pods: []wire.PodMetrics{
			{Namespace: "default", Name: "web", UID: events.UID(pod.UID), Containers: []wire.ContainerMetrics{
				{Name: "c", Use: wire.Use{CPU: 20_000_000, Memory: 8 << 20, Window: 15 * time.Second, Spent: 1500 * time.Millisecond}},
				{Name: "d", Use: wire.Use{CPU: 30_000_000, Memory: 1 << 20, Window: 15 * time.Second, Spent: 500 * time.Millisecond}}}}}}
		_ = s.Send(ctx, bus.Frame{Channel: wire.Stdout, Data: events.MustBody(m)})
	})
	return h
}

// What tools ask of kubelets through the API is answered for nodes too: figures that Prometheus reads, the summary, the pods.
func TestProxiesOfNodes(t *testing.T) {
	h := measuredNode(t)
	for _, path := range []string{nodePath + "/healthz", "/api/v1/nodes/n1:10250/proxy/healthz/ping", "/api/v1/nodes/https:n1:10250/proxy/healthz/"} {
		if code, body, _ := h.asks(h.config, "GET", path, ""); code != 200 || body != "ok" {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	for path, want := range map[string]map[string]float64{
		"/metrics": {"kubelet_running_pods": 1, "kubelet_running_containers": 2, "kubelet_node_name": 1},
		"/metrics/resource": {"node_cpu_usage_seconds_total": 3600, "node_memory_working_set_bytes": 512 << 20, "pod_cpu_usage_seconds_total": 2, "pod_memory_working_set_bytes": 9 << 20,
			"container_cpu_usage_seconds_total": 1.5, "container_memory_working_set_bytes": 8 << 20, "resource_scrape_error": 0},
		"/metrics/cadvisor": {"container_cpu_usage_seconds_total": 1.5, "container_memory_working_set_bytes": 8 << 20, "machine_cpu_cores": 0, "machine_memory_bytes": 0},
	} {
		code, body, head := h.asks(h.config, "GET", nodePath+path, "")
		if code != 200 || !strings.HasPrefix(head.Get("Content-Type"), "text/plain; version=0.0.4") {
			t.Fatalf("%s: %d %s", path, code, body)
		}
		for name, v := range want {
			first := regexp.MustCompile(`(?m)^# TYPE ` + name + ` \w+\n` + name + `(\{\w+="[^"]*"(,\w+="[^"]*")*\})? (\S+)( \d+)?$`).FindStringSubmatch(body)
			if first == nil {
				t.Errorf("%s: no %s in %s", path, name, body)
				continue
			}
			if got, err := strconv.ParseFloat(first[3], 64); err != nil || got != v {
				t.Errorf("%s: %s is %v, want %v", path, name, got, v)
			}
		}
	}
	var sum struct {
		Node struct {
			NodeName string
			CPU      struct{ UsageNanoCores, UsageCoreNanoSeconds uint64 }
			Memory   struct{ WorkingSetBytes uint64 }
		}
		Pods []struct {
			PodRef     struct{ Name, Namespace, UID string }
			CPU        struct{ UsageNanoCores uint64 }
			Containers []struct{ Name string }
		}
	}
	if err := h.read(nodePath+"/stats/summary", &sum); err != nil || sum.Node.NodeName != "n1" || sum.Node.CPU.UsageNanoCores != 1_500_000_000 || sum.Node.CPU.UsageCoreNanoSeconds != uint64(time.Hour) || sum.Node.Memory.WorkingSetBytes != 512<<20 ||
		len(sum.Pods) != 1 || sum.Pods[0].PodRef.Name != "web" || sum.Pods[0].PodRef.UID == "" || sum.Pods[0].CPU.UsageNanoCores != 50_000_000 || len(sum.Pods[0].Containers) != 2 {
		t.Errorf("%+v, %v", sum, err)
	}
	var pods corev1.PodList
	if err := h.read(nodePath+"/pods", &pods); err != nil || len(pods.Items) != 1 || pods.Items[0].Name != "web" || pods.Items[0].Status.PodIP != "10.9.9.9" {
		t.Errorf("%+v, %v", pods, err)
	}
}

// What is not there is said to be so, and a node that does not answer is no healthy one.
func TestProxiesOfNodesThatAreNot(t *testing.T) {
	h := measuredNode(t)
	if _, err := h.client().CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "away"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path string
		code         int
		says         string
	}{
		{"GET", "/api/v1/nodes/away/proxy/healthz", 503, "error trying to reach node"},
		{"GET", "/api/v1/nodes/gone/proxy/healthz", 404, `nodes \"gone\" not found`},
		{"GET", "/api/v1/nodes/n1:22/proxy/healthz", 400, "nothing but 10250"},
		{"GET", nodePath + "/logs/", 404, "/logs is not there: a node's agent serves no HTTP"},
		{"GET", nodePath + "/configz", 404, "is not there"},
		{"GET", nodePath + "/metrics/../pods", 404, "is not there"},
		{"GET", nodePath + "/metrics/probes", 404, "is not there"},
		{"GET", nodePath + "/", 404, "is not there"},
		{"POST", nodePath + "/exec/default/web/c?command=id", 405, ""},
		{"POST", nodePath + "/run/default/web/c?cmd=id", 405, ""},
		{"DELETE", nodePath + "/pods", 405, ""},
	} {
		if code, body, _ := h.asks(h.config, c.method, c.path, ""); code != c.code || !strings.Contains(body, c.says) {
			t.Errorf("%s %s: %d %s", c.method, c.path, code, body)
		}
	}
}

// All of a node's paths need nodes/proxy; some can be given alone, as kubelets ask about them.
func TestWhoReadsNodes(t *testing.T) {
	h := measuredNode(t)
	give := func(user string, part ...string) {
		t.Helper()
		rules := []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: part}}
		if _, err := h.client().RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: rules}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		b := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: user}, Subjects: []rbacv1.Subject{{Kind: "User", Name: user}}}
		if _, err := h.client().RbacV1().ClusterRoleBindings().Create(t.Context(), b, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	give("all", "nodes/proxy")
	give("looks", "nodes/metrics", "nodes/stats")
	give("nurse", "nodes/healthz")
	give("lists", "nodes/pods")
	give("plain", "nodes", "nodes/status")
	paths := []string{"/healthz", "/metrics", "/metrics/resource", "/stats/summary", "/pods"}
	for user, may := range map[string][]string{"all": paths, "looks": {"/metrics", "/metrics/resource", "/stats/summary"}, "nurse": {"/healthz"}, "lists": {"/pods"}, "plain": nil} {
		for _, path := range paths {
			code, body, _ := h.asks(h.as(user), "GET", nodePath+path, "")
			if want := slices.Contains(may, path); want != (code == http.StatusOK) || !want && (code != 403 || !strings.Contains(body, `cannot get resource \"nodes/proxy\"`)) {
				t.Errorf("%s %s: %d %s", user, path, code, body)
			}
		}
	}
	if code, _, _ := h.asks(h.as("looks"), "GET", nodePath+"/metrics/../pods", ""); code == 200 {
		t.Error("a path with dots lets more in")
	}
	var doc metav1.APIResourceList
	if err := h.read("/api/v1", &doc); err != nil || !slices.ContainsFunc(doc.APIResources, func(r metav1.APIResource) bool { return r.Name == "nodes/proxy" && r.Kind == "NodeProxyOptions" }) {
		t.Errorf("%v", err)
	}
}
