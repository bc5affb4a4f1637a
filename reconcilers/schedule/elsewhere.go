package schedule

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// elsewhere tells people of a refusal that is about where other pods are.
func (r refusal) elsewhere(n *node, out events.Reason) events.Reason {
	switch r.code {
	case CodeNoDomain:
		out.Said, out.Fix = "the node has no such label", "label node "+n.name+" "+r.what+"="
	case CodeSkew:
		return r.skew.told(n, out)
	case CodePodAffinity:
		return r.near.told(n, r.term, out)
	case CodeAntiAffinity, CodeKeptOut:
		out.Have = r.apart.domains.names[r.apart.domains.of[n.place]]
	}
	return out
}

// told is the skew that there would be, and what it is measured against.
func (s *skew) told(n *node, out events.Reason) events.Reason {
	at := s.domains.of[n.place]
	out.Have = s.domains.names[at]
	out.Said = fmt.Sprintf("skew would be %d, at most %d", s.would(at), s.most)
	if s.size < s.min {
		out.Said += fmt.Sprintf(": of %d domains there are %d", s.min, s.size)
		out.Fix = fmt.Sprintf("add a node with another %s, or lower minDomains to %d", out.What, s.size)
		return out
	}
	for i, name := range s.domains.names {
		if s.counts[i] && s.count[i] == s.least {
			out.Said += fmt.Sprintf(": %s would have %d, %s has %d", out.Have, s.count[at]+s.self, name, s.least)
			out.Fix = fmt.Sprintf("make room in %s, or raise maxSkew to %d", name, s.would(at))
			break
		}
	}
	return out
}

func (x *near) told(n *node, term int, out events.Reason) events.Reason {
	d, who := x.domains[term], "pods with "+metav1.FormatLabelSelector(x.aims[term].selector)
	out.Need = who
	at := d.of[n.place]
	if at == none {
		out.Said, out.Fix = "the node has no such label", "label node "+n.name+" "+d.key+"="
		return out
	}
	out.Have, out.Said, out.Fix = d.names[at], "there is none", "run one of the "+who+" there"
	return out
}

// name says which pod stands in the way, where one does.
func (c *claims) name(reasons []events.Reason) {
	for i := range reasons {
		out := &reasons[i]
		if out.Code != CodeAntiAffinity && out.Code != CodeKeptOut {
			continue
		}
		place, ok := c.atlas.find(out.About.Name)
		if !ok {
			continue
		}
		who := c.holder(c.refuses(place, both).apart, place)
		out.Said = who + " runs there"
		if out.Code == CodeKeptOut {
			out.Said += " and wants none such beside it"
		}
		out.Fix = "add a node with another " + out.What + ", or delete " + who
	}
}

// holder is a pod that keeps others out of a node's domain.
func (c *claims) holder(a *apart, place int32) string {
	at := a.domains.of[place]
	for i, n := range c.atlas.nodes {
		if a.domains.of[i] != at {
			continue
		}
		for _, o := range n.given {
			if c.bars(a, o) {
				return c.called(o.Key)
			}
		}
		for row := range c.view.PodsOn(n.name) {
			if o, ok := c.view.Get(row.Key); ok && row.Holds(o) && c.bars(a, o) {
				return c.called(o.Key)
			}
		}
	}
	return "a pod"
}

// bars tells whether it is this pod that is in the way.
func (c *claims) bars(a *apart, o *projections.Object) bool {
	if a.aim != nil {
		return a.aim.means(c.view, o.Key.Namespace, o.PodLabels())
	}
	f := o.PodSpec().Affinity
	if f == nil || f.PodAntiAffinity == nil {
		return false
	}
	return anyTerm(f.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, func(t *corev1.PodAffinityTerm) bool {
		return t.TopologyKey == a.domains.key && aimOf(t, o.Key.Namespace, o.PodLabels()).means(c.view, c.namespace, c.labels)
	})
}

func anyTerm(terms []corev1.PodAffinityTerm, is func(*corev1.PodAffinityTerm) bool) bool {
	for i := range terms {
		if is(&terms[i]) {
			return true
		}
	}
	return false
}

func (c *claims) called(k events.Key) string {
	if k.Namespace == c.namespace {
		return k.Name
	}
	return k.Namespace + "/" + k.Name
}
