package daemonset

import (
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
	"github.com/stave-run/stave/reconcilers/revision"
)

// maxPrefix is how much of an owner's name its pods' names keep, so that with
// dash and suffix they fit into a DNS label.
const maxPrefix = 63 - 6

// create makes a node's pod, unless pods are barred now; false when the pass is full.
func (p *pass) create(at *place, failures int) bool {
	if p.shut {
		return true
	}
	if p.desk == nil {
		p.open()
	}
	if p.hash == "" && !p.template() {
		return false
	}
	k := p.free()
	if p.barred(k, at.name) {
		p.shut = true
		return true
	}
	if p.desk.Open() && !p.cleared() {
		return false
	}
	p.born++
	body := events.Created{
		Owner:    &events.Owner{Resource: p.o.Key.Resource, Name: p.o.Key.Name, UID: p.o.UID},
		Template: p.hash, Object: p.child(k, at.name, failures),
	}
	if p.desk.Bear(&p.d, k, body, func() events.Object { return p.pod(k, at.name) }, p.now) {
		return true
	}
	p.shut = !p.d.More // others are asked about enough of them
	return p.shut
}

// open is the desk that this pass's pods stand before.
func (p *pass) open() {
	p.desk, p.born = birth.Before(p.v, p.o, p.guards), p.o.Born
}

// free is the key of the next pod; names of one set never repeat among 27⁵.
func (p *pass) free() events.Key {
	for ; ; p.born++ {
		k := events.Key{Resource: events.Pods, Namespace: p.o.Key.Namespace, Name: p.prefix() + events.ChildSuffix(p.o.UID, p.born)}
		if _, taken := p.v.Get(k); !taken {
			return k
		}
	}
}

func (p *pass) prefix() string { return p.o.Key.Name[:min(len(p.o.Key.Name), maxPrefix)] + "-" }

// template stores what all pods have in common, when the log does not have it yet.
func (p *pass) template() bool {
	p.shaped = p.desk.Template(p.pattern())
	raw := events.MustBody(p.shaped)
	p.hash = events.HashOf(raw)
	if _, ok := p.v.Template(p.hash); ok {
		return true
	}
	return p.d.Emit(reconcilers.StoreTemplate(raw))
}

// pattern is the template with the labels that tell of it and the tolerations that all
// daemons have. Which node it wants is seen to here: what is left of that is a name,
// which each pod has for itself.
func (p *pass) pattern() *corev1.PodTemplateSpec {
	t := p.ds.Spec.Template.DeepCopy()
	t.Labels = maps.Clone(t.Labels)
	if t.Labels == nil {
		t.Labels = map[string]string{}
	}
	t.Labels[revision.DaemonHashLabel] = p.revision
	t.Labels[projections.GenerationLabel] = p.ds.Annotations[projections.TemplateGeneration]
	for _, x := range projections.DaemonTolerations(&t.Spec) {
		if !slices.ContainsFunc(t.Spec.Tolerations, func(has corev1.Toleration) bool { return has.MatchToleration(&x) }) {
			t.Spec.Tolerations = append(t.Spec.Tolerations, x)
		}
	}
	if a := t.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
	}
	t.Spec.NodeName = ""
	return t
}

// difference is what one pod has beside the template.
type difference struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Metadata   differenceOfMeta `json:"metadata"`
	Spec       differenceOfSpec `json:"spec"`
}

type differenceOfMeta struct {
	Annotations  map[string]string `json:"annotations,omitempty"`
	GenerateName string            `json:"generateName"`
	Name         string            `json:"name"`
	Namespace    string            `json:"namespace"`
}

type differenceOfSpec struct {
	Affinity corev1.Affinity `json:"affinity"`
}

func (p *pass) child(k events.Key, node string, failures int) []byte {
	d := difference{APIVersion: "v1", Kind: "Pod", Metadata: differenceOfMeta{GenerateName: p.prefix(), Name: k.Name, Namespace: k.Namespace},
		Spec: differenceOfSpec{corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: pinned(node)}}}}
	if failures > 0 {
		d.Metadata.Annotations = map[string]string{failuresAnnotation: strconv.Itoa(failures)}
	}
	return events.MustBody(d)
}

// pinned wants one node, by its name.
func pinned(node string) *corev1.NodeSelector {
	return &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
		{Key: projections.NameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}}}}}
}

// pod is what is looked at: the pod as it would be.
func (p *pass) pod(k events.Key, node string) *corev1.Pod {
	t := p.shaped.DeepCopy()
	if t.Spec.Affinity == nil {
		t.Spec.Affinity = &corev1.Affinity{}
	}
	if t.Spec.Affinity.NodeAffinity == nil {
		t.Spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	t.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = pinned(node)
	return birth.Pod(p.o, k, p.prefix(), t)
}

// barred tells whether a pod must not be made, and writes down why when that is news.
func (p *pass) barred(k events.Key, node string) bool {
	if p.desk.Open() {
		return false
	}
	said := p.desk.Bars(p.pod(k, node))
	if said == "" {
		return false
	}
	birth.Refuse(&p.d, p.v, p.o, k, said, p.now)
	return true
}

// cleared takes a verdict of before back, once.
func (p *pass) cleared() bool {
	if p.quiet {
		return true
	}
	p.quiet = true
	return birth.Clear(&p.d, p.v, p.o)
}
