package projections

import (
	"iter"
	"slices"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/ration"
)

// Ration is what of a ResourceQuota is used: a sum that the fold keeps, so that
// nobody has to look at a namespace's objects to admit one more. It is immutable.
type Ration struct {
	Used corev1.ResourceList
}

// Quotas are the quotas of a namespace with what is used of them, by name. A state
// without any costs a comparison.
func (s State) Quotas(namespace string) []ration.Quota {
	var out []ration.Quota
	for o := range s.quotasIn(namespace) {
		out = append(out, quotaOf(o))
	}
	return out
}

func (s State) quotasIn(namespace string) iter.Seq[*Object] {
	if s.quotas == 0 || namespace == "" {
		return func(func(*Object) bool) {}
	}
	return s.List(events.Quotas, namespace)
}

func quotaOf(o *Object) ration.Quota {
	q := ration.Quota{Name: o.Key.Name, Spec: &o.decoded().(*corev1.ResourceQuota).Spec}
	if o.Ration != nil {
		q.Used = o.Ration.Used
	}
	return q
}

// LimitRanges are those of a namespace, by name. They are shared: never change one.
func (s State) LimitRanges(namespace string) []*corev1.LimitRange {
	var out []*corev1.LimitRange
	for o := range s.List(events.LimitRanges, namespace) {
		out = append(out, o.decoded().(*corev1.LimitRange))
	}
	return out
}

// Security is what a namespace wants of its pods.
func (s State) Security(namespace string) ration.Security {
	o, ok := s.Get(events.Key{Resource: events.Namespaces, Name: namespace})
	if !ok {
		return ration.Security{}
	}
	out, _ := ration.SecurityOf(o.decoded().GetLabels()) // what cannot be read wants the most
	return out
}

// PriorityClasses are those of the cluster, by name. They are shared: never change one.
func (s State) PriorityClasses() []*schedulingv1.PriorityClass {
	var out []*schedulingv1.PriorityClass
	for o := range s.List(events.PriorityClasses, "") {
		out = append(out, As[*schedulingv1.PriorityClass](o)) // its name is asked for
	}
	return out
}

// RuntimeClass is the one of a name, nil when there is none. It is shared: never change it.
func (s State) RuntimeClass(name string) *nodev1.RuntimeClass {
	o, ok := s.Get(events.Key{Resource: events.RuntimeClasses, Name: name})
	if !ok {
		return nil
	}
	return o.decoded().(*nodev1.RuntimeClass)
}

// Thing is an object as quotas see it; none for nil.
func (s State) Thing(o *Object) ration.Thing {
	if o == nil {
		return ration.Thing{}
	}
	p, _ := s.PodOf(o.Key)
	return thing(o, p)
}

func thing(o *Object, p *Pod) ration.Thing {
	if o == nil {
		return ration.Thing{}
	}
	t := ration.Thing{Resource: o.Key.Resource}
	switch o.Key.Resource {
	case events.Pods:
		t.Pod, t.Ended = o.PodSpec(), ended(o, p)
	case events.Claims:
		c := o.decoded().(*corev1.PersistentVolumeClaim)
		size := c.Spec.Resources.Requests[corev1.ResourceStorage]
		t.Storage = &size
		t.Class, _ = ClaimClass(c)
	case events.Services:
		t.Service = &o.decoded().(*corev1.Service).Spec
	}
	return t
}

// ended tells whether nothing of a pod runs or will: it is kept for people to look at.
func ended(o *Object, p *Pod) bool {
	return p != nil && (!p.Stopped.IsZero() || p.Failed != nil || p.Finished(o))
}

// rations counts a change in with the quotas of its namespace.
func (f *folding) rations(c Change) {
	if c.Key.Resource == events.Quotas {
		f.quotaMoved(c)
	}
	if f.s.quotas == 0 || c.Key.Namespace == "" || sameCost(c) {
		return
	}
	before, after := thing(c.Before, c.PodBefore), thing(c.After, c.PodAfter)
	for _, o := range slices.Collect(f.s.quotasIn(c.Key.Namespace)) { // their rows are about to change
		q := quotaOf(o)
		less, more := q.Cost(before), q.Cost(after)
		if o.Key == c.Key || len(less)+len(more) == 0 {
			continue
		}
		used := ration.Add(ration.Add(q.Used, less, -1), more, +1)
		if !sameList(q.Used, used) {
			f.touchOnce(o.Key, func(n *Object) { n.Ration = &Ration{Used: used} })
		}
	}
}

// quotaMoved counts a quota itself, and all that it is about when it says something else.
func (f *folding) quotaMoved(c Change) {
	switch {
	case c.Before == nil:
		f.s.quotas++
	case c.After == nil:
		f.s.quotas--
	}
	if c.After != nil && (c.Before == nil || c.Before.Changed != c.After.Changed) {
		f.touchOnce(c.Key, func(n *Object) { n.Ration = f.s.tallied(n) })
	}
}

// sameCost tells at a look whether a change can alter no sum.
func sameCost(c Change) bool {
	return c.Before != nil && c.After != nil && c.Before.Changed == c.After.Changed &&
		(c.Key.Resource != events.Pods || ended(c.Before, c.PodBefore) == ended(c.After, c.PodAfter))
}

// tallied is what a quota's namespace uses of it, counted anew.
func (s State) tallied(o *Object) *Ration {
	q := quotaOf(o)
	var used corev1.ResourceList
	for _, r := range ration.Counted(q.Spec.Hard) {
		for x := range s.List(r, o.Key.Namespace) {
			used = ration.Add(used, q.Cost(s.Thing(x)), +1)
		}
	}
	return &Ration{Used: used}
}

// countQuotas counts what a checkpoint leaves out: it follows from the other rows,
// of which nobody has seen these yet.
func (s *State) countQuotas() {
	for o := range s.List(events.Quotas, "") {
		s.quotas++
		o.own().Ration = s.tallied(o)
	}
}

func sameList(a, b corev1.ResourceList) bool {
	if len(a) != len(b) {
		return false
	}
	for name, n := range a { //stave:sorted one answer for all
		if m, ok := b[name]; !ok || n.Cmp(m) != 0 {
			return false
		}
	}
	return true
}

// quotaStatus is what a quota limits and what is used of it: each resource that it
// names, also those of which there is nothing.
func quotaStatus(o *Object, spec *corev1.ResourceQuotaSpec) corev1.ResourceQuotaStatus {
	st := corev1.ResourceQuotaStatus{Hard: spec.Hard.DeepCopy(), Used: corev1.ResourceList{}}
	used := quotaOf(o).Used
	for name := range spec.Hard { //stave:sorted each name is put once
		n, ok := used[name]
		if !ok {
			n = *resource.NewQuantity(0, resource.DecimalSI)
		}
		st.Used[name] = n.DeepCopy()
	}
	return st
}

// Eased tells whether a change gave back something of a quota: it lets more in than
// before, or may.
func Eased(c Change) bool {
	switch {
	case c.Key.Resource != events.Quotas || c.Before == nil:
		return false
	case c.After == nil || c.Before.Changed != c.After.Changed || c.Before.Ration == nil || c.After.Ration == nil:
		return true
	}
	names := make([]corev1.ResourceName, 0, len(c.Before.Ration.Used))
	for name := range c.Before.Ration.Used { //stave:sorted one answer for all
		names = append(names, name)
	}
	return slices.ContainsFunc(names, func(name corev1.ResourceName) bool {
		now := c.After.Ration.Used[name]
		return now.Cmp(c.Before.Ration.Used[name]) < 0
	})
}
