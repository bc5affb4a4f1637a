package projections

import (
	"encoding/pem"
	"iter"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
)

// TrustData is what a source of trust anchors stands for: those of one bundle, or of all that it selects.
type TrustData struct {
	Anchors string `json:"anchors"` // PEM, each once, in an order that follows from them
	// Bundles and Position, of the newest, change together with what is in them: a bundle that goes leaves the newest as it is.
	Bundles  int             `json:"bundles"`
	Position events.Position `json:"position"`
}

// TrustName is by what a node's row tells the sources of a pod apart: a bundle's name, or a signer and what its bundles
// are selected by.
func TrustName(src *corev1.ClusterTrustBundleProjection) string {
	switch {
	case src.Name != nil:
		return *src.Name
	case src.SignerName != nil:
		return *src.SignerName + " " + string(events.MustBody(src.LabelSelector))
	}
	return ""
}

// trustSources walks the sources of trust anchors in a pod's volumes.
func trustSources(spec *corev1.PodSpec) iter.Seq[*corev1.ClusterTrustBundleProjection] {
	return func(yield func(*corev1.ClusterTrustBundleProjection) bool) {
		for i := range spec.Volumes {
			p := spec.Volumes[i].Projected
			if p == nil {
				continue
			}
			for j := range p.Sources {
				if src := p.Sources[j].ClusterTrustBundle; src != nil && !yield(src) {
					return
				}
			}
		}
	}
}

// fillTrust gives a node's row the anchors that its pod trusts. The row is as new as the newest of them.
func (s State) fillTrust(d *DesiredPod) {
	for src := range trustSources(&d.Pod.Spec) {
		data := s.trusted(src)
		if data.Bundles == 0 {
			continue
		}
		if d.Trust == nil {
			d.Trust = map[string]TrustData{}
		}
		d.Trust[TrustName(src)] = data
		d.Position = max(d.Position, data.Position)
	}
}

// trusted is what a source stands for now; no bundles when nothing is there.
func (s State) trusted(src *corev1.ClusterTrustBundleProjection) TrustData {
	var data TrustData
	var texts []string
	for o := range s.bundles(src) {
		texts = append(texts, As[*certificatesv1.ClusterTrustBundle](o).Spec.TrustBundle)
		data.Bundles++
		data.Position = max(data.Position, o.Position)
	}
	data.Anchors = anchors(texts)
	return data
}

// bundles walks what a source names. Without a selector a signer's source selects nothing, as in Kubernetes; an empty one
// selects all of the signer's.
func (s State) bundles(src *corev1.ClusterTrustBundleProjection) iter.Seq[*Object] {
	return func(yield func(*Object) bool) {
		if src.Name != nil {
			if o, ok := s.Get(events.Key{Resource: events.TrustBundles, Name: *src.Name}); ok {
				yield(o)
			}
			return
		}
		selector, err := metav1.LabelSelectorAsSelector(src.LabelSelector)
		if err != nil || src.SignerName == nil {
			return // admission lets none of these in
		}
		for o := range s.List(events.TrustBundles, "") {
			b := As[*certificatesv1.ClusterTrustBundle](o)
			if b.Spec.SignerName == *src.SignerName && selector.Matches(labels.Set(b.Labels)) && !yield(o) {
				return
			}
		}
	}
}

// anchors are the certificates of some bundles, each once, without what stands between them.
func anchors(texts []string) string {
	var all []string
	for _, text := range texts {
		rest := []byte(text)
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			all = append(all, string(block.Bytes))
		}
	}
	slices.Sort(all)
	var out strings.Builder
	for _, raw := range slices.Compact(all) {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(raw)}))
	}
	return out.String()
}

// trusting walks the assigned pods that a change of a bundle may concern. Bundles come and go too seldom for an index.
func (s State) trusting(c Change) iter.Seq[*Pod] {
	o := c.After
	if o == nil {
		o = c.Before
	}
	if o == nil {
		return func(func(*Pod) bool) {}
	}
	signer := As[*certificatesv1.ClusterTrustBundle](o).Spec.SignerName
	concerns := func(spec *corev1.PodSpec) bool {
		for src := range trustSources(spec) {
			if src.Name != nil && *src.Name == c.Key.Name || src.SignerName != nil && *src.SignerName == signer {
				return true
			}
		}
		return false
	}
	return func(yield func(*Pod) bool) {
		for o := range s.List(events.Pods, "") {
			if !concerns(o.PodSpec()) {
				continue
			}
			if p, ok := s.PodOf(o.Key); ok && p.Node != "" && !yield(p) {
				return
			}
		}
	}
}
