// Package ration says what objects cost of a ResourceQuota, what a LimitRange makes
// of a pod and forbids it, and which priority a pod gets: in Kubernetes' arithmetic
// and words. It knows objects alone and no state, so the fold that keeps what is
// used, the door and the controllers that make pods all count the same.
package ration

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
)

// Thing is an object as quotas see it. The zero Thing is none and costs nothing.
type Thing struct {
	Resource events.Resource
	Pod      *corev1.PodSpec     // of a pod
	Ended    bool                // a pod of which nothing runs or will
	Service  *corev1.ServiceSpec // of a service
	Storage  *resource.Quantity  // of a claim: how much it asks for, or has when that is more
	Class    string              // of a claim; empty for none
}

// Quota is one quota and what is used of it.
type Quota struct {
	Name string
	Spec *corev1.ResourceQuotaSpec // shared: never change it
	Used corev1.ResourceList       // shared: Take makes a new one
}

// countPrefix begins the names that count the objects of any resource.
const countPrefix = "count/"

// storageClass stands between a storage class and what of it is limited.
const storageClass = ".storageclass.storage.k8s.io/"

// short are the resources that have a name of their own beside "count/…".
var short = map[events.Resource]corev1.ResourceName{
	"configmaps": corev1.ResourceConfigMaps, "secrets": corev1.ResourceSecrets, "services": corev1.ResourceServices, "resourcequotas": corev1.ResourceQuotas,
	"replicationcontrollers": corev1.ResourceReplicationControllers, "persistentvolumeclaims": corev1.ResourcePersistentVolumeClaims,
}

// Cost is what a thing costs of a quota: of what the quota limits, and nothing
// when its scopes do not take the thing.
func (q Quota) Cost(t Thing) corev1.ResourceList {
	if t.Resource == "" || !q.takes(t) {
		return nil
	}
	out := corev1.ResourceList{}
	put := func(name corev1.ResourceName, n resource.Quantity) {
		if _, limited := q.Spec.Hard[name]; limited && !n.IsZero() {
			out[name] = n
		}
	}
	put(corev1.ResourceName(countPrefix+string(t.Resource)), *resource.NewQuantity(1, resource.DecimalSI))
	if name, ok := short[t.Resource]; ok {
		put(name, *resource.NewQuantity(1, resource.DecimalSI))
	}
	switch {
	case t.Storage != nil:
		put(corev1.ResourceRequestsStorage, *t.Storage)
		if t.Class != "" {
			put(corev1.ResourceName(t.Class+storageClass+"requests.storage"), *t.Storage)
			put(corev1.ResourceName(t.Class+storageClass+"persistentvolumeclaims"), *resource.NewQuantity(1, resource.DecimalSI))
		}
	case t.Service != nil:
		put(corev1.ResourceServicesNodePorts, *resource.NewQuantity(nodePorts(t.Service), resource.DecimalSI))
		if t.Service.Type == corev1.ServiceTypeLoadBalancer {
			put(corev1.ResourceServicesLoadBalancers, *resource.NewQuantity(1, resource.DecimalSI))
		}
	case t.Pod != nil && !t.Ended:
		put(corev1.ResourcePods, *resource.NewQuantity(1, resource.DecimalSI))
		compute(t.Pod, put)
	}
	return out
}

// nodePorts is how many node ports a service takes. They may not be given out yet,
// so the wish counts.
func nodePorts(s *corev1.ServiceSpec) int64 {
	switch {
	case s.Type == corev1.ServiceTypeNodePort,
		s.Type == corev1.ServiceTypeLoadBalancer && (s.AllocateLoadBalancerNodePorts == nil || *s.AllocateLoadBalancerNodePorts):
		return int64(len(s.Ports))
	case s.Type != corev1.ServiceTypeLoadBalancer:
		return 0
	}
	var n int64
	for _, p := range s.Ports {
		if p.NodePort != 0 {
			n++
		}
	}
	return n
}

// compute puts what a pod asks for and is limited to, under the names of quotas.
func compute(spec *corev1.PodSpec, put func(corev1.ResourceName, resource.Quantity)) {
	requests, limits := Sum(spec)
	add(requests, spec.Overhead)
	for name, n := range spec.Overhead { //stave:sorted each name is put once
		if _, limited := limits[name]; limited { // what is not limited stays so
			add(limits, corev1.ResourceList{name: n})
		}
	}
	for name, n := range requests { //stave:sorted each name is put once
		for _, as := range asRequest(name) {
			put(as, n)
		}
	}
	for name, n := range limits { //stave:sorted each name is put once
		if plain(name) {
			put("limits."+name, n)
		}
	}
}

// asRequest are the names by which quotas limit a request.
func asRequest(name corev1.ResourceName) []corev1.ResourceName {
	requests := corev1.DefaultResourceRequestsPrefix + name
	switch {
	case plain(name), strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix):
		return []corev1.ResourceName{name, requests}
	case strings.Contains(string(name), "/"):
		return []corev1.ResourceName{requests} // nobody gets more of it than there is, so it has one name
	}
	return nil
}

// plain are the resources that are limited by request and by limit.
func plain(name corev1.ResourceName) bool {
	return name == corev1.ResourceCPU || name == corev1.ResourceMemory || name == corev1.ResourceEphemeralStorage
}

// Take counts a change from one thing to another in, and is "" then; or it says
// why the quota has no room for it, or cannot count it, and counts nothing.
func (q *Quota) Take(was, next Thing) string {
	if said := q.missing(was, next); said != "" {
		return "failed quota: " + q.Name + ": " + said
	}
	before, more := q.Cost(was), q.Cost(next)
	var exceeded []corev1.ResourceName
	for _, name := range sorted(more) {
		ask := more[name]
		if had, ok := before[name]; ok {
			ask.Sub(had)
		}
		more[name] = ask
		sum := ask.DeepCopy()
		sum.Add(q.Used[name])
		if hard := q.Spec.Hard[name]; ask.Sign() > 0 && sum.Cmp(hard) > 0 {
			exceeded = append(exceeded, name)
		}
	}
	if len(exceeded) > 0 {
		return fmt.Sprintf("exceeded quota: %s, requested: %s, used: %s, limited: %s", q.Name, list(more, exceeded), list(q.Used, exceeded), list(q.Spec.Hard, exceeded))
	}
	q.Used = Add(Add(q.Used, before, -1), q.Cost(next), +1)
	return ""
}

// list writes quantities as Kubernetes does in its refusals.
func list(of corev1.ResourceList, names []corev1.ResourceName) string {
	out := make([]string, len(names))
	for i, name := range names {
		n := of[name]
		out[i] = string(name) + "=" + n.String()
	}
	return strings.Join(out, ",")
}

// demanded are the resources of which a quota wants every container to say how
// much: a sum over those that say nothing would be no sum.
var demanded = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceMemory,
	corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory}

// missing says what the containers of a new pod have to say for the quota to count it.
func (q Quota) missing(was, next Thing) string {
	if next.Pod == nil || was.Pod != nil || !q.takes(next) {
		return ""
	}
	var out []string
	for _, name := range demanded {
		if _, limited := q.Spec.Hard[name]; !limited {
			continue
		}
		var silent []string
		for _, c := range slices.Concat(next.Pod.Containers, next.Pod.InitContainers) {
			if !says(&c, name) {
				silent = append(silent, c.Name)
			}
		}
		if len(silent) > 0 {
			slices.Sort(silent)
			out = append(out, fmt.Sprintf("%s for: %s", name, strings.Join(silent, ",")))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "must specify " + strings.Join(out, "; ")
}

func says(c *corev1.Container, name corev1.ResourceName) bool {
	if rest, ok := strings.CutPrefix(string(name), "limits."); ok {
		_, said := c.Resources.Limits[corev1.ResourceName(rest)]
		return said
	}
	_, said := c.Resources.Requests[corev1.ResourceName(strings.TrimPrefix(string(name), corev1.DefaultResourceRequestsPrefix))]
	return said
}

// Counted are the resources whose objects a quota counts, by what it limits.
func Counted(hard corev1.ResourceList) []events.Resource {
	var out []events.Resource
	pods := false
	for _, name := range sorted(hard) {
		r, ok := strings.CutPrefix(string(name), countPrefix)
		switch {
		case ok:
			out = append(out, events.Resource(r))
		case strings.Contains(r, storageClass), name == corev1.ResourceRequestsStorage:
			out = append(out, events.Claims)
		case strings.HasPrefix(r, "services."):
			out = append(out, "services")
		case isShort(name):
			out = append(out, events.Resource(name))
		default:
			pods = true
		}
	}
	if pods {
		out = append(out, events.Pods)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func isShort(name corev1.ResourceName) bool {
	_, ok := short[events.Resource(name)]
	return ok
}

// Add is the sum of two lists; sign −1 takes the second away. What is nothing is left
// out, and how a sum is written follows from its name alone, not from what was added.
func Add(a, b corev1.ResourceList, sign int) corev1.ResourceList {
	if len(b) == 0 {
		return a
	}
	out := make(corev1.ResourceList, len(a)+len(b))
	for name, n := range a { //stave:sorted each name is put once
		out[name] = n
	}
	for name, n := range b { //stave:sorted each name is put once
		have := out[name]
		sum := have.DeepCopy() // a quantity may share a number with its copies
		if sign < 0 {
			sum.Sub(n)
		} else {
			sum.Add(n)
		}
		sum.Format = format(name)
		if out[name] = sum; sum.IsZero() {
			delete(out, name)
		}
	}
	if len(out) == 0 {
		return nil // nothing is nothing, also when there was something: sums are compared to the byte
	}
	return out
}

func format(name corev1.ResourceName) resource.Format {
	if strings.HasSuffix(string(name), "requests.storage") {
		return resource.BinarySI // of a class too
	}
	for _, bytes := range []string{"memory", "storage", corev1.ResourceHugePagesPrefix} {
		if strings.Contains(string(name), bytes) && !strings.Contains(string(name), "/") {
			return resource.BinarySI
		}
	}
	return resource.DecimalSI
}

func sorted(list corev1.ResourceList) []corev1.ResourceName {
	names := make([]corev1.ResourceName, 0, len(list))
	for name := range list {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
