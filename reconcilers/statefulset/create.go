package statefulset

import (
	"maps"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
)

// mold is a revision's template as pods are made of it.
type mold struct {
	own    *corev1.PodTemplateSpec // as people wrote it
	shaped *corev1.PodTemplateSpec
	hash   events.Hash
}

// create makes the pod of an ordinal, of the template that it shall have. It is false
// when no more can be made in this pass.
func (p *pass) create(n int) bool {
	k := events.Key{Resource: events.Pods, Namespace: p.o.Key.Namespace, Name: p.o.Key.Name + "-" + strconv.Itoa(n)}
	if other, taken := p.v.Get(k); taken {
		p.d.Because = append(p.d.Because, events.Reason{Code: "NameTaken", About: other.Key, What: "pod", Need: "to be gone"})
		return true
	}
	rev := p.revisionFor(n)
	m, ok := p.mold(rev)
	if !ok || p.barred(k, n, rev, m) {
		return false
	}
	if !p.furnish(n) {
		return !p.d.More && !p.refused // its claims wait; others need not
	}
	w := &events.Owner{Resource: p.o.Key.Resource, Name: p.o.Key.Name, UID: p.o.UID}
	body := events.Created{Owner: w, Template: m.hash, Object: events.MustBody(p.difference(k, n, rev, m))}
	return p.desk.Bear(&p.d, k, body, func() events.Object { return p.pod(k, n, rev, m) }, p.now)
}

// revisionFor is the revision of a pod that is not there: the old one below the
// partition, or where no strategy says, for as many as have it.
func (p *pass) revisionFor(n int) string {
	u := p.set.Spec.UpdateStrategy
	if u.Type != appsv1.RollingUpdateStatefulSetStrategyType {
		return p.update
	}
	keep := p.partition()
	if u.RollingUpdate == nil {
		for _, m := range p.replicas {
			if m != nil && m.Pod.Deletion == nil && m.Revision == p.current {
				keep++
			}
		}
	}
	if n < p.first+keep {
		return p.current
	}
	return p.update
}

// mold is the template of a revision as its pods get it, stored first when the log
// does not have it.
func (p *pass) mold(rev string) (*mold, bool) {
	if m, ok := p.molds[rev]; ok {
		return m, true
	}
	if p.desk == nil {
		p.desk, p.molds, p.stored = birth.Before(p.v, p.o, p.guards), map[string]*mold{}, map[events.Hash]bool{}
	}
	t := &p.set.Spec.Template
	if old, ok := p.history.Template(rev); ok && rev != p.update {
		t = old
	}
	m := &mold{own: t, shaped: p.desk.Template(t)}
	if len(p.set.Spec.VolumeClaimTemplates) > 0 { // each pod has volumes of its own
		bare := *m.shaped
		bare.Spec.Volumes = nil
		m.shaped = &bare
	}
	raw := events.MustBody(m.shaped)
	m.hash = events.HashOf(raw)
	if _, known := p.v.Template(m.hash); !known && !p.stored[m.hash] {
		if !p.d.Emit(reconcilers.StoreTemplate(raw)) {
			return nil, false
		}
		p.stored[m.hash] = true
	}
	p.molds[rev] = m
	return m, true
}

// identity are the labels that say which pod of its set one is.
func identity(name string, n int) map[string]string {
	return map[string]string{appsv1.StatefulSetPodNameLabel: name, appsv1.PodIndexLabel: strconv.Itoa(n)}
}

// difference is what one pod has beside its template.
type difference struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Metadata   differenceOfMeta `json:"metadata"`
	Spec       differenceOfSpec `json:"spec"`
}

type differenceOfMeta struct {
	GenerateName string            `json:"generateName"`
	Labels       map[string]string `json:"labels"`
	Name         string            `json:"name"`
	Namespace    string            `json:"namespace"`
}

type differenceOfSpec struct {
	Hostname  string `json:"hostname"`
	Subdomain string `json:"subdomain"` // also when it is empty: the template's does not count
	// Volumes are all of them, or none: what is stored by content has none then.
	Volumes []corev1.Volume `json:"volumes,omitempty"`
}

func (p *pass) difference(k events.Key, n int, rev string, m *mold) difference {
	own := identity(k.Name, n)
	own[appsv1.StatefulSetRevisionLabel] = rev
	return difference{APIVersion: "v1", Kind: "Pod",
		Metadata: differenceOfMeta{GenerateName: p.o.Key.Name + "-", Labels: own, Name: k.Name, Namespace: k.Namespace},
		Spec:     differenceOfSpec{Hostname: k.Name, Subdomain: p.set.Spec.ServiceName, Volumes: p.volumes(n, m.own)}}
}

// barred tells whether a pod must not be made, and writes down why when that is news.
func (p *pass) barred(k events.Key, n int, rev string, m *mold) bool {
	if p.desk.Open() {
		return false
	}
	said := p.desk.Bars(p.pod(k, n, rev, m))
	if said == "" {
		return false
	}
	p.refuse(k, said)
	return true
}

// refuse says why a pod or a claim of one is not made, and tries again later.
func (p *pass) refuse(k events.Key, said string) {
	if !p.refused { // of several the first one is told
		birth.Refuse(&p.d, p.v, p.o, k, said, p.now)
	}
	p.refused = true
}

// pod is what is looked at: the pod as it would be.
func (p *pass) pod(k events.Key, n int, rev string, m *mold) *corev1.Pod {
	t, d := m.shaped.DeepCopy(), p.difference(k, n, rev, m)
	if t.Labels == nil {
		t.Labels = map[string]string{}
	}
	maps.Copy(t.Labels, d.Metadata.Labels)
	t.Spec.Hostname, t.Spec.Subdomain = d.Spec.Hostname, d.Spec.Subdomain
	t.Spec.Volumes = append(t.Spec.Volumes, d.Spec.Volumes...)
	return birth.Pod(p.o, k, p.o.Key.Name+"-", t)
}
