package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/registry/rest"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
)

// measuredKinds are what `kubectl top` reads: what nodes and pods use now. None of it
// is in the log; the nodes are asked.
var measuredKinds = []events.Kind{
	{Resource: "nodes.metrics.k8s.io", Group: metricsv1beta1.GroupName, Version: "v1beta1", Name: "NodeMetrics", Derived: true, New: func() events.Object { return &metricsv1beta1.NodeMetrics{} }},
	{Resource: "pods.metrics.k8s.io", Group: metricsv1beta1.GroupName, Version: "v1beta1", Name: "PodMetrics", Namespaced: true, Derived: true, New: func() events.Object { return &metricsv1beta1.PodMetrics{} }},
}

// measureTime is how long a node may take to say what it uses. One that says nothing
// has no metrics.
const measureTime = 5 * time.Second

// measures is the storage of a kind that is measured.
type measures struct {
	*objects
	of *objects // whose labels and fields are selected on
}

var (
	_ rest.Getter         = &measures{}
	_ rest.Lister         = &measures{}
	_ rest.TableConvertor = &measures{}
)

func (v *verbs) addMeasures() error {
	for _, k := range measuredKinds {
		of := events.Nodes
		if k.Namespaced {
			of = events.Pods
		}
		kind, _ := events.KindOf(of)
		m := &measures{&objects{Server: v.server, kind: k}, &objects{Server: v.server, kind: kind}}
		scope, err := v.scope(k, k.GVK(), "", m, managedfields.NewDeducedTypeConverter())
		if err != nil {
			return fmt.Errorf("serve %s: %w", k.Resource, err)
		}
		v.set(k, "", "get", handlers.GetResource(m, scope))
		v.set(k, "", "list", handlers.ListResource(m, nil, scope, false, watchTime))
	}
	return nil
}

// Get implements rest.Getter.
func (m *measures) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	k := m.of.key(ctx, name)
	found, ok := m.Views.Durable().Object(k, m.Now())
	if ok {
		if items := m.measured(ctx, []events.Object{found}); len(items) > 0 {
			return items[0], nil
		}
	}
	return nil, apierrors.NewNotFound(m.resource(), name)
}

// List implements rest.Lister.
func (m *measures) List(ctx context.Context, opts *internalversion.ListOptions) (runtime.Object, error) {
	if opts == nil {
		opts = &internalversion.ListOptions{}
	}
	view := m.Views.Durable()
	var found []events.Object
	for o := range m.of.all(view, m.of.selection(ctx, opts), events.Key{Resource: m.of.kind.Resource}, m.Now()) {
		found = append(found, o)
	}
	list := m.NewList()
	fill(list, m.measured(ctx, found))
	return list, nil
}

// measured is what nodes say of objects; those without figures are left out.
func (m *measures) measured(ctx context.Context, of []events.Object) []events.Object {
	var nodes []string
	for _, o := range of {
		if n := nodeUnder(o); n != "" {
			nodes = append(nodes, n)
		}
	}
	slices.Sort(nodes)
	said := m.ask(ctx, slices.Compact(nodes))
	pods := map[events.UID]wire.PodMetrics{}
	for _, x := range said {
		for _, p := range x.Pods {
			pods[p.UID] = p
		}
	}
	var out []events.Object
	for _, o := range of {
		x, ok := said[nodeUnder(o)]
		if !ok {
			continue
		}
		switch o := o.(type) {
		case *corev1.Node:
			out = append(out, &metricsv1beta1.NodeMetrics{TypeMeta: m.typed(), ObjectMeta: m.named(o), Timestamp: metav1.NewTime(x.At), Window: metav1.Duration{Duration: x.Use.Window}, Usage: usage(x.Use)})
		case *corev1.Pod:
			if p, ok := pods[events.UID(o.UID)]; ok && len(p.Containers) > 0 {
				out = append(out, m.pod(o, x.At, p))
			}
		}
	}
	return out
}

func (m *measures) pod(o *corev1.Pod, at time.Time, p wire.PodMetrics) events.Object {
	out := &metricsv1beta1.PodMetrics{TypeMeta: m.typed(), ObjectMeta: m.named(o), Timestamp: metav1.NewTime(at)}
	for _, c := range p.Containers {
		out.Window = metav1.Duration{Duration: c.Use.Window}
		out.Containers = append(out.Containers, metricsv1beta1.ContainerMetrics{Name: c.Name, Usage: usage(c.Use)})
	}
	return out
}

func (m *measures) typed() metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: m.kind.APIVersion(), Kind: m.kind.Name}
}

// named is the metadata of what is measured, as a metrics server tells it.
func (m *measures) named(o events.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: o.GetName(), Namespace: o.GetNamespace(), Labels: o.GetLabels(), CreationTimestamp: metav1.NewTime(m.Now()).Rfc3339Copy()}
}

// usage is what is used in Kubernetes' units.
func usage(u wire.Use) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewScaledQuantity(int64(u.CPU), resource.Nano),
		corev1.ResourceMemory: *resource.NewQuantity(int64(u.Memory), resource.BinarySI),
	}
}

// nodeUnder is the node that measures an object; empty when none does.
func nodeUnder(o events.Object) string {
	switch o := o.(type) {
	case *corev1.Node:
		return o.Name
	case *corev1.Pod:
		return o.Spec.NodeName
	}
	return ""
}

// ask asks nodes what they use; those that do not answer in time are left out.
func (s *Server) ask(ctx context.Context, nodes []string) map[string]wire.Metrics {
	ctx, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	out := map[string]wire.Metrics{}
	for _, n := range nodes {
		asking.Go(func() {
			m, err := s.askNode(ctx, n)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				out[n] = m
			}
		})
	}
	asking.Wait()
	return out
}

func (s *Server) askNode(ctx context.Context, node string) (wire.Metrics, error) {
	var m wire.Metrics
	stream, err := s.dial(ctx, &corev1.Pod{Spec: corev1.PodSpec{NodeName: node}}, wire.NodeMetrics, wire.MetricsRequest{})
	if err != nil {
		return m, err
	}
	defer func() { _ = stream.Close() }() // one that is lost need not be closed
	f, err := stream.Recv(ctx)
	switch {
	case err != nil:
		return m, fmt.Errorf("ask node %s for metrics: %w", node, err)
	case f.Channel == wire.Failed:
		return m, errors.New(string(f.Data))
	}
	if err := json.Unmarshal(f.Data, &m); err != nil {
		return m, fmt.Errorf("decode metrics of node %s: %w", node, err)
	}
	return m, nil
}

// ConvertToTable implements rest.TableConvertor, with a metrics server's columns.
func (m *measures) ConvertToTable(_ context.Context, obj, opts runtime.Object) (*metav1.Table, error) {
	return tableOf(obj, opts, func(found []events.Object) table.Table {
		t := table.Table{Columns: []table.Column{{Name: "NAME"}, {Name: "CPU"}, {Name: "MEMORY"}, {Name: "WINDOW"}}}
		for _, o := range found {
			var sum corev1.ResourceList
			var window metav1.Duration
			switch o := o.(type) {
			case *metricsv1beta1.NodeMetrics:
				sum, window = o.Usage, o.Window
			case *metricsv1beta1.PodMetrics:
				sum, window = total(o.Containers), o.Window
			}
			t.Rows = append(t.Rows, table.Row{Cells: []string{o.GetName(), sum.Cpu().String(), sum.Memory().String(), window.Duration.String()}})
		}
		return t
	})
}

// total is what all containers of a pod use together.
func total(of []metricsv1beta1.ContainerMetrics) corev1.ResourceList {
	cpu, memory := resource.NewScaledQuantity(0, resource.Nano), resource.NewQuantity(0, resource.BinarySI)
	for _, c := range of {
		cpu.Add(*c.Usage.Cpu())
		memory.Add(*c.Usage.Memory())
	}
	return corev1.ResourceList{corev1.ResourceCPU: *cpu, corev1.ResourceMemory: *memory}
}
