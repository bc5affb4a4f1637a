package projections

import (
	"iter"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// Crowd is equal pods as other pods see them: those of one namespace with the
// same labels and the same terms about others. The fold counts them by node, so
// that to place a pod nobody has to look at all pods.
type Crowd struct {
	Namespace string
	Labels    map[string]string // shared: never change it
	Affinity  *corev1.Affinity  // nil when its pods say nothing of others; shared

	id string
	on tree[Headcount]
}

// Headcount is how many pods of a crowd hold room on a node.
type Headcount struct {
	Node    string
	Pods    int
	Leaving int // those of them that somebody wants gone
}

// On walks the nodes where pods of the crowd hold room, by name.
func (c *Crowd) On() iter.Seq[Headcount] { return c.on.below("") }

// Crowds walks the crowds of a namespace; the empty one means all.
func (s State) Crowds(namespace string) iter.Seq[*Crowd] {
	if namespace != "" {
		namespace += "\x00"
	}
	return s.crowds.below(namespace)
}

// CrowdsWith walks the crowds of a namespace that have a label with this value.
func (s State) CrowdsWith(namespace, label, value string) iter.Seq[*Crowd] {
	return s.crowdsAt(s.labelled.below(selectorPrefix(namespace, label, value)))
}

// CrowdsMinding walks the crowds that may have a term about pods of a namespace
// with these labels. What a term says beyond one pair of its labels and the names
// of namespaces is left to the caller. A crowd with several terms may come twice.
func (s State) CrowdsMinding(namespace string, labels map[string]string) iter.Seq[*Crowd] {
	return func(yield func(*Crowd) bool) {
		if s.minding.len() == 0 {
			return
		}
		for _, where := range []string{namespace, anywhere} {
			for c := range s.crowdsAt(s.minding.below(selectorPrefix(where, "", ""))) {
				if !yield(c) {
					return
				}
			}
			for _, label := range slices.Sorted(maps.Keys(labels)) {
				for c := range s.crowdsAt(s.minding.below(selectorPrefix(where, label, labels[label]))) {
					if !yield(c) {
						return
					}
				}
			}
		}
	}
}

// Settled is the state as if a pod held room on a node too, as far as crowds go.
func (s State) Settled(o *Object, node string) State {
	f := folding{s: s}
	f.join(o, node, +1)
	return f.s
}

func (s State) crowdsAt(ids iter.Seq[string]) iter.Seq[*Crowd] {
	return func(yield func(*Crowd) bool) {
		for id := range ids {
			if c, ok := s.crowds.get(id); ok && !yield(c) {
				return
			}
		}
	}
}

// join counts a pod in with its crowd on a node, or out.
func (f *folding) join(o *Object, node string, sign int) {
	id := crowdID(o)
	was, ok := f.s.crowds.get(id)
	if !ok {
		was = crowdOf(o, id)
		f.index(was, true)
	}
	c := *was
	c.on.edit = f.s.crowds.edit
	h, _ := c.on.get(node)
	h = h.plus(o, node, sign)
	if h.Pods > 0 {
		c.on = c.on.with(node, h)
	} else {
		c.on = c.on.without(node)
	}
	if c.on.len() > 0 {
		f.s.crowds = f.s.crowds.with(id, &c)
		return
	}
	f.s.crowds = f.s.crowds.without(id)
	f.index(was, false)
}

func (h Headcount) plus(o *Object, node string, sign int) Headcount {
	h.Node = node
	h.Pods += sign
	if o.Deletion != nil {
		h.Leaving += sign
	}
	return h
}

// index enters a crowd where it is looked for, or takes it out.
func (f *folding) index(c *Crowd, in bool) {
	put := func(t tree[string], key string) tree[string] {
		if in {
			return t.with(key, c.id)
		}
		return t.without(key)
	}
	for k, v := range c.Labels { //stave:sorted each pair has an entry of its own
		f.s.labelled = put(f.s.labelled, selectorPrefix(c.Namespace, k, v)+c.id)
	}
	for i, t := range c.Terms() {
		label, value, ok := onePair(t.LabelSelector)
		if !ok {
			continue
		}
		for _, where := range c.scope(t) {
			f.s.minding = put(f.s.minding, selectorPrefix(where, label, value)+c.id+"\x00"+strconv.Itoa(i))
		}
	}
}

// anywhere stands for the namespaces of a term that chooses them by their labels.
const anywhere = "*"

func (c *Crowd) scope(t corev1.PodAffinityTerm) []string {
	switch {
	case t.NamespaceSelector != nil:
		return []string{anywhere}
	case len(t.Namespaces) > 0:
		return t.Namespaces
	}
	return []string{c.Namespace}
}

// onePair is a label that whoever is meant by a selector must have, empty when
// there is none; false when it means nobody.
func onePair(s *metav1.LabelSelector) (label, value string, ok bool) {
	switch {
	case s == nil:
		return "", "", false
	case len(s.MatchLabels) == 0:
		return "", "", true
	}
	label = slices.Sorted(maps.Keys(s.MatchLabels))[0]
	return label, s.MatchLabels[label], true
}

// Terms are all that the crowd's pods say of others: what they must be beside and
// apart from, and what they would like.
func (c *Crowd) Terms() []corev1.PodAffinityTerm {
	var out []corev1.PodAffinityTerm
	if c.Affinity == nil {
		return nil
	}
	if a := c.Affinity.PodAffinity; a != nil {
		out = append(out, a.RequiredDuringSchedulingIgnoredDuringExecution...)
		for _, w := range a.PreferredDuringSchedulingIgnoredDuringExecution {
			out = append(out, w.PodAffinityTerm)
		}
	}
	if a := c.Affinity.PodAntiAffinity; a != nil {
		out = append(out, a.RequiredDuringSchedulingIgnoredDuringExecution...)
		for _, w := range a.PreferredDuringSchedulingIgnoredDuringExecution {
			out = append(out, w.PodAffinityTerm)
		}
	}
	return out
}

// crowdOf is a pod's crowd, with nobody in it.
func crowdOf(o *Object, id string) *Crowd {
	return &Crowd{Namespace: o.Key.Namespace, Labels: o.PodLabels(), Affinity: mindful(o.PodSpec()), id: id}
}

func mindful(spec *corev1.PodSpec) *corev1.Affinity {
	if a := spec.Affinity; a != nil && (a.PodAffinity != nil || a.PodAntiAffinity != nil) {
		return a
	}
	return nil
}

// crowdID names a pod's crowd: by its template, when the pod is that and no more.
func crowdID(o *Object) string {
	if o.Bare() {
		return o.Key.Namespace + "\x00" + string(o.Template.Hash)
	}
	what := struct {
		Labels   map[string]string
		Affinity *corev1.Affinity
	}{o.PodLabels(), mindful(o.PodSpec())}
	return o.Key.Namespace + "\x00=" + string(events.HashOf(events.MustBody(what)))
}

// crowding counts the pods of a state that is read from a checkpoint.
type crowding struct {
	s  *State
	at map[string]*Crowd
	on map[string]map[string]Headcount // by crowd and node
}

func (w *crowding) add(o *Object, node string) {
	id := crowdID(o)
	if w.at[id] == nil {
		w.at[id], w.on[id] = crowdOf(o, id), map[string]Headcount{}
	}
	w.on[id][node] = w.on[id][node].plus(o, node, +1)
}

// done enters what was counted.
func (w *crowding) done() {
	f := folding{s: *w.s}
	ids := slices.Sorted(maps.Keys(w.at))
	for _, id := range ids {
		c, nodes := w.at[id], slices.Sorted(maps.Keys(w.on[id]))
		c.on = treeOf(nodes, func(i int) (string, Headcount) { return nodes[i], w.on[id][nodes[i]] })
		f.index(c, true)
	}
	f.s.crowds = treeOf(ids, func(i int) (string, *Crowd) { return ids[i], w.at[ids[i]] })
	*w.s = f.s
}
