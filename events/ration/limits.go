package ration

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Annotation is where a pod says what limit ranges gave it.
const Annotation = "kubernetes.io/limit-ranger"

// Defaults gives the containers of a pod what the limit ranges of its namespace
// want for those that say nothing. It changes the spec in place and is what the
// pod's Annotation says then; "" when nothing was missing.
func Defaults(spec *corev1.PodSpec, ranges []*corev1.LimitRange) string {
	said := ""
	for _, r := range ranges {
		limits, requests := corev1.ResourceList{}, corev1.ResourceList{}
		for i := range r.Spec.Limits {
			if item := &r.Spec.Limits[i]; item.Type == corev1.LimitTypeContainer {
				fill(limits, item.Default)
				fill(requests, item.DefaultRequest)
			}
		}
		var set []string
		for i := range spec.Containers {
			set = append(set, give(&spec.Containers[i], "container", requests, limits)...)
		}
		for i := range spec.InitContainers {
			set = append(set, give(&spec.InitContainers[i], "init container", requests, limits)...)
		}
		if len(set) > 0 {
			said = "LimitRanger plugin set: " + strings.Join(set, "; ") // the last range has the word, as in Kubernetes
		}
	}
	return said
}

func give(c *corev1.Container, what string, requests, limits corev1.ResourceList) []string {
	var out []string
	r := &c.Resources
	for _, side := range []struct {
		name string
		of   *corev1.ResourceList
		from corev1.ResourceList
	}{{"request", &r.Requests, requests}, {"limit", &r.Limits, limits}} {
		if len(side.from) > 0 && *side.of == nil {
			*side.of = corev1.ResourceList{}
		}
		if set := fill(*side.of, side.from); len(set) > 0 {
			out = append(out, fmt.Sprintf("%s %s for %s %s", strings.Join(set, ", "), side.name, what, c.Name))
		}
	}
	return out
}

// fill puts in what is not there yet, and names it.
func fill(to, from corev1.ResourceList) []string {
	var set []string
	for _, name := range sorted(from) {
		if _, had := to[name]; !had {
			to[name] = from[name].DeepCopy()
			set = append(set, string(name))
		}
	}
	return set
}

// Breach says which limits of the ranges a pod breaks, "" when none.
func Breach(spec *corev1.PodSpec, ranges []*corev1.LimitRange) string {
	for _, r := range ranges {
		var said []string
		for i := range r.Spec.Limits {
			said = append(said, breaches(spec, &r.Spec.Limits[i])...)
		}
		switch said = unique(said); len(said) {
		case 0:
		case 1:
			return said[0]
		default:
			return "[" + strings.Join(said, ", ") + "]"
		}
	}
	return ""
}

// ClaimBreach says which limits of the ranges a claim of so much storage breaks, "" when none.
func ClaimBreach(requests corev1.ResourceList, ranges []*corev1.LimitRange) string {
	var said []string
	for _, r := range ranges {
		for i := range r.Spec.Limits {
			item := &r.Spec.Limits[i]
			if item.Type != corev1.LimitTypePersistentVolumeClaim {
				continue
			}
			m := measured{item, requests, nil}
			for _, name := range sorted(item.Min) {
				said = append(said, m.least(name, item.Min[name]))
			}
			for _, name := range sorted(item.Max) {
				said = append(said, m.mostAsked(name, item.Max[name]))
			}
		}
	}
	switch said = slices.DeleteFunc(unique(said), func(s string) bool { return s == "" }); len(said) {
	case 0:
		return ""
	case 1:
		return said[0]
	}
	return "[" + strings.Join(said, ", ") + "]"
}

// mostAsked is most for what has requests alone.
func (m measured) mostAsked(name corev1.ResourceName, bound resource.Quantity) string {
	request, asked := m.requests[name]
	begin := fmt.Sprintf("maximum %s usage per %s is %s", name, m.Type, bound.String())
	switch {
	case !asked:
		return begin + ".  No request is specified"
	case request.Cmp(bound) > 0:
		return begin + ", but request is " + request.String()
	}
	return ""
}

func unique(said []string) []string {
	var out []string
	for _, s := range said {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func breaches(spec *corev1.PodSpec, item *corev1.LimitRangeItem) []string {
	var out []string
	switch item.Type {
	case corev1.LimitTypeContainer:
		for _, c := range slices.Concat(spec.Containers, spec.InitContainers) {
			out = append(out, measured{item, c.Resources.Requests, c.Resources.Limits}.all()...)
		}
	case corev1.LimitTypePod:
		requests, limits := Sum(spec)
		out = measured{item, requests, limits}.all()
	}
	return out
}

// measured is one item of a range beside what one container, or a pod, has.
type measured struct {
	*corev1.LimitRangeItem
	requests, limits corev1.ResourceList
}

func (m measured) all() []string {
	var out []string
	for _, rule := range []struct {
		of    corev1.ResourceList
		check func(corev1.ResourceName, resource.Quantity) string
	}{{m.Min, m.least}, {m.Max, m.most}, {m.MaxLimitRequestRatio, m.ratio}} {
		for _, name := range sorted(rule.of) {
			if said := rule.check(name, rule.of[name]); said != "" {
				out = append(out, said)
			}
		}
	}
	return out
}

func (m measured) least(name corev1.ResourceName, bound resource.Quantity) string {
	request, asked := m.requests[name]
	limit, limited := m.limits[name]
	begin := fmt.Sprintf("minimum %s usage per %s is %s", name, m.Type, bound.String())
	switch {
	case !asked:
		return begin + ".  No request is specified"
	case request.Cmp(bound) < 0:
		return begin + ", but request is " + request.String()
	case limited && limit.Cmp(bound) < 0:
		return begin + ", but limit is " + limit.String()
	}
	return ""
}

func (m measured) most(name corev1.ResourceName, bound resource.Quantity) string {
	request, asked := m.requests[name]
	limit, limited := m.limits[name]
	begin := fmt.Sprintf("maximum %s usage per %s is %s", name, m.Type, bound.String())
	switch {
	case !limited:
		return begin + ".  No limit is specified"
	case limit.Cmp(bound) > 0:
		return begin + ", but limit is " + limit.String()
	case asked && request.Cmp(bound) > 0:
		return begin + ", but request is " + request.String()
	}
	return ""
}

func (m measured) ratio(name corev1.ResourceName, bound resource.Quantity) string {
	request, limit := m.requests[name], m.limits[name]
	begin := fmt.Sprintf("%s max limit to request ratio per %s is %s, but ", name, m.Type, bound.String())
	switch {
	case request.IsZero():
		return begin + "no request is specified or request is 0"
	case limit.IsZero():
		return begin + "no limit is specified or limit is 0"
	}
	if ratio := limit.AsApproximateFloat64() / request.AsApproximateFloat64(); ratio > bound.AsApproximateFloat64() {
		return begin + fmt.Sprintf("provided ratio is %f", ratio)
	}
	return ""
}

// Sum is what a pod asks for and is limited to: the sum of its containers and
// sidecars, or what an init container has together with the sidecars before it,
// whichever is more.
func Sum(spec *corev1.PodSpec) (requests, limits corev1.ResourceList) {
	of := func(side func(*corev1.Container) corev1.ResourceList) corev1.ResourceList {
		sum, beside, most := corev1.ResourceList{}, corev1.ResourceList{}, corev1.ResourceList{}
		for i := range spec.Containers {
			add(sum, side(&spec.Containers[i]))
		}
		for i := range spec.InitContainers {
			c := &spec.InitContainers[i]
			if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
				add(sum, side(c))
				add(beside, side(c))
				larger(most, beside)
				continue
			}
			with := corev1.ResourceList{}
			add(with, beside)
			add(with, side(c))
			larger(most, with)
		}
		larger(sum, most)
		return sum
	}
	return of(func(c *corev1.Container) corev1.ResourceList { return c.Resources.Requests }),
		of(func(c *corev1.Container) corev1.ResourceList { return c.Resources.Limits })
}

func add(to, more corev1.ResourceList) {
	for name, n := range more { //stave:sorted each name is put once
		have := to[name]
		sum := have.DeepCopy()
		sum.Add(n)
		to[name] = sum
	}
}

func larger(to, other corev1.ResourceList) {
	for name, n := range other { //stave:sorted each name is put once
		if have, ok := to[name]; !ok || n.Cmp(have) > 0 {
			to[name] = n.DeepCopy()
		}
	}
}
