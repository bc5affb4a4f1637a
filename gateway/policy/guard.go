package policy

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// controllers is in whose name policies are asked about the pods of a kind's objects, as
// in Kubernetes.
var controllers = map[events.Resource]string{
	events.ReplicaSets:  "replicaset-controller",
	events.Controllers:  "replication-controller",
	events.StatefulSets: "statefulset-controller",
	events.DaemonSets:   "daemon-set-controller",
	events.Jobs:         "job-controller",
}

// Birth is a pod that the controller of a kind wants to make, as a request in the controller's name.
func Birth(pod *corev1.Pod, of events.Resource, dryRun bool) admission.Attributes {
	who := &user.DefaultInfo{Name: serviceaccount.MakeUsername("kube-system", controllers[of]),
		Groups: append(serviceaccount.MakeGroupNames("kube-system"), user.AllAuthenticated)}
	return admission.NewAttributesRecord(pod, nil, corev1.SchemeGroupVersion.WithKind("Pod"), pod.Namespace, pod.Name,
		corev1.SchemeGroupVersion.WithResource("pods"), "", admission.Create, &metav1.CreateOptions{}, dryRun, who)
}

// Guard says why the controller of a kind must not make a pod, "" when it may; it is nil
// in a state without policies. It is a pure function of the state: a policy asks
// nobody outside.
func (e *Engine) Guard(v projections.State, of events.Resource) func(*corev1.Pod) string {
	for range v.List(events.PolicyBindings, "") {
		return func(pod *corev1.Pod) string { return e.barred(v, Birth(pod, of, false)) }
	}
	return nil
}

func (e *Engine) barred(v projections.State, a admission.Attributes) string {
	if err := e.Validate(context.Background(), v, Versioned(a), Rights(func() projections.State { return v })); err != nil {
		return err.Error()
	}
	return ""
}
