package admit

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/gateway/wire"
)

// A namespace's labels say what its pods may get at: as in Kubernetes, pods are refused, what makes pods is warned of, and labels
// that nobody can read are none.
func TestPodSecurity(t *testing.T) {
	w := newTown(t)
	namespace := func(labels string) string {
		return "apiVersion: v1\nkind: Namespace\nmetadata: {name: strict, labels: {" + labels + "}}\n"
	}
	const enforce = "pod-security.kubernetes.io/enforce: "
	w.refused(w.do(wire.Create, namespace(enforce+"tight")), metav1.StatusReasonInvalid,
		`Namespace "strict" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "tight": must be one of privileged, baseline, restricted`)
	w.must(wire.Create, namespace("a: b"), Created)
	in := func(src string) string {
		return strings.Replace(src, "metadata: {", "metadata: {namespace: strict, ", 1)
	}
	old := strings.Replace(pod, "name: p}", "name: old}", 1)
	w.must(wire.Create, in(strings.Replace(old, "image: nginx", "image: nginx, securityContext: {privileged: true}", 1)), Created)

	w.must(wire.Apply, namespace(enforce+"baseline"), Configured)
	w.must(wire.Create, in(pod), Created)
	loud := strings.Replace(strings.Replace(pod, "name: p}", "name: q}", 1), "image: nginx", "image: nginx, securityContext: {privileged: true}", 1)
	w.refused(w.do(wire.Create, in(loud)), metav1.StatusReasonForbidden,
		`pods "q" is forbidden: violates PodSecurity "baseline:latest": privileged (container "a" must not set securityContext.privileged=true)`)
	// What is there already goes on, until something else is to run in it.
	running := in(strings.Replace(old, "image: nginx", "image: nginx, securityContext: {privileged: true}", 1))
	w.must(wire.Apply, strings.Replace(running, "name: old", "name: old, labels: {x: y}", 1), Configured)
	w.refused(w.do(wire.Apply, strings.Replace(running, "image: nginx", "image: other", 1)), metav1.StatusReasonForbidden,
		`pods "old" is forbidden: violates PodSecurity "baseline:latest": privileged (container "a" must not set securityContext.privileged=true)`)
	// What makes pods is let in, with a warning.
	r := w.must(wire.Create, in(strings.Replace(deploy, `image: "nginx:1"`, `image: "nginx:1", securityContext: {privileged: true}`, 1)), Created)
	if !slices.ContainsFunc(r.Warnings, func(s string) bool {
		return strings.HasPrefix(s, `would violate PodSecurity "baseline:latest": privileged (`)
	}) {
		t.Errorf("warnings: %q", r.Warnings)
	}
}
