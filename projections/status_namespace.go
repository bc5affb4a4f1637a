package projections

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// namespaceStatus says whether a namespace stays, and what holds up the end of
// one that does not, in Kubernetes' words.
func (s State) namespaceStatus(o *Object) corev1.NamespaceStatus {
	if o.Deletion == nil {
		return corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
	}
	left, finalizers := s.contents(o.Key.Name)
	condition := func(t corev1.NamespaceConditionType, yes bool, reason, message string) corev1.NamespaceCondition {
		c := corev1.NamespaceCondition{Type: t, Status: corev1.ConditionFalse, Reason: reason, Message: message, LastTransitionTime: stamp(o.Deletion.Time)}
		if yes {
			c.Status = corev1.ConditionTrue
		}
		return c
	}
	st := corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating, Conditions: []corev1.NamespaceCondition{
		condition(corev1.NamespaceDeletionDiscoveryFailure, false, "ResourcesDiscovered", "All resources successfully discovered"),
		condition(corev1.NamespaceDeletionGVParsingFailure, false, "ParsedGroupVersions", "All legacy kube types successfully parsed"),
		condition(corev1.NamespaceDeletionContentFailure, false, "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
	}}
	content := condition(corev1.NamespaceContentRemaining, false, "ContentRemoved", "All content successfully removed")
	if len(left) > 0 {
		content = condition(corev1.NamespaceContentRemaining, true, "SomeResourcesRemain", "Some resources are remaining: "+counts(left, "%s has %d resource instances"))
	}
	kept := condition(corev1.NamespaceFinalizersRemaining, false, "ContentHasNoFinalizers", "All content-preserving finalizers finished")
	if len(finalizers) > 0 {
		kept = condition(corev1.NamespaceFinalizersRemaining, true, "SomeFinalizersRemain",
			"Some content in the namespace has finalizers remaining: "+counts(finalizers, "%s in %d resource instances"))
	}
	st.Conditions = append(st.Conditions, content, kept)
	return st
}

// contents counts what is in a namespace, by resource and by finalizer.
func (s State) contents(namespace string) (left, finalizers map[string]int) {
	left, finalizers = map[string]int{}, map[string]int{}
	for _, kind := range s.Kinds().All() {
		if !kind.Namespaced || kind.Derived {
			continue
		}
		for x := range s.List(kind.Resource, namespace) {
			left[kind.Plural()+"."+kind.Group]++
			for _, f := range x.Keepers() {
				finalizers[f]++
			}
		}
	}
	return left, finalizers
}

func counts(of map[string]int, form string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		out = append(out, fmt.Sprintf(form, name, of[name]))
	}
	return strings.Join(out, ", ")
}
