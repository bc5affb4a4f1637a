package manifest

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/stave-run/stave/events"
)

// plainFinalizers are those that need no domain.
var plainFinalizers = []string{string(corev1.FinalizerKubernetes), metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents}

// bare tells whether a finalizer names no domain, and is none of Kubernetes' own.
func bare(finalizer string) bool {
	return !strings.Contains(finalizer, "/") && !slices.Contains(plainFinalizers, finalizer)
}

// namesDomains tells whether Kubernetes wants the finalizers of an object's kind to name a domain. Of those that its API server
// has by itself it does not, so what was dumped there can be applied here; nor of a few others.
func namesDomains(o events.Object) bool {
	switch o.(type) {
	case *unstructured.Unstructured, *apiextensionsv1.CustomResourceDefinition, *apiregistrationv1.APIService, *policyv1.PodDisruptionBudget, *nodev1.RuntimeClass,
		*admissionv1.MutatingWebhookConfiguration, *admissionv1.ValidatingWebhookConfiguration, *admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding,
		*admissionv1.MutatingAdmissionPolicy, *admissionv1.MutatingAdmissionPolicyBinding:
		return false
	}
	return true
}

// domainsOf holds finalizers of Stave's kinds to Kubernetes' rule that they name a domain; in objects of definitions it is a wish.
func domainsOf(finalizers []string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, f := range finalizers {
		if bare(f) {
			errs = append(errs, field.Invalid(at.Index(i), f, "name is neither a standard finalizer name nor is it fully qualified"))
		}
	}
	return errs
}

// Warnings is what Kubernetes warns of in an object that breaks no rule; old is nil for one that is made.
func Warnings(old, next events.Object) []string {
	switch next := next.(type) {
	case *networkingv1.NetworkPolicy:
		return networkPolicyWarnings(next)
	case *unstructured.Unstructured:
		return wishDomains(old, next.GetFinalizers())
	}
	return nil
}

// wishDomains warns of new finalizers of an object of a definition that others may take for theirs.
func wishDomains(old events.Object, finalizers []string) []string {
	var out []string
	for _, f := range finalizers {
		if !bare(f) || old != nil && slices.Contains(old.GetFinalizers(), f) {
			continue
		}
		path := ""
		if strings.Contains(f, ".") {
			path = " including a path (/)"
		}
		out = append(out, fmt.Sprintf("metadata.finalizers: %q: prefer a domain-qualified finalizer name%s to avoid accidental conflicts with other finalizer writers", f, path))
	}
	return out
}

func validateFinalizers(finalizers []string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, f := range finalizers {
		errs = invalid(errs, at, f, validation.IsQualifiedName(f))
	}
	if slices.Contains(finalizers, metav1.FinalizerOrphanDependents) && slices.Contains(finalizers, metav1.FinalizerDeleteDependents) {
		errs = append(errs, field.Invalid(at, finalizers, fmt.Sprintf("finalizer %s and %s cannot be both set",
			metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents)))
	}
	return errs
}

// updateFinalizers lets nobody hold up a deletion that is under way.
func updateFinalizers(old, next events.Object) field.ErrorList {
	if old.GetDeletionTimestamp() == nil {
		return nil
	}
	extra := slices.Sorted(slices.Values(next.GetFinalizers()))
	extra = slices.DeleteFunc(extra, func(f string) bool { return slices.Contains(old.GetFinalizers(), f) })
	if len(extra) == 0 {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("metadata", "finalizers"),
		fmt.Sprintf("no new finalizers can be added if the object is being deleted, found new finalizers %#v", slices.Compact(extra)))}
}
