package deployment

import (
	"cmp"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// defaultHistory is Kubernetes' revisionHistoryLimit.
const defaultHistory = 10

// tidy asks for the deletion of the oldest empty sets once a rollout is complete.
func (p *pass) tidy() {
	if p.fresh == nil || p.fresh.size != p.want || p.fresh.available < p.want {
		return
	}
	limit := defaultHistory
	if p.d.Spec.RevisionHistoryLimit != nil {
		limit = int(*p.d.Spec.RevisionHistoryLimit)
	}
	var empty []*set
	for _, s := range p.old() {
		if s.have == 0 && s.size == 0 && s.o.Tally.Pods == 0 && s.o.Tally.Terminating == 0 {
			empty = append(empty, s)
		}
	}
	slices.SortStableFunc(empty, func(a, b *set) int { return cmp.Compare(a.revision, b.revision) }) // of equal ones the older first
	for _, s := range empty[:max(0, len(empty)-limit)] {
		if !p.out.Emit(reconcilers.RequestDeletion(s.o, events.DeletionRequested{})) {
			return
		}
	}
}

// write drafts what is different from now. What adds pods comes last: a batch
// that is cut short has rather too few than too many.
func (p *pass) write() {
	for _, s := range p.sets {
		if s.size <= s.have {
			p.change(s)
		}
	}
	for _, s := range p.sets {
		if s.size > s.have {
			p.change(s)
		}
	}
	if p.fresh != nil {
		p.revise(p.fresh.setRevision)
	}
}

func (p *pass) change(s *set) {
	desired := s.desired
	if s.size > 0 || s == p.fresh {
		desired = strconv.Itoa(p.want)
	}
	if s.size == s.have && s.setRevision == s.revision && desired == s.desired && !p.stale(s) {
		return
	}
	b := reconcilers.Same(s.o)
	if s.size != s.have || s == p.fresh && p.waitsOtherwise(s) {
		b.Generation++
	}
	b.Object = reconcilers.Edit(s.o.Raw, func(object map[string]any) {
		reconcilers.Field(object, "spec")["replicas"] = s.size
		a := reconcilers.Field(reconcilers.Field(object, "metadata"), "annotations")
		if s == p.fresh {
			p.refresh(object, a)
		}
		a[RevisionAnnotation] = strconv.FormatInt(s.setRevision, 10)
		if desired != "" {
			a[desiredAnnotation], a[maxAnnotation] = desired, strconv.Itoa(p.most())
		}
	})
	p.out.Emit(reconcilers.Change(s.o, b))
}

// stale tells whether the present set lacks what the deployment says apart from
// its template.
func (p *pass) stale(s *set) bool {
	if s != p.fresh {
		return false
	}
	rs := projections.As[*appsv1.ReplicaSet](s.o)
	for name, value := range p.handedDown() {
		if have, ok := rs.Annotations[name]; !ok || have != value {
			return true
		}
	}
	return p.waitsOtherwise(s)
}

func (p *pass) waitsOtherwise(s *set) bool {
	return projections.As[*appsv1.ReplicaSet](s.o).Spec.MinReadySeconds != p.d.Spec.MinReadySeconds
}

// refresh writes it. Annotations that the deployment no longer has stay, as
// with Kubernetes: somebody else may have set them.
func (p *pass) refresh(object, annotations map[string]any) {
	for name, value := range p.handedDown() {
		annotations[name] = value
	}
	spec := reconcilers.Field(object, "spec")
	if p.d.Spec.MinReadySeconds > 0 {
		spec["minReadySeconds"] = p.d.Spec.MinReadySeconds
	} else {
		delete(spec, "minReadySeconds")
	}
}

// revise writes the revision on the deployment. That is no change of its spec,
// so the generation stays.
func (p *pass) revise(revision int64) {
	want := strconv.FormatInt(revision, 10)
	if p.d.Annotations[RevisionAnnotation] == want || revision == 0 {
		return
	}
	b := reconcilers.Same(p.o)
	b.Object = reconcilers.Edit(p.o.Raw, func(object map[string]any) {
		reconcilers.Field(reconcilers.Field(object, "metadata"), "annotations")[RevisionAnnotation] = want
	})
	p.out.Emit(reconcilers.Change(p.o, b))
}
