package projections

import (
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// Resize is what of a pod's resources is not as its spec wishes: not granted yet, or not done. A pod that has none has what its
// spec says.
type Resize struct {
	Generation int64 `cbor:",omitzero"` // of the spec that changed resources last
	Asked      Mark  `cbor:",omitzero"` // when that came
	// Allotted are the resources that the pod may use while the wish is not granted; nil once it is.
	Allotted []Share `cbor:",omitzero"`
	// Given are the resources that its containers really have until the node has said that they have those that they were
	// granted; nil when they have what is allotted.
	Given []Share `cbor:",omitzero"`
	// Held is the most that they may have meanwhile: of several grants nobody knows yet which ones the node came to.
	Held Usage `cbor:",omitzero"`
	// Refused is why the wish is not granted, Said the same in words; empty while nobody looked at it, and once it is granted.
	Refused events.Code `cbor:",omitzero"`
	Said    string      `cbor:",omitzero"`
	Told    Mark        `cbor:",omitzero"` // when it was refused
	// Granted is the generation of the wish that was granted last, GrantedAt when that was.
	Granted   int64 `cbor:",omitzero"`
	GrantedAt Mark  `cbor:",omitzero"`
	// Failed is why the node cannot do what was granted, in its words; empty when it does.
	Failed   string `cbor:",omitzero"`
	FailedAt Mark   `cbor:",omitzero"`
}

// Share is what one container may use.
type Share struct {
	Container string `cbor:",omitzero"`
	Resources string `cbor:",omitzero"` // a corev1.ResourceRequirements as JSON: compared far more often than read
}

// Waits tells whether the wish is not granted yet. A nil one waits for nothing.
func (r *Resize) Waits() bool { return r != nil && r.Allotted != nil }

// sharesOf are the resources in a pod's spec: of what may be given others, in order.
func sharesOf(spec *corev1.PodSpec) []Share {
	var out []Share
	for c := range Resizable(spec) {
		out = append(out, Share{c.Name, string(events.MustBody(c.Resources))})
	}
	return out
}

// Resizable are the containers of a pod that can get other resources while they run: those that it is there for, and sidecars.
func Resizable(spec *corev1.PodSpec) func(yield func(*corev1.Container) bool) {
	return func(yield func(*corev1.Container) bool) {
		for i := range spec.InitContainers {
			if c := &spec.InitContainers[i]; Sidecar(c) && !yield(c) {
				return
			}
		}
		for i := range spec.Containers {
			if !yield(&spec.Containers[i]) {
				return
			}
		}
	}
}

// withShares is a spec whose containers have other resources. The spec stays as it is.
func withShares(spec *corev1.PodSpec, shares []Share) *corev1.PodSpec {
	if shares == nil {
		return spec
	}
	out := *spec
	out.Containers, out.InitContainers = slices.Clone(spec.Containers), slices.Clone(spec.InitContainers)
	for c := range Resizable(&out) {
		if r, ok := shareOf(shares, c.Name); ok {
			c.Resources = r
		}
	}
	return &out
}

func shareOf(shares []Share, container string) (r corev1.ResourceRequirements, ok bool) {
	i := slices.IndexFunc(shares, func(s Share) bool { return s.Container == container })
	if i < 0 || json.Unmarshal([]byte(shares[i].Resources), &r) != nil {
		return corev1.ResourceRequirements{}, false
	}
	return r, true
}

// AllottedSpec is a pod's spec with the resources that its node may give it: the wished ones once they are granted.
// It is shared: never change it.
func (p *Pod) AllottedSpec(spec *corev1.PodSpec) *corev1.PodSpec {
	if !p.Resize.Waits() {
		return spec
	}
	return withShares(spec, p.Resize.Allotted)
}

// givenSpec is a pod's spec with the resources that its containers really have.
func (p *Pod) givenSpec(spec *corev1.PodSpec) *corev1.PodSpec {
	if p.Resize == nil || p.Resize.Given == nil {
		return p.AllottedSpec(spec)
	}
	return withShares(spec, p.Resize.Given)
}

// Keeps is what a pod takes of its node whatever becomes of its wish: what it may use, or what it may still have, whichever is more.
func (p *Pod) Keeps(spec *corev1.PodSpec) Usage {
	u := Asks(p.AllottedSpec(spec))
	if p.Resize != nil {
		u = u.Larger(p.Resize.Held)
	}
	return u
}

// Claims is what a pod counts for on its node, as in Kubernetes: what it keeps, or what it wishes for when that is more and the
// node could have it.
func (p *Pod) Claims(spec *corev1.PodSpec) Usage {
	if p.Resize == nil {
		return Asks(spec)
	}
	u := p.Keeps(spec)
	if p.Resize.Waits() {
		if p.Resize.Refused != events.Infeasible {
			u = u.Larger(Asks(spec))
		}
		u.Wishes = 1
	}
	return u
}

// Larger is the larger one of each resource of two pods.
func (u Usage) Larger(v Usage) Usage {
	m := u.max(v)
	m.Pods = max(u.Pods, v.Pods)
	return m
}

// wishes is a pod's row after its spec changed: with a wish when that has other resources, and the pod has a node already.
func (f *folding) wishes(before, after *Object, p *Pod) *Pod {
	if p.Node == "" {
		return p
	}
	was, is := sharesOf(before.PodSpec()), sharesOf(after.PodSpec())
	if slices.Equal(was, is) {
		return p
	}
	n, r := *p, Resize{}
	if p.Resize != nil {
		r = *p.Resize
	}
	if r.Allotted != nil {
		was = r.Allotted
	}
	r.Generation, r.Asked, r.Refused, r.Said, r.Told = after.Generation, f.mark(), "", "", Mark{}
	r.Allotted = was
	if slices.Equal(was, is) {
		r.Allotted = nil // it was taken back
	}
	own := n.own()
	if own.Resize = &r; r.Allotted == nil && r.Given == nil {
		own.Resize = nil
	}
	return &n
}

// resized folds what became of a wish.
func (f *folding) resized(k events.Key) {
	b, ok := body[events.Resized](f)
	if !ok {
		return
	}
	o, ok := f.life(k, b.UID)
	p, is := f.s.PodOf(k)
	if !ok || !is || k.Resource != events.Pods || !p.Resize.Waits() || p.Resize.Generation != b.Generation {
		f.drop() // the pod moved on
		return
	}
	n, r := *p, *p.Resize
	own := n.own()
	own.Resize = &r
	r.Refused, r.Said, r.Told = b.Refused, b.Said, f.mark()
	if b.Refused == "" {
		r.Held = p.Keeps(o.PodSpec())
		r.grant(b.Generation, f.mark())
		own.Resized = f.e.Seq
	}
	f.changePod(p, &n)
}

func (r *Resize) grant(generation int64, at Mark) {
	if r.Given == nil {
		r.Given = r.Allotted
	}
	r.Allotted, r.Told, r.Failed, r.FailedAt = nil, Mark{}, "", Mark{}
	r.Granted, r.GrantedAt = generation, at
}

// resizing folds what a node did about what a pod was granted.
func (f *folding) resizing(p *Pod, x events.Fact) {
	if p.Resize == nil || p.Resize.Given == nil || events.Seq(x.Count) != p.Resized {
		return // of another grant, or said twice
	}
	r, own := *p.Resize, p.own()
	if x.Kind == events.FactNotResized {
		if r.Failed != x.Message {
			r.Failed, r.FailedAt = x.Message, f.mark()
		}
		own.Resize = &r
		return
	}
	r.Given, r.Held, r.Failed, r.FailedAt = nil, Usage{}, "", Mark{}
	if own.Resize = &r; r.Allotted == nil {
		own.Resize = nil
	}
}
