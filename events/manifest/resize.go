package manifest

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateResize says which changes of what a pod's containers may use Kubernetes does not allow. Nothing else of the pod may
// change with them.
func ValidateResize(old, next *corev1.Pod) field.ErrorList {
	at := field.NewPath("spec")
	errs := updateFinalizers(old, next)
	if bad := sameContainers(&old.Spec, &next.Spec, at); len(bad) > 0 {
		return append(errs, bad...)
	}
	rest := next.Spec.DeepCopy()
	for _, list := range []struct {
		name           string
		old, next, has []corev1.Container
	}{
		{"initContainers", old.Spec.InitContainers, next.Spec.InitContainers, rest.InitContainers},
		{"containers", old.Spec.Containers, next.Spec.Containers, rest.Containers},
	} {
		for i := range list.old {
			here := at.Child(list.name).Index(i)
			was, is := &list.old[i], &list.next[i]
			if list.name == "initContainers" && !sidecar(was) {
				if !same(was, is) {
					errs = append(errs, field.Forbidden(at, "resources for non-sidecar init containers are immutable"))
				}
				list.has[i] = *was
				continue
			}
			errs = append(errs, kept(&was.Resources, &is.Resources, here.Child("resources"))...)
			errs = append(errs, unchanged(nil, here.Child("resizePolicy"), was.ResizePolicy, is.ResizePolicy)...)
			list.has[i].ResizePolicy, list.has[i].Resources = was.ResizePolicy, onlyCPUAndMemory(&was.Resources, &is.Resources)
		}
	}
	if len(errs) > 0 {
		return errs
	}
	if len(changedPaths(&old.Spec, rest, "spec")) > 0 {
		errs = append(errs, field.Forbidden(at, "only cpu and memory resources are mutable"))
	}
	return errs
}

// sidecar tells whether an init container goes on beside those that the pod is there for.
func sidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func sameContainers(old, next *corev1.PodSpec, at *field.Path) (errs field.ErrorList) {
	for _, list := range []struct {
		name      string
		old, next []corev1.Container
	}{{"containers", old.Containers, next.Containers}, {"initContainers", old.InitContainers, next.InitContainers}} {
		if len(list.old) != len(list.next) {
			errs = append(errs, field.Forbidden(at.Child(list.name), list.name+" may not be added or removed on resize"))
			continue
		}
		for i := range list.old {
			if list.old[i].Name != list.next[i].Name {
				errs = append(errs, field.Forbidden(at.Child(list.name).Index(i).Child("name"), list.name+" may not be renamed or reordered on resize"))
			}
		}
	}
	return errs
}

// kept wants that whatever a container asked for or was bound by still stands, with any value.
func kept(old, next *corev1.ResourceRequirements, at *field.Path) (errs field.ErrorList) {
	for _, list := range []struct {
		name      string
		old, next corev1.ResourceList
	}{{"requests", old.Requests, next.Requests}, {"limits", old.Limits, next.Limits}} {
		lost := false
		for name := range list.old { //stave:sorted one answer for all
			_, there := list.next[name]
			lost = lost || !there
		}
		if lost {
			errs = append(errs, field.Forbidden(at.Child(list.name), fmt.Sprintf("resource %s cannot be removed", list.name)))
		}
	}
	return errs
}

// onlyCPUAndMemory are the new resources with what may change as it was.
func onlyCPUAndMemory(old, next *corev1.ResourceRequirements) corev1.ResourceRequirements {
	out := *next.DeepCopy()
	for _, list := range []struct {
		old  corev1.ResourceList
		into *corev1.ResourceList
	}{{old.Requests, &out.Requests}, {old.Limits, &out.Limits}} {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			delete(*list.into, name)
			if q, ok := list.old[name]; ok {
				if *list.into == nil {
					*list.into = corev1.ResourceList{}
				}
				(*list.into)[name] = q
			}
		}
		if len(*list.into) == 0 {
			*list.into = list.old
		}
	}
	return out
}

// validateResizePolicies checks what containers want to happen when their resources change.
func validateResizePolicies(s *corev1.PodSpec, at *field.Path) (errs field.ErrorList) {
	for i := range s.InitContainers {
		c, here := &s.InitContainers[i], at.Child("initContainers").Index(i).Child("resizePolicy")
		errs = append(errs, validateResizePolicy(c.ResizePolicy, s.RestartPolicy, here)...)
		for j, p := range c.ResizePolicy {
			if p.RestartPolicy == corev1.RestartContainer && !sidecar(c) {
				errs = append(errs, field.Invalid(here.Index(j).Child("restartPolicy"), p.RestartPolicy, "must not be set to 'RestartContainer' for non-sidecar initContainers"))
			}
		}
	}
	for i := range s.Containers {
		errs = append(errs, validateResizePolicy(s.Containers[i].ResizePolicy, s.RestartPolicy, at.Child("containers").Index(i).Child("resizePolicy"))...)
	}
	return errs
}

func validateResizePolicy(policies []corev1.ContainerResizePolicy, restart corev1.RestartPolicy, at *field.Path) (errs field.ErrorList) {
	seen := map[corev1.ResourceName]bool{}
	for i, p := range policies {
		if seen[p.ResourceName] {
			errs = append(errs, field.Duplicate(at.Index(i), p.ResourceName))
		}
		seen[p.ResourceName] = true
		if p.ResourceName == "" || p.RestartPolicy == "" {
			errs = append(errs, field.Required(at, ""))
		}
		errs = oneOf(errs, at, p.ResourceName, corev1.ResourceCPU, corev1.ResourceMemory)
		errs = oneOf(errs, at, p.RestartPolicy, corev1.NotRequired, corev1.RestartContainer)
		if restart == corev1.RestartPolicyNever && p.RestartPolicy != corev1.NotRequired {
			errs = append(errs, field.Invalid(at, p.RestartPolicy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'"))
		}
	}
	return errs
}
