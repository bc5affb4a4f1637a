package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
)

// topCmd is `stave top`.
type topCmd struct {
	Node topNodeCmd `cmd:"" aliases:"nodes,no" help:"What nodes use, of what they have to give."`
	Pod  topPodCmd  `cmd:"" aliases:"pods,po" help:"What pods use."`
}

// topFlags are those that both take.
type topFlags struct {
	then
	Selector  string `short:"l" help:"Label selector." placeholder:"SELECTOR"`
	SortBy    string `help:"cpu or memory: the biggest first." placeholder:"WHAT"`
	NoHeaders bool   `help:"Print no header line."`
	Output    format `short:"o" help:"Print a list of metrics.k8s.io instead: yaml, json or jsonpath=…" placeholder:"FORMAT"`
}

// topNodeCmd is `stave top node`.
type topNodeCmd struct {
	topFlags
	ShowCapacity bool     `help:"Compare with what nodes have, not with what they give to pods."`
	Names        []string `arg:"" optional:"" help:"NAME…"`
}

// Help implements kong's detailed help.
func (topNodeCmd) Help() string {
	return `CPU is what was used since a moment ago, not since the start. With --at, what
was used then: nodes keep the figures of the last hours in memory, one each half
minute, and those that they answered with.

Examples:
  stave top node
  stave top node --at 10m
  stave top nodes --sort-by=memory
  stave top node n1 --no-headers
  stave top node -o json`
}

// topPodCmd is `stave top pod`.
type topPodCmd struct {
	topFlags
	AllNamespaces bool     `short:"A" help:"In all namespaces."`
	Containers    bool     `help:"Each container apart."`
	Sum           bool     `help:"The sum of all as the last line."`
	FieldSelector string   `help:"Field selector." placeholder:"SELECTOR"`
	Names         []string `arg:"" optional:"" help:"NAME…"`
}

// Help implements kong's detailed help.
func (topPodCmd) Help() string {
	return `CPU is what was used since a moment ago, not since the start. With --at, what
was used then: nodes keep the figures of the last hours in memory, one each half
minute, and those that they answered with.

Examples:
  stave top pod
  stave top pods -A --at 10m
  stave top pods -A --sort-by=cpu
  stave top pod web-1 --containers
  stave top pod -l app=web --sum
  stave top pod -o jsonpath={.items[*].containers[*].usage.memory}`
}

// used is one row of top.
type used struct {
	cells []string // in front of the figures
	use   wire.Use
	known bool
}

// sort orders rows; without --sort-by they stay as they are.
func (f topFlags) sort(rows []used) error {
	var by func(wire.Use) uint64
	switch {
	case f.SortBy == "":
		return nil
	case f.Output != formatTable:
		return errors.New("--sort-by sorts the table, -o prints documents: give one of them")
	}
	switch f.SortBy {
	case "cpu":
		by = func(u wire.Use) uint64 { return u.CPU }
	case "memory":
		by = func(u wire.Use) uint64 { return u.Memory }
	default:
		return errors.New("--sort-by accepts only cpu or memory")
	}
	slices.SortStableFunc(rows, func(a, b used) int {
		switch x, y := by(a.use), by(b.use); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return nil
}

// cpuCell and memoryCell are figures in kubectl's units.
func cpuCell(u wire.Use) string    { return fmt.Sprintf("%dm", (u.CPU+999_999)/1_000_000) }
func memoryCell(u wire.Use) string { return fmt.Sprintf("%dMi", u.Memory>>20) }

// measured asks the agents of nodes; those that do not answer are not in it.
func (s *session) measured(ctx context.Context, nodes []string) (map[string]wire.Metrics, error) {
	var mu sync.Mutex
	var errs []error
	out := map[string]wire.Metrics{}
	var asking sync.WaitGroup
	ctx, cancel := context.WithTimeout(ctx, s.RequestTimeout)
	defer cancel()
	at, err := s.instant(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		asking.Go(func() {
			m, err := s.measure(ctx, n, at)
			mu.Lock()
			defer mu.Unlock()
			if errs = append(errs, err); err == nil {
				out[n] = m
			}
		})
	}
	asking.Wait()
	return out, errors.Join(errs...)
}

func (s *session) measure(ctx context.Context, node string, at time.Time) (wire.Metrics, error) {
	var m wire.Metrics
	stream, err := s.dialNode(ctx, &corev1.Pod{Spec: corev1.PodSpec{NodeName: node}}, wire.NodeMetrics, wire.MetricsRequest{At: at})
	if err != nil {
		return m, err
	}
	defer stream.Close()
	f, err := stream.Recv(ctx)
	switch {
	case err != nil:
		return m, fmt.Errorf("ask node %s for metrics: %w", node, err)
	case f.Channel == wire.Failed:
		return m, failedFrame(f.Data)
	}
	if err := json.Unmarshal(f.Data, &m); err != nil {
		return m, fmt.Errorf("decode metrics of node %s: %w", node, err)
	}
	return m, nil
}

// Run prints a line for each node.
func (c *topNodeCmd) Run(ctx context.Context, s *session) error {
	if err := c.sort(nil); err != nil {
		return err
	}
	s.at = c.At
	reply, err := s.read(ctx, wire.ReadRequest{Resource: events.Nodes, Names: c.Names, LabelSelector: c.Selector})
	if err != nil {
		return err
	}
	for _, n := range reply.Missing {
		err = errors.Join(err, notFound(events.Key{Resource: events.Nodes, Name: n}))
	}
	objects, decodeErr := decodeAll(reply.Objects)
	if err := errors.Join(err, decodeErr); err != nil {
		return err
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.GetName())
	}
	got, err := s.measured(ctx, names)
	if len(got) == 0 && len(names) > 0 {
		return errors.Join(errors.New("metrics not available yet"), err)
	}
	var rows []used
	for _, o := range objects {
		m, ok := got[o.GetName()]
		rows = append(rows, used{c.cells(o.(*corev1.Node), m.Use, ok), m.Use, ok})
	}
	if err := c.sort(rows); err != nil {
		return err
	}
	if c.Output != formatTable {
		return errors.Join(s.printDocument(c.Output, nodeMetrics(names, got)), err)
	}
	fmt.Fprint(s.out, table.Print(c.table(rows), table.Options{NoHeaders: c.NoHeaders}))
	if len(rows) == 0 {
		fmt.Fprintln(s.err, "No resources found")
	}
	if err != nil {
		fmt.Fprintln(s.err, "Warning: "+err.Error())
	}
	return nil
}

func (c *topNodeCmd) table(rows []used) table.Table {
	var t table.Table
	for _, n := range []string{"NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"} {
		t.Columns = append(t.Columns, table.Column{Name: n})
	}
	for _, r := range rows {
		t.Rows = append(t.Rows, table.Row{Cells: r.cells})
	}
	return t
}

func (c *topNodeCmd) cells(n *corev1.Node, u wire.Use, known bool) []string {
	if !known {
		return []string{n.Name, "<unknown>", "<unknown>", "<unknown>", "<unknown>"}
	}
	of := n.Status.Allocatable
	if c.ShowCapacity {
		of = n.Status.Capacity
	}
	percent := func(part, whole float64) string {
		if whole == 0 {
			return "<unknown>"
		}
		return fmt.Sprintf("%d%%", int64(part/whole*100))
	}
	return []string{n.Name, cpuCell(u), percent(float64(u.CPU)/1e9, of.Cpu().AsApproximateFloat64()),
		memoryCell(u), percent(float64(u.Memory), of.Memory().AsApproximateFloat64())}
}
