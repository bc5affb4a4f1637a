package manifest

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	migrationv1 "k8s.io/api/storagemigration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
)

// immutable is what Kubernetes says of a field that may not change.
const immutable = "field is immutable"

// ValidateUpdate says which changes between two defaulted versions of an object
// Kubernetes does not allow. Validate is asked beside it.
func ValidateUpdate(old, next events.Object) field.ErrorList {
	return slices.Concat(updateFinalizers(old, next), updateSpec(old, next), updateClass(old, next), updateNetwork(old, next), updateTrustBundle(old, next), updateDevices(old, next), updateAsked(old, next))
}

// updateAsked keeps what a request asks for: all of its spec.
func updateAsked(old, next events.Object) field.ErrorList {
	at := field.NewPath("spec")
	switch old := old.(type) {
	case *certificatesv1.CertificateSigningRequest:
		if n, ok := next.(*certificatesv1.CertificateSigningRequest); ok {
			return unchanged(nil, at, old.Spec, n.Spec)
		}
	case *certificatesv1.PodCertificateRequest:
		if n, ok := next.(*certificatesv1.PodCertificateRequest); ok {
			return unchanged(nil, at, old.Spec, n.Spec)
		}
	case *migrationv1.StorageVersionMigration:
		if n, ok := next.(*migrationv1.StorageVersionMigration); ok {
			return unchanged(nil, at, old.Spec, n.Spec)
		}
	}
	return nil
}

// updateNetwork keeps whom an address belongs to, what a range is and who serves a class.
func updateNetwork(old, next events.Object) field.ErrorList {
	at := field.NewPath("spec")
	switch old := old.(type) {
	case *networkingv1.IngressClass:
		if n, ok := next.(*networkingv1.IngressClass); ok {
			return unchanged(nil, at.Child("controller"), old.Spec.Controller, n.Spec.Controller)
		}
	case *networkingv1.IPAddress:
		if n, ok := next.(*networkingv1.IPAddress); ok {
			return unchanged(nil, at.Child("parentRef"), old.Spec.ParentRef, n.Spec.ParentRef)
		}
	case *networkingv1.ServiceCIDR:
		n, ok := next.(*networkingv1.ServiceCIDR)
		if ok && len(old.Spec.CIDRs) == 1 && len(n.Spec.CIDRs) == 2 { // the other family may come
			return unchanged(nil, at.Child("cidrs").Index(0), old.Spec.CIDRs[0], n.Spec.CIDRs[0])
		}
		if ok {
			return unchanged(nil, at.Child("cidrs"), old.Spec.CIDRs, n.Spec.CIDRs)
		}
	}
	return nil
}

// updateClass keeps what pods were given by their class already.
func updateClass(old, next events.Object) field.ErrorList {
	switch old := old.(type) {
	case *nodev1.RuntimeClass:
		if n, ok := next.(*nodev1.RuntimeClass); ok {
			return updateRuntimeClass(old, n)
		}
	case *schedulingv1.PriorityClass:
		if n, ok := next.(*schedulingv1.PriorityClass); ok {
			return updatePriorityClass(old, n)
		}
	}
	return nil
}

func updateSpec(old, next events.Object) field.ErrorList {
	at := field.NewPath("spec")
	switch old := old.(type) {
	case *appsv1.Deployment, *appsv1.ReplicaSet, *appsv1.StatefulSet, *appsv1.DaemonSet, *appsv1.ControllerRevision:
		return updateWorkload(old, next)
	case *batchv1.Job:
		if n, ok := next.(*batchv1.Job); ok {
			return updateJob(old, n)
		}
	case *corev1.ConfigMap:
		if n, ok := next.(*corev1.ConfigMap); ok {
			return updateConfigMap(old, n)
		}
	case *corev1.Secret:
		if n, ok := next.(*corev1.Secret); ok {
			return updateSecret(old, n)
		}
	case *corev1.Service:
		if n, ok := next.(*corev1.Service); ok {
			return updateService(&old.Spec, &n.Spec, at)
		}
	case *corev1.ResourceQuota:
		if n, ok := next.(*corev1.ResourceQuota); ok {
			return updateQuota(&old.Spec, &n.Spec)
		}
	case *discoveryv1.EndpointSlice:
		if n, ok := next.(*discoveryv1.EndpointSlice); ok {
			return unchanged(nil, field.NewPath("addressType"), old.AddressType, n.AddressType)
		}
	case *corev1.Pod:
		if n, ok := next.(*corev1.Pod); ok {
			return updatePod(&old.Spec, &n.Spec, at)
		}
	case *rbacv1.RoleBinding:
		if n, ok := next.(*rbacv1.RoleBinding); ok {
			return updateBinding(old.RoleRef, n.RoleRef)
		}
	case *rbacv1.ClusterRoleBinding:
		if n, ok := next.(*rbacv1.ClusterRoleBinding); ok {
			return updateBinding(old.RoleRef, n.RoleRef)
		}
	case *corev1.Node:
		if n, ok := next.(*corev1.Node); ok && old.Spec.PodCIDR != "" && n.Spec.PodCIDR != old.Spec.PodCIDR {
			return field.ErrorList{field.Forbidden(at.Child("podCIDR"), "node updates may not change podCIDR")}
		}
	default:
		return updateStorage(old, next)
	}
	return nil
}

// updateWorkload is updateSpec of the kinds of apps/v1.
func updateWorkload(old, next events.Object) field.ErrorList {
	at := field.NewPath("spec")
	switch old := old.(type) {
	case *appsv1.Deployment:
		if n, ok := next.(*appsv1.Deployment); ok {
			return unchanged(nil, at.Child("selector"), old.Spec.Selector, n.Spec.Selector)
		}
	case *appsv1.ReplicaSet:
		if n, ok := next.(*appsv1.ReplicaSet); ok {
			return unchanged(nil, at.Child("selector"), old.Spec.Selector, n.Spec.Selector)
		}
	case *appsv1.StatefulSet:
		if n, ok := next.(*appsv1.StatefulSet); ok {
			return updateStatefulSet(&old.Spec, &n.Spec, at)
		}
	case *appsv1.DaemonSet:
		if n, ok := next.(*appsv1.DaemonSet); ok {
			return unchanged(nil, at.Child("selector"), old.Spec.Selector, n.Spec.Selector)
		}
	case *appsv1.ControllerRevision:
		if n, ok := next.(*appsv1.ControllerRevision); ok {
			return updateRevision(old, n)
		}
	}
	return nil
}

func unchanged(errs field.ErrorList, at *field.Path, old, next any) field.ErrorList {
	if same(old, next) {
		return errs
	}
	return append(errs, field.Invalid(at, next, immutable))
}

// same compares by meaning: quantities by value, nil and empty alike. What two
// values print as JSON is what they mean to everybody else.
func same(a, b any) bool {
	return string(events.MustBody(a)) == string(events.MustBody(b))
}

func updateConfigMap(old, next *corev1.ConfigMap) field.ErrorList {
	if old.Immutable == nil || !*old.Immutable {
		return nil
	}
	var errs field.ErrorList
	for _, f := range []struct {
		name      string
		old, next any
	}{{"immutable", old.Immutable, next.Immutable}, {"data", old.Data, next.Data}, {"binaryData", old.BinaryData, next.BinaryData}} {
		if !same(f.old, f.next) {
			errs = append(errs, field.Forbidden(field.NewPath(f.name), "field is immutable when `immutable` is set"))
		}
	}
	return errs
}

func updateService(old, next *corev1.ServiceSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	external := corev1.ServiceTypeExternalName
	if old.Type != external && next.Type != external && old.ClusterIP != "" && old.ClusterIP != next.ClusterIP {
		errs = append(errs, field.Invalid(at.Child("clusterIPs").Index(0), next.ClusterIP, "may not change once set"))
	}
	balancer := corev1.ServiceTypeLoadBalancer
	if old.Type == balancer && next.Type == balancer && !same(old.LoadBalancerClass, next.LoadBalancerClass) {
		errs = append(errs, field.Invalid(at.Child("loadBalancerClass"), next.LoadBalancerClass, "may not change once set"))
	}
	if NeedsHealthPort(old) && NeedsHealthPort(next) && old.HealthCheckNodePort != next.HealthCheckNodePort {
		errs = append(errs, field.Forbidden(at.Child("healthCheckNodePort"), "field is immutable"))
	}
	return errs
}

// updatePod allows what Kubernetes allows of a living pod: other images, a
// shorter deadline, more tolerations, and a node when it has none.
func updatePod(old, next *corev1.PodSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(old.Containers) != len(next.Containers) {
		return append(errs, field.Forbidden(at.Child("containers"), "pod updates may not add or remove containers"))
	}
	if len(old.InitContainers) != len(next.InitContainers) {
		return append(errs, field.Forbidden(at.Child("initContainers"), "pod updates may not add or remove containers"))
	}
	if o, n := old.ActiveDeadlineSeconds, next.ActiveDeadlineSeconds; o != nil && (n == nil || *n > *o) {
		errs = append(errs, field.Invalid(at.Child("activeDeadlineSeconds"), n, "must be less than or equal to previous value"))
	}
	for i, t := range old.Tolerations {
		if !slices.ContainsFunc(next.Tolerations, func(x corev1.Toleration) bool { return sameToleration(t, x) }) {
			errs = append(errs, field.Forbidden(at.Child("tolerations").Index(i), "existing toleration can not be modified except its tolerationSeconds"))
		}
	}
	rest := next.DeepCopy()
	rest.ActiveDeadlineSeconds, rest.Tolerations = old.ActiveDeadlineSeconds, old.Tolerations
	errs = append(errs, updateGated(old, rest, at)...)
	for i := range rest.Containers {
		rest.Containers[i].Image = old.Containers[i].Image
	}
	for i := range rest.InitContainers {
		rest.InitContainers[i].Image = old.InitContainers[i].Image
	}
	for _, path := range changedPaths(old, rest, at.String()) {
		errs = append(errs, field.Forbidden(field.NewPath(path), onlyInPods))
	}
	return errs
}

// onlyInPods is what Kubernetes says of a change to a pod that is there.
const onlyInPods = "pod updates may not change fields other than `spec.containers[*].image`," +
	"`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)," +
	"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

func sameToleration(a, b corev1.Toleration) bool {
	a.TolerationSeconds, b.TolerationSeconds = nil, nil
	return a == b
}
