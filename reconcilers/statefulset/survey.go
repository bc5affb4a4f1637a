package statefulset

import (
	"cmp"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// claim takes the pods and revisions that match and belong to nobody, and lets go of
// pods that are none of the set's any more. It tells whether there was anything to do.
func (p *pass) claim(selector labels.Selector) bool {
	mine := func(pod *projections.Object) bool {
		set, _, ok := projections.Ordinal(pod.Key.Name)
		return ok && set == p.o.Key.Name && selector.Matches(labels.Set(pod.PodLabels()))
	}
	for pod := range p.v.Children(p.o.UID) {
		if pod.Key.Resource == events.Pods && pod.Deletion == nil && !mine(pod) {
			p.d.Emit(reconcilers.Disown(pod, reconcilers.By(p.o.UID)))
		}
	}
	for pod := range p.v.Orphans(events.Pods, p.o.Key.Namespace) {
		if pod.Deletion == nil && mine(pod) {
			p.d.Emit(reconcilers.Adopt(pod, p.o))
		}
	}
	for _, d := range p.history.Adopt(selector) {
		p.d.Emit(d)
	}
	return len(p.d.Events) > 0
}

// survey puts the pods where their ordinals are. Beyond the last one that is there it looks at no more than it may make.
func (p *pass) survey() {
	members := p.v.SetMembers(p.o, p.now)
	first, end := projections.Ordinals(p.set)
	beyond := first
	for _, m := range members {
		if m.Ordinal < end {
			beyond = max(beyond, m.Ordinal+1)
		}
	}
	p.first, p.size, p.replicas = first, end-first, make([]*projections.SetMember, min(end, beyond+reconcilers.MaxSteps)-first)
	for _, m := range members {
		p.d.Wake(m.Ripe)
		switch {
		case m.Ordinal < 0:
		case m.Ordinal >= first && m.Ordinal < end:
			p.replicas[m.Ordinal-first] = &m
		default:
			p.condemned = append(p.condemned, &m)
		}
	}
	slices.SortFunc(p.condemned, func(a, b *projections.SetMember) int { return cmp.Compare(b.Ordinal, a.Ordinal) })
}

// settle finds or makes the revision of the present template, and writes down between
// which two the set is. False when there is none to go by.
func (p *pass) settle() bool {
	was := p.o.Revisions
	var collisions int32
	if was != nil {
		collisions = was.Collisions
	}
	s, ok := p.history.Settle(&p.set.Spec.Template, p.set.Annotations, collisions)
	if !ok {
		p.d.Because = append(p.d.Because, events.Reason{Code: "NameTaken", About: p.o.Key, What: "controllerrevisions"})
		return false
	}
	p.current, p.update = s.Name, s.Name
	if was != nil && p.history.Has(was.Current) && !p.complete() {
		p.current = was.Current
	}
	for _, d := range s.Drafts {
		p.d.Emit(d)
	}
	now := events.RevisionsReported{UID: p.o.UID, Generation: p.o.Generation, Current: p.current, Update: p.update, Collisions: s.Collisions}
	if was == nil || *was != now {
		p.d.Emit(reconcilers.Report(p.o.Key, now))
	}
	return true
}

// complete tells whether every pod is of the present template and ready, and no other
// is there.
func (p *pass) complete() bool {
	if len(p.condemned) > 0 {
		return false
	}
	for _, m := range p.replicas {
		if m == nil || !m.Ready || m.Pod.Deletion != nil || m.Revision != p.update {
			return false
		}
	}
	return true
}

// tidy takes away the oldest revisions that no pod has and nobody goes back to.
func (p *pass) tidy() {
	limit := 10
	if n := p.set.Spec.RevisionHistoryLimit; n != nil {
		limit = int(*n)
	}
	live := map[string]bool{p.current: true, p.update: true}
	for _, m := range append(slices.Clone(p.replicas), p.condemned...) {
		if m != nil {
			live[m.Revision] = true
		}
	}
	for _, d := range p.history.Truncate(limit, func(o *projections.Object) bool { return live[o.Key.Name] }) {
		p.d.Emit(d)
	}
}

// named gives a pod that was adopted the labels of its identity.
func (p *pass) named(m *projections.SetMember) {
	want := identity(m.Pod.Key.Name, m.Ordinal)
	if m.Pod.PodLabels()[appsv1.StatefulSetPodNameLabel] == m.Pod.Key.Name {
		return
	}
	b := reconcilers.Same(m.Pod)
	b.Object = reconcilers.Edit(m.Pod.Raw, func(object map[string]any) {
		has := reconcilers.Field(reconcilers.Field(object, "metadata"), "labels")
		for k, v := range want {
			has[k] = v
		}
	})
	p.d.Emit(reconcilers.Change(m.Pod, b))
}
