package projections

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// End is the position after every row of the event: what somebody has who read
// the whole state.
func (s State) End() events.Position { return events.At(s.Seq, events.MaxRows-1) }

// DesiredFor is all that a node shall run, in the order of namespace and name.
func DesiredFor(s State, node string) DesiredSet {
	c := s.Cluster()
	set := DesiredSet{Node: node, Position: s.End(), Epoch: s.Epoch, DNS: c.DNS, Domain: c.Domain, Pods: []DesiredPod{}}
	if node == "" {
		return set // pods of the empty node wait for one
	}
	for p := range s.PodsOn(node) {
		if d, ok := DesiredRow(s, p.Key); ok {
			set.Pods = append(set.Pods, d)
		}
	}
	for o := range s.List(events.Volumes, "") {
		if e, ok := s.erasedBy(o, node); ok {
			set.Erase = append(set.Erase, e)
		}
	}
	return set
}

// DesiredRow is what a node shall do about one pod; false when no node shall.
func DesiredRow(s State, k events.Key) (DesiredPod, bool) {
	o, ok := s.Get(k)
	p, assigned := s.PodOf(k)
	if !ok || !assigned || p.Node == "" {
		return DesiredPod{}, false
	}
	d := DesiredPod{Position: wanted(o, p), UID: o.UID, Assigned: p.Assigned.Seq, Pod: *As[*corev1.Pod](o)}
	if o.Generation > 1 {
		d.Pod.Generation = o.Generation // the first goes without saying
	}
	d.Pod.Spec = *p.AllottedSpec(&d.Pod.Spec)
	d.Pod.Spec.NodeName, d.Resized = p.Node, p.Resized
	d.Pod.Spec.ImagePullSecrets = slices.Clone(s.withPullSecrets(o, &d.Pod.Spec).ImagePullSecrets)
	if x := o.Deletion; x != nil {
		d.Stop, d.Deadline, d.Grace, d.Why = true, x.Deadline(), &x.Grace, "deleted by "+string(x.Actor)
	}
	s.fillConfig(&d)
	s.fillTrust(&d)
	s.fillCertificates(&d)
	s.fillClaims(&d)
	d.Services = s.serviceEnv(k.Namespace, &d.Pod.Spec)
	d.Access = s.MountsAccess(o)
	d.Misfit = (o.PodSpec().NodeName != "" || !Ours(o.PodSpec())) && !s.suits(o.PodSpec(), p.Node)
	d.Named = sole(o)
	d.Rejected = s.Rejection(o)
	if name := o.PodSpec().RuntimeClassName; name != nil {
		if c := s.RuntimeClass(*name); c != nil {
			d.Handler = c.Handler
			d.Position = max(d.Position, s.PositionOf(events.Key{Resource: events.RuntimeClasses, Name: *name}))
		} else {
			d.Classless = true
		}
	}
	for _, c := range p.Containers {
		if d.Runs == nil {
			d.Runs = map[string]int{}
		}
		d.Runs[c.Name] = c.Run
	}
	return d, true
}

// sole tells whether a pod has a name that whoever made it will give again: all but those whose controllers make names up.
func sole(o *Object) bool {
	if o.Owner == nil {
		return true
	}
	switch o.Owner.Resource {
	case events.ReplicaSets, events.Controllers, events.DaemonSets, events.Jobs:
		return false
	}
	return true
}

// Rejection is what the scheduler found missing on the node that a pod names; nil when there was nothing.
func (s State) Rejection(o *Object) *Rejection {
	if o.PodSpec().NodeName == "" {
		return nil
	}
	v, ok := s.Verdict(o.Key)
	if !ok || v.UID != o.UID || len(v.Reasons) == 0 || v.Reasons[0].Code != events.Rejected {
		return nil
	}
	return &Rejection{Reason: v.Reasons[0].What, Message: v.Reasons[0].Said}
}

// suits tells whether a pod that names its node may be there by its own words.
func (s State) suits(spec *corev1.PodSpec, node string) bool {
	o, ok := s.Get(events.Key{Resource: events.Nodes, Name: node})
	return !ok || Suits(spec, node, As[*corev1.Node](o).Labels)
}

// wanted is the position of what a node has to do about a pod. The node's own
// facts do not move it: nobody echoes to a node what it said.
func wanted(o *Object, p *Pod) events.Position {
	seq := max(o.Changed.Seq, p.Assigned.Seq, p.Resized)
	if o.Deletion != nil {
		seq = max(seq, o.Deletion.Seq)
	}
	return events.At(seq, 0)
}

// serviceEnv is what Kubernetes tells a starting container of the services of
// its namespace.
func (s State) serviceEnv(namespace string, spec *corev1.PodSpec) []ServiceEnv {
	var out []ServiceEnv
	add := func(o *Object) {
		v := As[*corev1.Service](o)
		if v.Spec.ClusterIP != "" && v.Spec.ClusterIP != corev1.ClusterIPNone {
			out = append(out, ServiceEnv{Name: v.Name, IP: v.Spec.ClusterIP, Ports: v.Spec.Ports})
		}
	}
	// Every pod hears of the API, wherever it is and whatever links it wants.
	if o, ok := s.Get(GatewayKey); ok {
		add(o)
	}
	if spec.EnableServiceLinks != nil && !*spec.EnableServiceLinks {
		return out
	}
	for o := range s.List(events.Services, namespace) {
		if o.Key != GatewayKey {
			add(o)
		}
	}
	return out
}

// ofClass are the pods of a runtime class that have a node. Classes come and go too
// seldom for an index.
func (s State) ofClass(name string) []*Pod {
	var out []*Pod
	for o := range s.List(events.Pods, "") {
		if named := o.PodSpec().RuntimeClassName; named != nil && *named == name {
			if p, ok := s.PodOf(o.Key); ok && p.Node != "" {
				out = append(out, p)
			}
		}
	}
	return out
}

// NodeRows are the rows of one node's feed that changed.
type NodeRows struct {
	Node string
	Pods []events.Key // to be told as DesiredRow gives them
	Gone []events.Ref // no longer this node's
	// Erase are the volumes whose directories the node is to erase.
	Erase []ErasedVolume
}

// NodeChanges tells which pods of which nodes the changed rows concern, in the
// order of nodes and names. s is the state after the changes.
func NodeChanges(s State, changes []Change) []NodeRows {
	at := map[string]*NodeRows{}
	rows := func(node string) *NodeRows {
		if at[node] == nil {
			at[node] = &NodeRows{Node: node}
		}
		return at[node]
	}
	tell := func(p *Pod) { r := rows(p.Node); r.Pods = append(r.Pods, p.Key) }
	for _, c := range changes {
		switch c.Key.Resource {
		case events.Pods:
			b, a := c.PodBefore, c.PodAfter
			if b != nil && b.Node != "" && (a == nil || c.After == nil || a.Node != b.Node) {
				r := rows(b.Node)
				r.Gone = append(r.Gone, events.Ref{Key: c.Key, UID: b.UID})
			}
			if a != nil && c.After != nil && a.Node != "" && (b == nil || c.Before == nil || wanted(c.Before, b) != wanted(c.After, a)) {
				r := rows(a.Node)
				r.Pods = append(r.Pods, c.Key)
			}
			for _, p := range s.unbarred(c) {
				tell(p)
			}
		case events.Claims:
			for _, p := range s.claiming(c.Key) {
				tell(p)
			}
		case events.Volumes:
			if c.After == nil {
				continue
			}
			if e, ok := s.erasedBy(c.After, HomeOf(c.After)); ok {
				r := rows(HomeOf(c.After))
				r.Erase = append(r.Erase, e)
			}
		case events.ConfigMaps, events.Secrets:
			for p := range s.mentioning(c.Key) {
				tell(p)
			}
		case events.PodCertRequests:
			if p := s.certified(c); p != nil {
				tell(p)
			}
		case events.TrustBundles:
			for p := range s.trusting(c) {
				tell(p)
			}
		case events.RuntimeClasses:
			for _, p := range s.ofClass(c.Key.Name) {
				tell(p)
			}
		}
	}
	return sortedRows(at)
}

func sortedRows(at map[string]*NodeRows) []NodeRows {
	nodes := make([]string, 0, len(at))
	for n := range at {
		nodes = append(nodes, n)
	}
	slices.Sort(nodes)
	out := make([]NodeRows, 0, len(nodes))
	for _, n := range nodes {
		r := *at[n]
		slices.SortFunc(r.Pods, compareKeys)
		r.Pods = slices.Compact(r.Pods)
		out = append(out, r)
	}
	return out
}

// compareKeys is the order of rows.
func compareKeys(a, b events.Key) int {
	return cmp.Or(cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// NetAll is every service, in the order of namespace and name, every node and every NetworkPolicy.
func NetAll(s State) NetSet {
	set := NetSet{Position: s.End(), Epoch: s.Epoch, Services: []NetService{}, Policies: s.policyRows()}
	for o := range s.List(events.Services, "") {
		set.Services = append(set.Services, s.netRow(o))
	}
	for o := range s.List(events.Nodes, "") {
		set.Nodes = append(set.Nodes, s.netNode(o))
	}
	return set
}

// NetNodeRow is one node as the others' routes need it.
func NetNodeRow(s State, k events.Key) (NetNode, bool) {
	o, ok := s.Get(k)
	if !ok || k.Resource != events.Nodes {
		return NetNode{}, false
	}
	return s.netNode(o), true
}

func (s State) netNode(o *Object) NetNode {
	n := NetNode{Key: o.Key, Position: o.Position, PodCIDR: As[*corev1.Node](o).Spec.PodCIDR}
	if row, ok := s.Node(o.Key.Name); ok && len(row.Facts.Addresses) > 0 {
		n.Address = row.Facts.Addresses[0]
	}
	return n
}

// NetRow is one service as the dataplane and DNS need it.
func NetRow(s State, k events.Key) (NetService, bool) {
	o, ok := s.Get(k)
	if !ok || k.Resource != events.Services {
		return NetService{}, false
	}
	return s.netRow(o), true
}

// NetChanges tells which services the changed rows concern and which are gone.
// A change of a pod behind a service has touched the service's row already.
func NetChanges(changes []Change) (changed, dropped []events.Key) {
	for _, c := range changes {
		switch {
		case c.Key.Resource != events.Services:
		case c.After == nil:
			dropped = append(dropped, c.Key)
		default:
			changed = append(changed, c.Key)
		}
	}
	return changed, dropped
}

// defaultAffinity is Kubernetes' session affinity timeout, in seconds.
const defaultAffinity = 10800

func (s State) netRow(o *Object) NetService {
	spec := &As[*corev1.Service](o).Spec
	n := NetService{Key: o.Key, Position: o.Position, UID: o.UID, Type: string(spec.Type), ClusterIP: spec.ClusterIP,
		PublishNotReady: spec.PublishNotReadyAddresses, Ports: []NetPort{}}
	if n.ClusterIP == corev1.ClusterIPNone {
		n.ClusterIP = ""
	}
	if spec.Type == corev1.ServiceTypeExternalName {
		n.ExternalName = spec.ExternalName // with another type it says nothing
	}
	if n.Type == "" {
		n.Type = string(corev1.ServiceTypeClusterIP)
	}
	if spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		n.AffinitySeconds = defaultAffinity
		if c := spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
			n.AffinitySeconds = int(*c.ClientIP.TimeoutSeconds)
		}
	}
	n.reach(o, spec)
	backends, written := s.Backends(o), s.Written(o)
	if n.ClusterIP != "" {
		written = slices.DeleteFunc(written, Written.headless)
	}
	for _, p := range spec.Ports {
		n.Ports = append(n.Ports, netPort(p, backends, written, n.Kept.any()))
	}
	for _, b := range backends {
		if b.Ready && n.ClusterIP == "" {
			n.Hosts = append(n.Hosts, NetHost{IP: b.Pod.IP, Hostname: hostnameOf(b.Spec, o.Key.Name), Node: b.Pod.Node})
		}
	}
	if n.ClusterIP != "" {
		return n
	}
	for _, w := range written {
		n.Hosts = append(n.Hosts, w.hosts()...)
	}
	for _, p := range portsBeside(spec.Ports, written) {
		n.Ports = append(n.Ports, netPort(p, nil, written, false))
	}
	return n
}

func hostPort(ip string, port int32) string { return fmt.Sprintf("%s:%d", ip, port) }
