package admit

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// NodeKey is where a node stands.
func NodeKey(name string) events.Key { return events.Key{Resource: events.Nodes, Name: name} }

// Join admits a node: it becomes a Node object with a part of the pod CIDR.
// A node that is there already keeps its place; nothing is drafted then. Place
// tells it where it is once the drafts are folded.
func Join(v projections.State, r wire.JoinRequest) ([]reconcilers.Draft, *metav1.Status) {
	k := NodeKey(r.Node)
	if _, ok := v.Get(k); ok {
		if n, ok := v.Node(r.Node); ok && otherMachine(n.Facts, r.Facts) {
			return nil, conflict(k, "another machine joined under this name; give this one another, or delete the node first").status()
		}
		return nil, nil
	}
	cidr, err := podCIDR(v, r.Facts.Capacity[string(corev1.ResourcePods)])
	if err != nil {
		return nil, err.status()
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: r.Node, Labels: nodeLabels(r)},
		Spec: corev1.NodeSpec{PodCIDR: cidr, PodCIDRs: []string{cidr}}}
	manifest.Default(node)
	if errs := manifest.Validate(node); len(errs) > 0 {
		return nil, invalid(k, errs).status()
	}
	raw, bad := manifest.Canonical(node)
	if bad != nil {
		return nil, badRequest("%v", bad).status()
	}
	return []reconcilers.Draft{reconcilers.Create(k, events.Created{Object: raw})}, nil
}

// otherMachine compares what machines are known by; either may be unknown.
func otherMachine(a, b events.NodeFacts) bool {
	return a.MachineID != "" && b.MachineID != "" && a.MachineID != b.MachineID
}

func nodeLabels(r wire.JoinRequest) map[string]string {
	labels := map[string]string{}
	for k, v := range r.Labels {
		labels[k] = v
	}
	host := r.Facts.Hostname
	if host == "" {
		host = r.Node
	}
	labels[corev1.LabelHostname] = host
	labels[corev1.LabelOSStable] = "linux"
	if r.Facts.Architecture != "" {
		labels[corev1.LabelArchStable] = r.Facts.Architecture
	}
	return labels
}

// Place is what a node is told that has joined.
func Place(v projections.State, name string) wire.JoinReply {
	o, ok := v.Get(NodeKey(name))
	if !ok {
		return wire.JoinReply{Error: notFound(NodeKey(name)).status()}
	}
	c := v.Cluster()
	return wire.JoinReply{UID: o.UID, PodCIDR: projections.As[*corev1.Node](o).Spec.PodCIDR,
		ClusterCIDR: c.PodCIDR, ServiceCIDR: c.ServiceCIDR, DNS: c.DNS, Domain: c.Domain}
}
