package admit

import (
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
