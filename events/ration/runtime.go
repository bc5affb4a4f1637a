package ration

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Suit gives a pod what its runtime class wants: the overhead, and where its nodes are.
// class finds a class by its name, nil when there is none. It changes the spec in place,
// and says why such a pod must not be, "" when it may.
func Suit(spec *corev1.PodSpec, class func(name string) *nodev1.RuntimeClass) string {
	var c *nodev1.RuntimeClass
	if name := spec.RuntimeClassName; name != nil {
		if c = class(*name); c == nil {
			return fmt.Sprintf("pod rejected: RuntimeClass %q not found", *name)
		}
	}
	switch {
	case (c == nil || c.Overhead == nil) && spec.Overhead != nil:
		return "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
	case c == nil:
		return ""
	case c.Overhead != nil && spec.Overhead != nil && !maps.EqualFunc(c.Overhead.PodFixed, spec.Overhead, resource.Quantity.Equal):
		return "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
	case c.Overhead != nil:
		spec.Overhead = c.Overhead.PodFixed.DeepCopy()
	}
	if c.Scheduling == nil {
		return ""
	}
	spec.Tolerations = merged(spec.Tolerations, c.Scheduling.Tolerations)
	return selecting(spec, c.Scheduling.NodeSelector)
}

// selecting adds the labels that nodes of a class have to what a pod selects by.
func selecting(spec *corev1.PodSpec, labels map[string]string) string {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if is, ok := spec.NodeSelector[k]; ok && is != labels[k] {
			return fmt.Sprintf("conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; pod.spec.nodeSelector[%s] = %s", k, labels[k], k, is)
		}
		if spec.NodeSelector == nil {
			spec.NodeSelector = map[string]string{}
		}
		spec.NodeSelector[k] = labels[k]
	}
	return ""
}

// merged are the tolerations of both, without those that another one covers.
func merged(first, second []corev1.Toleration) []corev1.Toleration {
	all := slices.Concat(first, second)
	var out []corev1.Toleration
	for i, t := range all {
		covers := func(by corev1.Toleration) bool { return covered(t, by) }
		later := func(by corev1.Toleration) bool { return !equal(t, by) && covered(t, by) } // of equals the first stays
		if !slices.ContainsFunc(out, covers) && !slices.ContainsFunc(all[i+1:], later) {
			out = append(out, t)
		}
	}
	return out
}

// covered tells whether all that one toleration bears another one does.
func covered(t, by corev1.Toleration) bool {
	switch {
	case equal(t, by):
		return true
	case t.Key != by.Key && (by.Key != "" || by.Operator != corev1.TolerationOpExists), t.Effect != by.Effect && by.Effect != "":
		return false
	case t.Effect == corev1.TaintEffectNoExecute && by.TolerationSeconds != nil && (t.TolerationSeconds == nil || *t.TolerationSeconds > *by.TolerationSeconds):
		return false
	case by.Operator == corev1.TolerationOpExists:
		return true
	}
	return (by.Operator == corev1.TolerationOpEqual || by.Operator == "") && (t.Operator == corev1.TolerationOpEqual || t.Operator == "") && t.Value == by.Value
}

func equal(a, b corev1.Toleration) bool {
	same := (a.TolerationSeconds == nil) == (b.TolerationSeconds == nil) && (a.TolerationSeconds == nil || *a.TolerationSeconds == *b.TolerationSeconds)
	a.TolerationSeconds, b.TolerationSeconds = nil, nil
	return same && a == b
}
