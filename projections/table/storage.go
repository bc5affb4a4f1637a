package table

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// The columns are kubectl's.
var (
	volumeColumns = []Column{{Name: "NAME"}, {Name: "CAPACITY"}, {Name: "ACCESS MODES"}, {Name: "RECLAIM POLICY"}, {Name: "STATUS"}, {Name: "CLAIM"},
		{Name: "STORAGECLASS"}, {Name: "VOLUMEATTRIBUTESCLASS"}, {Name: "REASON"}, {Name: "AGE"}, {Name: "VOLUMEMODE", Wide: true}}
	claimColumns = []Column{{Name: "NAME"}, {Name: "STATUS"}, {Name: "VOLUME"}, {Name: "CAPACITY"}, {Name: "ACCESS MODES"},
		{Name: "STORAGECLASS"}, {Name: "VOLUMEATTRIBUTESCLASS"}, {Name: "AGE"}, {Name: "VOLUMEMODE", Wide: true}}
)

func volumeRow(o *corev1.PersistentVolume, age string, _ time.Time) []string {
	claim := ""
	if r := o.Spec.ClaimRef; r != nil {
		claim = r.Namespace + "/" + r.Name
	}
	return []string{o.Name, storage(o.Spec.Capacity), modes(o.Spec.AccessModes), string(o.Spec.PersistentVolumeReclaimPolicy), volumePhase(o), claim,
		projections.VolumeClass(o), setOr(o.Spec.VolumeAttributesClassName), o.Status.Reason, age, volumeMode(o.Spec.VolumeMode)}
}

func volumePhase(o *corev1.PersistentVolume) string {
	if o.DeletionTimestamp != nil {
		return "Terminating"
	}
	return string(o.Status.Phase)
}

func claimRow(o *corev1.PersistentVolumeClaim, age string, _ time.Time) []string {
	class, _ := projections.ClaimClass(o)
	row := []string{o.Name, claimPhase(o), o.Spec.VolumeName, "", "", class, setOr(o.Spec.VolumeAttributesClassName), age, volumeMode(o.Spec.VolumeMode)}
	if o.Spec.VolumeName != "" {
		row[3], row[4] = storage(o.Status.Capacity), modes(o.Status.AccessModes)
	}
	return row
}

func claimPhase(o *corev1.PersistentVolumeClaim) string {
	if o.DeletionTimestamp != nil {
		return "Terminating"
	}
	return string(o.Status.Phase)
}

func classRow(o *storagev1.StorageClass, age string, _ time.Time) []string {
	name, policy, mode := o.Name, string(corev1.PersistentVolumeReclaimDelete), unset
	if isDefault(o) {
		name += " (default)"
	}
	if o.ReclaimPolicy != nil {
		policy = string(*o.ReclaimPolicy)
	}
	if o.VolumeBindingMode != nil {
		mode = string(*o.VolumeBindingMode)
	}
	return []string{name, o.Provisioner, policy, mode, fmt.Sprint(o.AllowVolumeExpansion != nil && *o.AllowVolumeExpansion), age}
}

func isDefault(o *storagev1.StorageClass) bool {
	return o.Annotations[projections.DefaultClass] == "true" || o.Annotations[projections.DefaultClassBeta] == "true"
}

func storage(list corev1.ResourceList) string {
	if q, ok := list[corev1.ResourceStorage]; ok {
		return q.String()
	}
	return ""
}

func setOr(s *string) string {
	if s == nil {
		return unset
	}
	return *s
}

func volumeMode(m *corev1.PersistentVolumeMode) string {
	if m == nil {
		return unset
	}
	return string(*m)
}

// modes are kubectl's short words, in its order.
func modes(list []corev1.PersistentVolumeAccessMode) string {
	var out []string
	for _, m := range []struct {
		mode corev1.PersistentVolumeAccessMode
		word string
	}{{corev1.ReadWriteOnce, "RWO"}, {corev1.ReadOnlyMany, "ROX"}, {corev1.ReadWriteMany, "RWX"}, {corev1.ReadWriteOncePod, "RWOP"}} {
		for _, has := range list {
			if has == m.mode {
				out = append(out, m.word)
				break
			}
		}
	}
	return strings.Join(out, ",")
}

// stored tells of the kinds that storage is made of; false for any other.
func (p page) stored(s projections.State, o events.Object) bool {
	switch o := o.(type) {
	case *corev1.PersistentVolumeClaim:
		p.claim(s, o)
	case *corev1.PersistentVolume:
		p.volume(o)
	case *storagev1.StorageClass:
		p.storageClass(o)
	default:
		return false
	}
	return true
}

func (p page) claim(s projections.State, o *corev1.PersistentVolumeClaim) {
	class, _ := projections.ClaimClass(o)
	p.line(0, "Name:\t%s", o.Name)
	p.line(0, "Namespace:\t%s", o.Namespace)
	p.line(0, "StorageClass:\t%s", class)
	p.line(0, "Status:\t%s", claimStatus(o.DeletionTimestamp != nil, string(o.Status.Phase)))
	p.line(0, "Volume:\t%s", o.Spec.VolumeName)
	p.labels("Labels", o.Labels)
	p.labels("Annotations", o.Annotations)
	p.line(0, "Finalizers:\t%s", fmt.Sprint(o.Finalizers))
	capacity, access := "", ""
	if o.Spec.VolumeName != "" {
		capacity, access = storage(o.Status.Capacity), modes(o.Status.AccessModes)
	}
	p.line(0, "Capacity:\t%s", capacity)
	p.line(0, "Access Modes:\t%s", access)
	p.line(0, "VolumeMode:\t%s", volumeMode(o.Spec.VolumeMode))
	var users []string
	if row, ok := s.Get(events.Key{Resource: events.Claims, Namespace: o.Namespace, Name: o.Name}); ok {
		for pod := range s.List(events.Pods, o.Namespace) {
			if projections.UsesClaim(pod, row) {
				users = append(users, pod.Key.Name)
			}
		}
	}
	p.line(0, "Used By:\t%s", orNone(strings.Join(users, "\n\t")))
}

func claimStatus(going bool, phase string) string {
	if going {
		return "Terminating"
	}
	return phase
}

func (p page) volume(o *corev1.PersistentVolume) {
	p.line(0, "Name:\t%s", o.Name)
	p.labels("Labels", o.Labels)
	p.labels("Annotations", o.Annotations)
	p.line(0, "Finalizers:\t%s", fmt.Sprint(o.Finalizers))
	p.line(0, "StorageClass:\t%s", projections.VolumeClass(o))
	p.line(0, "Status:\t%s", claimStatus(o.DeletionTimestamp != nil, string(o.Status.Phase)))
	claim := ""
	if r := o.Spec.ClaimRef; r != nil {
		claim = r.Namespace + "/" + r.Name
	}
	p.line(0, "Claim:\t%s", claim)
	p.line(0, "Reclaim Policy:\t%s", o.Spec.PersistentVolumeReclaimPolicy)
	p.line(0, "Access Modes:\t%s", modes(o.Spec.AccessModes))
	p.line(0, "VolumeMode:\t%s", volumeMode(o.Spec.VolumeMode))
	p.line(0, "Capacity:\t%s", storage(o.Spec.Capacity))
	p.volumePlace(o)
	p.line(0, "Message:\t%s", o.Status.Message)
	p.line(0, "Source:")
	switch src := o.Spec.PersistentVolumeSource; {
	case src.HostPath != nil:
		p.hostPath(src.HostPath)
	case src.Local != nil:
		p.line(2, "Type:\tLocalVolume (a persistent volume backed by local storage on a node)")
		p.line(2, "Path:\t%s", src.Local.Path)
	default:
		p.line(2, "<unknown>")
	}
}

func (p page) volumePlace(o *corev1.PersistentVolume) {
	if o.Spec.NodeAffinity == nil || o.Spec.NodeAffinity.Required == nil {
		p.line(0, "Node Affinity:\t%s", none)
		return
	}
	p.line(0, "Node Affinity:")
	p.line(1, "Required Terms:")
	for i, t := range o.Spec.NodeAffinity.Required.NodeSelectorTerms {
		for j, r := range append(append([]corev1.NodeSelectorRequirement(nil), t.MatchExpressions...), t.MatchFields...) {
			title := ""
			if j == 0 {
				title = fmt.Sprintf("Term %d:", i)
			}
			text := fmt.Sprintf("%s %s", r.Key, strings.ToLower(string(r.Operator)))
			if len(r.Values) > 0 {
				text += " [" + strings.Join(r.Values, ", ") + "]"
			}
			p.line(2, "%s\t%s", title, text)
		}
	}
}

func (p page) storageClass(o *storagev1.StorageClass) {
	p.line(0, "Name:\t%s", o.Name)
	yes := "No"
	if isDefault(o) {
		yes = "Yes"
	}
	p.line(0, "IsDefaultClass:\t%s", yes)
	p.labels("Annotations", o.Annotations)
	p.line(0, "Provisioner:\t%s", o.Provisioner)
	var parameters []string
	for _, k := range sortedKeys(o.Parameters) {
		parameters = append(parameters, k+"="+o.Parameters[k])
	}
	p.line(0, "Parameters:\t%s", orNone(strings.Join(parameters, ",")))
	grows := unset
	if o.AllowVolumeExpansion != nil {
		grows = title(*o.AllowVolumeExpansion)
	}
	p.line(0, "AllowVolumeExpansion:\t%s", grows)
	p.line(0, "MountOptions:\t%s", orNone(strings.Join(o.MountOptions, "\n\t")))
	row := classRow(o, "", p.now)
	p.line(0, "ReclaimPolicy:\t%s", row[2])
	p.line(0, "VolumeBindingMode:\t%s", row[3])
	if len(o.AllowedTopologies) == 0 {
		return
	}
	p.line(0, "AllowedTopologies:")
	for i, t := range o.AllowedTopologies {
		for j, r := range t.MatchLabelExpressions {
			title := ""
			if j == 0 {
				title = fmt.Sprintf("Term %d:", i)
			}
			p.line(1, "%s\t%s in [%s]", title, r.Key, strings.Join(r.Values, ", "))
		}
	}
}
