package statefulset

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
)

// claimName is the claim of one pod for one of the set's claim templates.
func claimName(template, set string, n int) string { return fmt.Sprintf("%s-%s-%d", template, set, n) }

func (p *pass) claimKey(template string, n int) events.Key {
	return events.Key{Resource: events.Claims, Namespace: p.o.Key.Namespace, Name: claimName(template, p.o.Key.Name, n)}
}

// claiming are the sets whose pod has a claim of this key, going by the name: a claim
// that is kept has no owner.
func claiming(v reconcilers.View, claim events.Key) []events.Key {
	head, _, ok := projections.Ordinal(claim.Name)
	if !ok {
		return nil
	}
	var out []events.Key
	for o := range v.List(events.StatefulSets, claim.Namespace) {
		for _, t := range projections.As[*appsv1.StatefulSet](o).Spec.VolumeClaimTemplates {
			if t.Name+"-"+o.Key.Name == head {
				out = append(out, o.Key)
			}
		}
	}
	return out
}

// volumes are all volumes of a pod: its claims, and what its template has beside them.
// Nil where the template says it all.
func (p *pass) volumes(n int, of *corev1.PodTemplateSpec) []corev1.Volume {
	templates := p.set.Spec.VolumeClaimTemplates
	if len(templates) == 0 {
		return nil
	}
	var out []corev1.Volume
	for i := range templates {
		out = append(out, corev1.Volume{Name: templates[i].Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claimName(templates[i].Name, p.o.Key.Name, n)}}})
	}
	for _, v := range of.Spec.Volumes {
		if !slices.ContainsFunc(templates, func(t corev1.PersistentVolumeClaim) bool { return t.Name == v.Name }) {
			out = append(out, v)
		}
	}
	return out
}

// furnish makes the claims of a pod that are missing. It is false while others are asked about one, or one of before is
// on its way out: the pod would begin with what shall go.
func (p *pass) furnish(n int) bool {
	for i := range p.set.Spec.VolumeClaimTemplates {
		t := &p.set.Spec.VolumeClaimTemplates[i]
		k := p.claimKey(t.Name, n)
		o, there := p.v.Get(k)
		switch {
		case !there:
			c, wished := p.newClaim(t, k), len(p.d.Wishes)
			if p.withheld(c) || !p.stores.Bear(&p.d, k, p.bodyOf(c, n), func() events.Object { return c.DeepCopy() }, p.now) || len(p.d.Wishes) > wished {
				return false
			}
		case o.Deletion != nil || p.stale(o, n):
			p.d.Because = append(p.d.Because, events.Reason{Code: "Stopping", About: k, What: "claim", Need: "to be gone"})
			return false
		}
	}
	return true
}

// withheld tells whether limits, quotas or policies bar a claim, and writes down why when that is news.
func (p *pass) withheld(c *corev1.PersistentVolumeClaim) bool {
	if p.stores == nil {
		p.stores = birth.Before(p.v, p.o, p.guards)
	}
	said := p.stores.Claim(c)
	if said != "" {
		p.refuse(events.Key{Resource: events.Claims, Namespace: c.Namespace, Name: c.Name}, said)
	}
	return said != ""
}

// newClaim is a claim of a template.
func (p *pass) newClaim(t *corev1.PersistentVolumeClaim, k events.Key) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}, Spec: *t.Spec.DeepCopy(),
		ObjectMeta: metav1.ObjectMeta{Name: k.Name, Namespace: k.Namespace, Labels: maps.Clone(t.Labels), Annotations: t.Annotations, Finalizers: slices.Clone(t.Finalizers)}}
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	maps.Copy(c.Labels, p.set.Spec.Selector.MatchLabels)
	if !slices.Contains(c.Finalizers, projections.ClaimProtection) {
		c.Finalizers = append(c.Finalizers, projections.ClaimProtection)
	}
	if _, said := projections.ClaimClass(c); !said {
		if name, ok := p.v.DefaultStorageClass(); ok {
			c.Spec.StorageClassName = &name
		}
	}
	return c
}

// bodyOf is what is appended of a claim.
func (p *pass) bodyOf(c *corev1.PersistentVolumeClaim, n int) events.Created {
	body := events.Created{Object: reconcilers.Edit(events.MustBody(c), func(object map[string]any) { delete(object, "status") })}
	body.Owner, body.Owners = events.Owned(p.keepers(nil, n, nil))
	return body
}

// keepers are the owners that a claim shall have beside those of others: the set where
// claims go with it, the pod where they go with a pod that is too many.
func (p *pass) keepers(others []metav1.OwnerReference, n int, pod *projections.Object) []metav1.OwnerReference {
	policy := appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{}
	if r := p.set.Spec.PersistentVolumeClaimRetentionPolicy; r != nil {
		policy = *r
	}
	first, end := projections.Ordinals(p.set)
	condemned := n < first || n >= end
	own := func(o *projections.Object) metav1.OwnerReference {
		return events.Owner{Resource: o.Key.Resource, Name: o.Key.Name, UID: o.UID}.Reference()
	}
	switch {
	case condemned && policy.WhenScaled == appsv1.DeletePersistentVolumeClaimRetentionPolicyType:
		if pod != nil {
			return append(others, own(pod))
		}
	case policy.WhenDeleted == appsv1.DeletePersistentVolumeClaimRetentionPolicyType:
		return append(others, own(p.o))
	}
	return others
}

// ours tells whether a reference is to the set, or to the pod of an ordinal, of whatever life.
func (p *pass) ours(r metav1.OwnerReference, n int) bool {
	return r.Kind == "StatefulSet" && r.Name == p.o.Key.Name || r.Kind == "Pod" && r.Name == p.o.Key.Name+"-"+strconv.Itoa(n)
}

// stale tells whether a claim goes with a pod of before.
func (p *pass) stale(claim *projections.Object, n int) bool {
	pod, there := p.v.Get(events.Key{Resource: events.Pods, Namespace: p.o.Key.Namespace, Name: p.o.Key.Name + "-" + strconv.Itoa(n)})
	return slices.ContainsFunc(claim.References(), func(r metav1.OwnerReference) bool {
		return r.Kind == "Pod" && p.ours(r, n) && (!there || r.UID != types.UID(pod.UID))
	})
}

// retain sees to it that the claims of a pod have the owners that the set's policy says.
// Claims that an earlier life of the set or the pod owns are left to the garbage
// collector; those that somebody else controls are left to him.
func (p *pass) retain(m *projections.SetMember) {
	for i := range p.set.Spec.VolumeClaimTemplates {
		o, there := p.v.Get(p.claimKey(p.set.Spec.VolumeClaimTemplates[i].Name, m.Ordinal))
		if !there || o.Deletion != nil {
			continue
		}
		have := o.References()
		before := func(r metav1.OwnerReference) bool {
			return p.ours(r, m.Ordinal) && r.UID != types.UID(p.o.UID) && r.UID != types.UID(m.Pod.UID)
		}
		if slices.ContainsFunc(have, before) {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(have), func(r metav1.OwnerReference) bool { return p.ours(r, m.Ordinal) })
		want := others
		if !slices.ContainsFunc(others, func(r metav1.OwnerReference) bool { return r.Controller != nil && *r.Controller }) {
			want = p.keepers(slices.Clone(others), m.Ordinal, m.Pod)
		}
		if string(events.MustBody(have)) != string(events.MustBody(want)) && len(have)+len(want) > 0 {
			b := reconcilers.Same(o)
			b.Owner, b.Owners = events.Owned(want)
			p.d.Emit(reconcilers.Change(o, b))
		}
	}
}
