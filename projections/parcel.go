package projections

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// Bodies are pod templates by content, as they lie in the log. What a node is told at once are mostly pods that differ in
// their names alone: such a row is sent without labels, annotations and spec, and names the template that has them.
type Bodies map[events.Hash]json.RawMessage

// Pack takes out of the message's rows what their templates say, and adds these once.
func (m *FeedMessage) Pack(s State) { m.Bodies = s.pack(m.Pods) }

// Pack is FeedMessage.Pack for a whole set.
func (set *DesiredSet) Pack(s State) { set.Bodies = s.pack(set.Pods) }

func (s State) pack(rows []DesiredPod) Bodies {
	var out Bodies
	for i := range rows {
		d := &rows[i]
		o, ok := s.Get(events.Key{Resource: events.Pods, Namespace: d.Pod.Namespace, Name: d.Pod.Name})
		if !ok || o.UID != d.UID || !o.Bare() || !o.sharesAnnotations() {
			continue
		}
		if out == nil {
			out = Bodies{}
		}
		out[o.Template.Hash] = o.Template.Raw
		d.Template = o.Template.Hash
		d.Pod.Labels, d.Pod.Annotations = nil, nil
		d.Pod.Spec = corev1.PodSpec{NodeName: d.Pod.Spec.NodeName, ImagePullSecrets: d.Pod.Spec.ImagePullSecrets}
	}
	return out
}

// Shelf is where a node puts the templates that it read, so that all its pods of one share its content. It is no more
// than that: every message brings what its rows name. It is not safe for concurrent use.
type Shelf struct {
	known map[events.Hash]*corev1.PodTemplateSpec
}

// maxShelf bounds the templates on a shelf: more than a node has pods.
const maxShelf = 512

// Unpack makes packed rows whole again. Rows share what is their template's: it must not be changed. The error is of a
// message that is damaged, or names what it does not bring.
func (h *Shelf) Unpack(rows []DesiredPod, bodies Bodies) error {
	for i := range rows {
		d := &rows[i]
		if d.Template == "" {
			continue
		}
		t, err := h.template(d.Template, bodies)
		if err != nil {
			return fmt.Errorf("read row of pod %s/%s: %w", d.Pod.Namespace, d.Pod.Name, err)
		}
		own := d.Pod.Spec
		d.Pod.Labels, d.Pod.Annotations, d.Pod.Spec = t.Labels, t.Annotations, t.Spec
		d.Pod.Spec.NodeName, d.Pod.Spec.ImagePullSecrets = own.NodeName, own.ImagePullSecrets
		d.Template = ""
	}
	return nil
}

func (h *Shelf) template(hash events.Hash, bodies Bodies) (*corev1.PodTemplateSpec, error) {
	if t, ok := h.known[hash]; ok {
		return t, nil
	}
	raw, ok := bodies[hash]
	if !ok {
		return nil, fmt.Errorf("template %s is not in the message", hash)
	}
	t := &corev1.PodTemplateSpec{}
	if err := json.Unmarshal(raw, t); err != nil {
		return nil, fmt.Errorf("decode template %s: %w", hash, err)
	}
	if h.known == nil || len(h.known) >= maxShelf {
		h.known = map[events.Hash]*corev1.PodTemplateSpec{}
	}
	h.known[hash] = t
	return t, nil
}
