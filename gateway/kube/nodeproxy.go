package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/rbac"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// Kubelets serve HTTP, and people read their figures through the API. Agents serve none: what tools look for is answered
// here, from what the agent says over the wires and from the log.

// kubeletPort is the port that clients name, if any.
const kubeletPort = "10250"

// fine are what may be allowed alone of a node's paths, as kubelets ask about it.
var fine = map[string]string{"metrics": "metrics", "stats": "stats", "healthz": "healthz", "pods": "pods", "logs": "log", "configz": "configz"}

// finerOf is the part of nodes that a request for a node's path may be allowed by, beside that for all of its paths.
func finerOf(what rbac.What, i *request.RequestInfo) string {
	if what.Group != "" || what.Resource != "nodes" || what.Subresource != proxying {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(pathBehind(i), "/"), "/")
	return fine[first]
}

// proxiedNode answers for a node.
func (s *Server) proxiedNode(w http.ResponseWriter, r *http.Request) {
	i, _ := request.RequestInfoFrom(r.Context())
	path := strings.Trim(pathBehind(i), "/")
	node, err := s.proxyNode(i)
	if err == nil {
		err = s.askAboutConnection(r, i, &corev1.NodeProxyOptions{Path: "/" + path}, "NodeProxyOptions")
	}
	if err == nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
		err = apierrors.NewMethodNotSupported(corev1.Resource("nodes/proxy"), strings.ToLower(r.Method))
	}
	var answer *nodeAnswer
	if err == nil {
		answer, err = s.nodeAnswer(r.Context(), node, path)
	}
	if err != nil {
		s.fail(err, w, r)
		return
	}
	w.Header().Set("Content-Type", answer.form)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodGet {
		_, _ = w.Write(answer.body) // a client that is gone need not know
	}
}

// proxyNode is the node that a request names: scheme:name:port, of which scheme and port may be left out.
func (s *Server) proxyNode(i *request.RequestInfo) (string, error) {
	_, name, port, ok := utilnet.SplitSchemeNamePort(i.Name)
	if !ok || port != "" && port != kubeletPort {
		return "", apierrors.NewBadRequest("invalid node request " + strconv.Quote(i.Name) + ": nothing but " + kubeletPort + ", a kubelet's port, is answered for")
	}
	if _, ok := s.Views.Durable().Get(events.Key{Resource: events.Nodes, Name: name}); !ok {
		return "", apierrors.NewNotFound(corev1.Resource("nodes"), name)
	}
	return name, nil
}

// nodeAnswer is what a kubelet would answer.
type nodeAnswer struct {
	form string
	body []byte
}

const (
	plainForm  = "text/plain; charset=utf-8"
	figureForm = "text/plain; version=0.0.4; charset=utf-8"
)

func (s *Server) nodeAnswer(ctx context.Context, node, path string) (*nodeAnswer, error) {
	switch path {
	case "pods", "runningpods":
		return s.podsOn(node)
	case "healthz", "healthz/ping", "healthz/log", "healthz/syncloop", "metrics", "metrics/resource", "metrics/cadvisor", "stats/summary":
	default:
		return nil, apierrors.NewGenericServerResponse(http.StatusNotFound, "get", corev1.Resource("nodes"), node,
			"/"+path+" is not there: a node's agent serves no HTTP, and only healthz, pods, metrics, metrics/resource, metrics/cadvisor and stats/summary are answered for it", 0, true)
	}
	ctx, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	m, err := s.askNode(ctx, node)
	if err != nil {
		return nil, apierrors.NewServiceUnavailable("error trying to reach node: " + err.Error())
	}
	switch path {
	case "metrics":
		return s.agentFigures(m), nil
	case "metrics/resource":
		return resourceFigures(m), nil
	case "metrics/cadvisor":
		return s.containerFigures(m), nil
	case "stats/summary":
		return s.summary(m), nil
	}
	return &nodeAnswer{plainForm, []byte("ok")}, nil
}

// podsOn are the pods of a node, as the API shows them.
func (s *Server) podsOn(node string) (*nodeAnswer, error) {
	v := s.Views.Durable()
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: []corev1.Pod{}}
	for row := range v.List(events.Pods, "") {
		if p, ok := v.PodOf(row.Key); !ok || p.Node != node {
			continue
		}
		if o, ok := s.shown(v, row.Key, s.Now()); ok {
			if p, ok := o.(*corev1.Pod); ok {
				list.Items = append(list.Items, *p)
			}
		}
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("encode pods: %w", err))
	}
	return &nodeAnswer{"application/json", raw}, nil
}

// figures writes metrics in the form of Prometheus, those of one name together.
type figures struct{ bytes.Buffer }

// begin says what follows.
func (f *figures) begin(name, kind, help string) {
	fmt.Fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// value writes one figure; labels are names and values in turn. A time of 0 is none.
func (f *figures) value(name string, v float64, at time.Time, labels ...string) {
	f.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		sign := byte(',')
		if i == 0 {
			sign = '{'
		}
		f.WriteByte(sign)
		f.WriteString(labels[i] + "=" + quotedLabel(labels[i+1]))
	}
	if len(labels) > 0 {
		f.WriteByte('}')
	}
	f.WriteString(" " + strconv.FormatFloat(v, 'g', -1, 64))
	if !at.IsZero() {
		f.WriteString(" " + strconv.FormatInt(at.UnixMilli(), 10))
	}
	f.WriteByte('\n')
}

// quotedLabel is a label's value as the form has it, which escapes less than Go.
func quotedLabel(v string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(v) + `"`
}

func (f *figures) answer() *nodeAnswer { return &nodeAnswer{figureForm, f.Bytes()} }

// resourceFigures are those of metrics/resource, by which autoscalers and metrics servers live.
func resourceFigures(m wire.Metrics) *nodeAnswer {
	f := &figures{}
	f.begin("container_cpu_usage_seconds_total", "counter", "[STABLE] Cumulative cpu time consumed by the container in core-seconds")
	eachContainer(m, func(p wire.PodMetrics, c wire.ContainerMetrics) {
		f.value("container_cpu_usage_seconds_total", c.Use.Spent.Seconds(), m.At, "container", c.Name, "namespace", p.Namespace, "pod", p.Name)
	})
	f.begin("container_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the container in bytes")
	eachContainer(m, func(p wire.PodMetrics, c wire.ContainerMetrics) {
		f.value("container_memory_working_set_bytes", float64(c.Use.Memory), m.At, "container", c.Name, "namespace", p.Namespace, "pod", p.Name)
	})
	f.begin("node_cpu_usage_seconds_total", "counter", "[STABLE] Cumulative cpu time consumed by the node in core-seconds")
	f.value("node_cpu_usage_seconds_total", m.Use.Spent.Seconds(), m.At)
	f.begin("node_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the node in bytes")
	f.value("node_memory_working_set_bytes", float64(m.Use.Memory), m.At)
	f.begin("pod_cpu_usage_seconds_total", "counter", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds")
	for _, p := range m.Pods {
		f.value("pod_cpu_usage_seconds_total", sumOf(p).Spent.Seconds(), m.At, "namespace", p.Namespace, "pod", p.Name)
	}
	f.begin("pod_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the pod in bytes")
	for _, p := range m.Pods {
		f.value("pod_memory_working_set_bytes", float64(sumOf(p).Memory), m.At, "namespace", p.Namespace, "pod", p.Name)
	}
	f.begin("resource_scrape_error", "gauge", "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise")
	f.value("resource_scrape_error", 0, time.Time{})
	return f.answer()
}

func eachContainer(m wire.Metrics, f func(wire.PodMetrics, wire.ContainerMetrics)) {
	for _, p := range m.Pods {
		for _, c := range p.Containers {
			f(p, c)
		}
	}
}

// sumOf is what a pod's containers use together.
func sumOf(p wire.PodMetrics) (sum wire.Use) {
	for _, c := range p.Containers {
		sum.CPU, sum.Memory, sum.Spent = sum.CPU+c.Use.CPU, sum.Memory+c.Use.Memory, sum.Spent+c.Use.Spent
	}
	return sum
}

// containerFigures are those of metrics/cadvisor that the agent knows.
func (s *Server) containerFigures(m wire.Metrics) *nodeAnswer {
	v := s.Views.Durable()
	f := &figures{}
	image := func(p wire.PodMetrics, name string) string {
		row, ok := v.Get(events.Key{Resource: events.Pods, Namespace: p.Namespace, Name: p.Name})
		if !ok {
			return ""
		}
		all := row.PodSpec().Containers
		if i := slices.IndexFunc(all, func(c corev1.Container) bool { return c.Name == name }); i >= 0 {
			return all[i].Image
		}
		return ""
	}
	f.begin("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.")
	eachContainer(m, func(p wire.PodMetrics, c wire.ContainerMetrics) {
		f.value("container_cpu_usage_seconds_total", c.Use.Spent.Seconds(), m.At, "container", c.Name, "cpu", "total", "image", image(p, c.Name), "namespace", p.Namespace, "pod", p.Name)
	})
	f.begin("container_memory_working_set_bytes", "gauge", "Current working set in bytes.")
	eachContainer(m, func(p wire.PodMetrics, c wire.ContainerMetrics) {
		f.value("container_memory_working_set_bytes", float64(c.Use.Memory), m.At, "container", c.Name, "image", image(p, c.Name), "namespace", p.Namespace, "pod", p.Name)
	})
	has := s.capacityOf(v, m.Node)
	f.begin("machine_cpu_cores", "gauge", "Number of logical CPU cores.")
	f.value("machine_cpu_cores", has.Cpu().AsApproximateFloat64(), time.Time{})
	f.begin("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.")
	f.value("machine_memory_bytes", has.Memory().AsApproximateFloat64(), time.Time{})
	return f.answer()
}

// capacityOf is what a node has.
func (s *Server) capacityOf(v projections.State, node string) corev1.ResourceList {
	o, _ := v.Object(events.Key{Resource: events.Nodes, Name: node}, s.Now())
	if n, ok := o.(*corev1.Node); ok {
		return n.Status.Capacity
	}
	return nil
}

// agentFigures are those of a kubelet itself that an agent has too.
func (s *Server) agentFigures(m wire.Metrics) *nodeAnswer {
	f := &figures{}
	f.begin("kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.")
	f.value("kubelet_node_name", 1, time.Time{}, "node", m.Node)
	running := 0
	eachContainer(m, func(wire.PodMetrics, wire.ContainerMetrics) { running++ })
	f.begin("kubelet_running_containers", "gauge", "[ALPHA] Number of containers currently running")
	f.value("kubelet_running_containers", float64(running), time.Time{}, "container_state", "running")
	f.begin("kubelet_running_pods", "gauge", "[ALPHA] Number of pods that have a running pod sandbox")
	f.value("kubelet_running_pods", float64(len(m.Pods)), time.Time{})
	return f.answer()
}

// The summary of stats/summary, as far as the agent knows it.
type (
	statsSummary struct {
		Node statsOf   `json:"node"`
		Pods []statsOf `json:"pods"`
	}
	statsOf struct {
		NodeName   string       `json:"nodeName,omitempty"`
		PodRef     *statsPod    `json:"podRef,omitempty"`
		Name       string       `json:"name,omitempty"`
		StartTime  *metav1.Time `json:"startTime"`
		CPU        statsCPU     `json:"cpu"`
		Memory     statsMemory  `json:"memory"`
		Containers []statsOf    `json:"containers,omitempty"`
	}
	statsPod struct {
		Name      string     `json:"name"`
		Namespace string     `json:"namespace"`
		UID       events.UID `json:"uid"`
	}
	statsCPU struct {
		Time  metav1.Time `json:"time"`
		Cores uint64      `json:"usageNanoCores"`
		Spent uint64      `json:"usageCoreNanoSeconds"`
	}
	statsMemory struct {
		Time      metav1.Time `json:"time"`
		Available *uint64     `json:"availableBytes,omitempty"`
		Working   uint64      `json:"workingSetBytes"`
	}
)

func statsFrom(u wire.Use, at time.Time) statsOf {
	when := metav1.NewTime(at)
	return statsOf{CPU: statsCPU{when, u.CPU, uint64(max(u.Spent, 0))}, Memory: statsMemory{Time: when, Working: u.Memory}}
}

func (s *Server) summary(m wire.Metrics) *nodeAnswer {
	v := s.Views.Durable()
	out := statsSummary{Node: statsFrom(m.Use, m.At), Pods: []statsOf{}}
	out.Node.NodeName = m.Node
	has := s.capacityOf(v, m.Node)
	if all := uint64(max(has.Memory().Value(), 0)); all > m.Use.Memory {
		free := all - m.Use.Memory
		out.Node.Memory.Available = &free
	}
	for _, p := range m.Pods {
		of := statsFrom(sumOf(p), m.At)
		of.PodRef = &statsPod{p.Name, p.Namespace, p.UID}
		status := s.podNow(v, p)
		of.StartTime = status.StartTime
		for _, c := range p.Containers {
			x := statsFrom(c.Use, m.At)
			x.Name, x.StartTime = c.Name, startOf(status, c.Name)
			of.Containers = append(of.Containers, x)
		}
		out.Pods = append(out.Pods, of)
	}
	return &nodeAnswer{"application/json", events.MustBody(out)}
}

// podNow is a pod's status; an empty one of a pod that the log knows no more.
func (s *Server) podNow(v projections.State, p wire.PodMetrics) corev1.PodStatus {
	o, ok := v.Object(events.Key{Resource: events.Pods, Namespace: p.Namespace, Name: p.Name}, s.Now())
	pod, is := o.(*corev1.Pod)
	if !ok || !is || events.UID(pod.UID) != p.UID {
		return corev1.PodStatus{}
	}
	return pod.Status
}

// startOf is when a container began; nil when it does not run.
func startOf(st corev1.PodStatus, name string) *metav1.Time {
	for _, c := range slices.Concat(st.InitContainerStatuses, st.ContainerStatuses, st.EphemeralContainerStatuses) {
		if c.Name == name && c.State.Running != nil {
			return &c.State.Running.StartedAt
		}
	}
	return nil
}
