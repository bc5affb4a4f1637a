package admit

import (
	"bytes"
	"maps"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// forgetGiven takes out of a pod which was read, edited and sent back what it was
// given meanwhile, as the spec may not change: the volume with its token, and the
// node, which stands in log.assign; and out of a Job the selector that is made of its uid.
func (w *writing) forgetGiven(old *projections.Object) {
	if job, ok := w.next.(*batchv1.Job); ok {
		projections.ForgetJob(job, old.UID)
	}
	pod, ok := w.next.(*corev1.Pod)
	if !ok {
		return
	}
	projections.ForgetAccess(pod, projections.As[*corev1.Pod](old), old.UID)
	if projections.As[*corev1.Pod](old).Spec.NodeName != "" {
		return
	}
	if p, ok := w.v.PodOf(old.Key); ok && p.Node == pod.Spec.NodeName {
		pod.Spec.NodeName = ""
	}
}

// whole is the object that is checked. A pod has the volume with its token in it, which the log does without, where ephemeral
// containers may mount it as they see the others do.
func (w *writing) whole() events.Object {
	pod, ok := w.next.(*corev1.Pod)
	if !ok || len(pod.Spec.EphemeralContainers) == 0 {
		return w.next
	}
	old, ok := w.v.Get(w.key)
	if !ok {
		return w.next
	}
	pod = pod.DeepCopy()
	projections.FillAccess(pod, old.UID, w.v.MountsAccess(old))
	return pod
}

// forgetDefault takes the one default out of a pod that its template has not: the
// spec of a pod that a controller made is as it was.
func forgetDefault(before, next events.Object) {
	was, ok := before.(*corev1.Pod)
	pod, is := next.(*corev1.Pod)
	if links := corev1.DefaultEnableServiceLinks; ok && is && was.Spec.EnableServiceLinks == nil &&
		pod.Spec.EnableServiceLinks != nil && *pod.Spec.EnableServiceLinks == links {
		pod.Spec.EnableServiceLinks = nil
	}
}

// countTemplate writes how many templates a DaemonSet has had, as Kubernetes does: the
// pods of each have that number as a label. Nobody else may write it.
func countTemplate(before, next events.Object) {
	ds, ok := next.(*appsv1.DaemonSet)
	if !ok {
		return
	}
	n, err := strconv.ParseInt(ds.Annotations[projections.TemplateGeneration], 10, 64)
	if was, has := before.(*appsv1.DaemonSet); has {
		n, err = strconv.ParseInt(was.Annotations[projections.TemplateGeneration], 10, 64)
		if err == nil && !bytes.Equal(events.MustBody(was.Spec.Template), events.MustBody(ds.Spec.Template)) {
			n++
		}
	}
	if err != nil || n < 1 {
		n = 1
	}
	a := maps.Clone(ds.Annotations)
	if a == nil {
		a = map[string]string{}
	}
	a[projections.TemplateGeneration] = strconv.FormatInt(n, 10)
	ds.Annotations = a
}
