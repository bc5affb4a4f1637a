package volume

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// unfit is why a volume is not what the claim asks for, "" when it is. The selector counts where the claim named no volume:
// then picks is the claim.
func (p *pass) unfit(v *corev1.PersistentVolume, picks *corev1.PersistentVolumeClaim) string {
	if why := p.unfitSize(v); why != "" {
		return why
	}
	if name, _ := projections.ClaimClass(p.claim); name != projections.VolumeClass(v) {
		return "storageClassName does not match"
	}
	for _, m := range p.claim.Spec.AccessModes {
		if !slices.Contains(v.Spec.AccessModes, m) {
			return "incompatible accessMode"
		}
	}
	if picks == nil || picks.Spec.Selector == nil {
		return ""
	}
	s, err := metav1.LabelSelectorAsSelector(picks.Spec.Selector)
	if err != nil || !s.Matches(labels.Set(v.Labels)) {
		return "its labels do not match the selector"
	}
	return ""
}

func (p *pass) unfitSize(v *corev1.PersistentVolume) string {
	want, has := p.claim.Spec.Resources.Requests[corev1.ResourceStorage], v.Spec.Capacity[corev1.ResourceStorage]
	switch {
	case has.Cmp(want) < 0:
		return fmt.Sprintf("requested PV is too small: it has %s, the claim wants %s", has.String(), want.String())
	case modeOf(p.claim.Spec.VolumeMode) != modeOf(v.Spec.VolumeMode):
		return "incompatible volumeMode"
	}
	return ""
}

func modeOf(m *corev1.PersistentVolumeMode) corev1.PersistentVolumeMode {
	if m == nil {
		return corev1.PersistentVolumeFilesystem
	}
	return *m
}

// Reaches tells whether a node can mount a volume, by the volume's node affinity and the zone that its labels name.
func Reaches(v reconcilers.View, volume *corev1.PersistentVolume, node string) bool {
	o, ok := v.Get(events.Key{Resource: events.Nodes, Name: node})
	return ok && ReachesNode(volume, node, projections.As[*corev1.Node](o).Labels)
}

// ReachesNode is Reaches for a node of these labels.
func ReachesNode(volume *corev1.PersistentVolume, node string, labels map[string]string) bool {
	a := volume.Spec.NodeAffinity
	return inZone(volume, labels) && (a == nil || a.Required == nil || slices.ContainsFunc(a.Required.NodeSelectorTerms, func(t corev1.NodeSelectorTerm) bool {
		return projections.TermMatches(&t, node, labels)
	}))
}

// zones are the labels of a volume that say where it is, each with the one of nodes that says the same.
var zones = []struct{ volume, node string }{
	{corev1.LabelTopologyZone, corev1.LabelTopologyZone}, {corev1.LabelTopologyRegion, corev1.LabelTopologyRegion},
	{corev1.LabelFailureDomainBetaZone, corev1.LabelTopologyZone}, {corev1.LabelFailureDomainBetaRegion, corev1.LabelTopologyRegion},
}

// inZone tells whether a node is in the zone and region of a volume's labels, which may name several, between two underscores each.
// A node that says nothing of where it is takes all volumes, as in Kubernetes.
func inZone(volume *corev1.PersistentVolume, labels map[string]string) bool {
	if !slices.ContainsFunc(zones, func(z struct{ volume, node string }) bool { _, ok := labels[z.volume]; return ok }) {
		return true
	}
	for _, z := range zones {
		said := strings.Split(volume.Labels[z.volume], "__")
		if slices.Contains(said, "") {
			continue // it is not set, or says nothing that can be read
		}
		has, ok := labels[z.volume]
		if !ok {
			has, ok = labels[z.node]
		}
		if !ok || !slices.Contains(said, has) {
			return false
		}
	}
	return true
}

// Allows tells whether a class lets volumes be on a node of these labels.
func Allows(c *storagev1.StorageClass, labels map[string]string) bool {
	return len(c.AllowedTopologies) == 0 || slices.ContainsFunc(c.AllowedTopologies, func(t corev1.TopologySelectorTerm) bool {
		for _, r := range t.MatchLabelExpressions {
			if have, ok := labels[r.Key]; !ok || !slices.Contains(r.Values, have) {
				return false
			}
		}
		return true
	})
}

func addFinalizer(object map[string]any, name string) {
	meta := reconcilers.Field(object, "metadata")
	list, _ := meta["finalizers"].([]any)
	meta["finalizers"] = append(slices.Clone(list), name)
}

func dropFinalizer(object map[string]any, names ...string) {
	meta := reconcilers.Field(object, "metadata")
	list, _ := meta["finalizers"].([]any)
	list = slices.DeleteFunc(slices.Clone(list), func(f any) bool {
		s, _ := f.(string)
		return slices.Contains(names, s)
	})
	if meta["finalizers"] = list; len(list) == 0 {
		delete(meta, "finalizers")
	}
}
