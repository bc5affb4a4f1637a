package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
)

// Run prints a line for each pod that runs, or for each of its containers.
func (c *topPodCmd) Run(ctx context.Context, s *session) error {
	if len(c.Names) > 0 && (c.Selector != "" || c.AllNamespaces) {
		return errors.New("only one of NAME or --selector can be provided, and no NAME with --all-namespaces")
	}
	if err := c.sort(nil); err != nil {
		return err
	}
	s.at = c.At
	pods, err := c.pods(ctx, s)
	if err != nil {
		return err
	}
	if len(pods) == 0 {
		s.sayNone([]target{{kind: podKind()}}, c.AllNamespaces)
		return nil
	}
	var nodes []string
	for _, p := range pods {
		if p.Spec.NodeName != "" && p.Status.Phase == corev1.PodRunning {
			nodes = append(nodes, p.Spec.NodeName)
		}
	}
	slices.Sort(nodes)
	got, err := s.measured(ctx, slices.Compact(nodes))
	rows := c.rows(pods, got)
	if len(rows) == 0 {
		return errors.Join(c.noMetrics(pods), err)
	}
	if c.Output != formatTable {
		return errors.Join(s.printDocument(c.Output, podMetrics(pods, got)), err)
	}
	if err := c.sort(rows); err != nil {
		return err
	}
	fmt.Fprint(s.out, table.Print(c.table(rows), table.Options{NoHeaders: c.NoHeaders}))
	if err != nil {
		fmt.Fprintln(s.err, "Warning: "+err.Error())
	}
	return nil
}

func podKind() events.Kind {
	k, _ := events.KindOf(events.Pods)
	return k
}

func (c *topPodCmd) pods(ctx context.Context, s *session) ([]*corev1.Pod, error) {
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	req := wire.ReadRequest{Resource: events.Pods, Namespace: s.inNamespace(), Names: c.Names, LabelSelector: c.Selector, FieldSelector: c.FieldSelector}
	if c.AllNamespaces {
		req.Namespace = ""
	}
	reply, err := s.read(ctx, req)
	if err != nil {
		return nil, err
	}
	for _, n := range reply.Missing {
		err = errors.Join(err, notFound(s.key(podKind(), n)))
	}
	objects, decodeErr := decodeAll(reply.Objects)
	if err := errors.Join(err, decodeErr); err != nil {
		return nil, err
	}
	var out []*corev1.Pod
	for _, o := range objects {
		out = append(out, o.(*corev1.Pod))
	}
	return out, nil
}

// noMetrics says why there is nothing to print.
func (c *topPodCmd) noMetrics(pods []*corev1.Pod) error {
	if len(c.Names) == 0 {
		return errors.New("metrics not available yet: none of the pods runs")
	}
	var errs []error
	for _, p := range pods {
		errs = append(errs, fmt.Errorf("metrics not available for pod %s/%s: it is %s", p.Namespace, p.Name, p.Status.Phase))
	}
	return errors.Join(errs...)
}

// byPod are the figures of all nodes' pods.
func byPod(got map[string]wire.Metrics) map[events.UID]wire.PodMetrics {
	has := map[events.UID]wire.PodMetrics{}
	for _, m := range got { //stave:sorted: into a map again
		for _, p := range m.Pods {
			has[p.UID] = p
		}
	}
	return has
}

// rows are the figures of the pods, in their order.
func (c *topPodCmd) rows(pods []*corev1.Pod, got map[string]wire.Metrics) []used {
	has := byPod(got)
	var rows []used
	for _, p := range pods {
		var sum wire.Use
		m, ok := has[events.UID(p.UID)]
		for _, x := range m.Containers {
			sum.CPU += x.Use.CPU
			sum.Memory += x.Use.Memory
			if c.Containers {
				rows = append(rows, used{c.front(p, x.Name), x.Use, true})
			}
		}
		if ok && !c.Containers {
			rows = append(rows, used{c.front(p), sum, true})
		}
	}
	return rows
}

// front is what stands in front of the figures.
func (c *topPodCmd) front(p *corev1.Pod, more ...string) []string {
	out := append([]string{p.Name}, more...)
	if c.AllNamespaces {
		out = slices.Insert(out, 0, p.Namespace)
	}
	return out
}

func (c *topPodCmd) table(rows []used) table.Table {
	names := []string{"NAME"}
	if c.Containers {
		names = []string{"POD", "NAME"}
	}
	if c.AllNamespaces {
		names = slices.Insert(names, 0, "NAMESPACE")
	}
	front := len(names)
	var t table.Table
	for _, n := range append(names, "CPU(cores)", "MEMORY(bytes)") {
		t.Columns = append(t.Columns, table.Column{Name: n})
	}
	var sum wire.Use
	for _, r := range rows {
		sum.CPU += r.use.CPU
		sum.Memory += r.use.Memory
		t.Rows = append(t.Rows, table.Row{Cells: append(r.cells, cpuCell(r.use), memoryCell(r.use))})
	}
	if c.Sum {
		blank := make([]string, front)
		t.Rows = append(t.Rows, table.Row{Cells: append(slices.Clone(blank), "________", "________")},
			table.Row{Cells: append(blank, cpuCell(sum), memoryCell(sum))})
	}
	return t
}
