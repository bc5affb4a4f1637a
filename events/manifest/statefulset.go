package manifest

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func defaultStatefulSet(s *appsv1.StatefulSet) {
	setTo(&s.Spec.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
	u := &s.Spec.UpdateStrategy
	if u.Type == "" {
		u.Type = appsv1.RollingUpdateStatefulSetStrategyType
		pointTo(&u.RollingUpdate, appsv1.RollingUpdateStatefulSetStrategy{})
	}
	if u.Type == appsv1.RollingUpdateStatefulSetStrategyType && u.RollingUpdate != nil {
		pointTo(&u.RollingUpdate.Partition, 0)
		pointTo(&u.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
	}
	pointTo(&s.Spec.PersistentVolumeClaimRetentionPolicy, appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{})
	setTo(&s.Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	setTo(&s.Spec.PersistentVolumeClaimRetentionPolicy.WhenScaled, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	pointTo(&s.Spec.Replicas, 1)
	pointTo(&s.Spec.RevisionHistoryLimit, 10)
	for i := range s.Spec.VolumeClaimTemplates {
		defaultClaim(&s.Spec.VolumeClaimTemplates[i].Spec)
	}
	defaultPod(&s.Spec.Template.Spec)
}

// claimTemplates are honoured as claims are: of what else may stand there nothing is read.
func claimTemplates() verdict {
	v := object(map[string]verdict{"spec": claimSpec()})
	v.fields["metadata"].fields["ownerReferences"] = verdict{warn: "who owns a claim follows from the retention policy"}
	v.fields["metadata"].fields["namespace"] = verdict{warn: "claims are in the set's namespace"}
	return v
}

// maxStatefulSetName leaves room for a revision's hash: the name of the revision is a
// label of the pods.
const maxStatefulSetName = validation.LabelValueMaxLength - 11

// statefulSetName holds the name to what its pods' names and labels can be. Kubernetes
// takes longer ones, and then makes no pod.
func statefulSetName(name string) []string {
	errs := validation.IsDNS1123Label(name)
	if len(errs) == 0 && len(name) > maxStatefulSetName {
		errs = append(errs, fmt.Sprintf("must be no more than %d characters, or its pods have no room for the label %s", maxStatefulSetName, appsv1.StatefulSetRevisionLabel))
	}
	return errs
}

func validateStatefulSet(s *appsv1.StatefulSetSpec, at *field.Path) field.ErrorList {
	errs := validateTemplate("StatefulSet", statefulTemplate(s), s.Selector, at)
	errs = oneOf(errs, at.Child("podManagementPolicy"), s.PodManagementPolicy, appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement)
	errs = append(errs, validateStatefulUpdate(&s.UpdateStrategy, at.Child("updateStrategy"))...)
	for i := range s.VolumeClaimTemplates {
		errs = append(errs, validateClaimSpec(&s.VolumeClaimTemplates[i].Spec, at.Child("volumeClaimTemplates").Index(i).Child("spec"))...)
	}
	if p := s.PersistentVolumeClaimRetentionPolicy; p != nil {
		here := at.Child("persistentVolumeClaimRetentionPolicy")
		keep, drop := appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType
		errs = oneOf(errs, here.Child("whenDeleted"), p.WhenDeleted, keep, drop)
		errs = oneOf(errs, here.Child("whenScaled"), p.WhenScaled, keep, drop)
	}
	errs = optionalCount(errs, at.Child("replicas"), s.Replicas)
	errs = optionalCount(errs, at.Child("revisionHistoryLimit"), s.RevisionHistoryLimit)
	errs = notNegative(errs, at.Child("minReadySeconds"), int64(s.MinReadySeconds))
	if s.Ordinals != nil {
		errs = notNegative(errs, at.Child("ordinals", "start"), int64(s.Ordinals.Start))
	}
	if s.ServiceName != "" {
		errs = invalid(errs, at.Child("serviceName"), s.ServiceName, validation.IsDNS1123Label(s.ServiceName))
	}
	return errs
}

// validateStatefulUpdate checks how pods come to another template. Recreate is behind
// a gate in Kubernetes, which is closed.
func validateStatefulUpdate(u *appsv1.StatefulSetUpdateStrategy, at *field.Path) field.ErrorList {
	r := u.RollingUpdate
	switch u.Type {
	case "":
		return field.ErrorList{field.Required(at, "")}
	case appsv1.OnDeleteStatefulSetStrategyType:
		if r != nil {
			return field.ErrorList{field.Invalid(at.Child("rollingUpdate"), r, "only allowed for updateStrategy 'RollingUpdate'")}
		}
		return nil
	case appsv1.RollingUpdateStatefulSetStrategyType:
	default:
		return field.ErrorList{field.Invalid(at, u, "must be 'RollingUpdate' or 'OnDelete'")}
	}
	if r == nil {
		return nil
	}
	at = at.Child("rollingUpdate")
	errs := optionalCount(nil, at.Child("partition"), r.Partition)
	if r.MaxUnavailable == nil {
		return errs
	}
	n, bad := countOrPercent(*r.MaxUnavailable, at.Child("maxUnavailable"))
	errs = append(errs, bad...)
	const all = 100
	switch {
	case len(bad) > 0:
	case n == 0:
		errs = append(errs, field.Invalid(at.Child("maxUnavailable"), r.MaxUnavailable, "cannot be 0"))
	case r.MaxUnavailable.Type == intstr.String && n > all:
		errs = append(errs, field.Invalid(at.Child("maxUnavailable"), r.MaxUnavailable, "must not be greater than 100%"))
	}
	return errs
}

// updateStatefulSet keeps what the identities of its pods hang on.
func updateStatefulSet(old, next *appsv1.StatefulSetSpec, at *field.Path) field.ErrorList {
	errs := unchanged(nil, at.Child("selector"), old.Selector, next.Selector)
	errs = unchanged(errs, at.Child("volumeClaimTemplates"), old.VolumeClaimTemplates, next.VolumeClaimTemplates)
	errs = unchanged(errs, at.Child("serviceName"), old.ServiceName, next.ServiceName)
	return unchanged(errs, at.Child("podManagementPolicy"), old.PodManagementPolicy, next.PodManagementPolicy)
}

// statefulTemplate is the template as its pods will be: their host names and their
// subdomain are the set's business, whatever stands there.
func statefulTemplate(s *appsv1.StatefulSetSpec) *corev1.PodTemplateSpec {
	t := s.Template
	t.Spec.Hostname, t.Spec.Subdomain = "", ""
	if len(s.VolumeClaimTemplates) == 0 {
		return &t
	}
	claimed := map[string]bool{}
	var volumes []corev1.Volume
	for i := range s.VolumeClaimTemplates {
		name := s.VolumeClaimTemplates[i].Name
		claimed[name] = true
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}})
	}
	for _, v := range t.Spec.Volumes {
		if !claimed[v.Name] { // one of a claim's name is replaced by it
			volumes = append(volumes, v)
		}
	}
	t.Spec.Volumes = volumes
	return &t
}
