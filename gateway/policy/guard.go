package policy

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// ReplicaSets is in whose name policies are asked about the pods of ReplicaSets,
// as in Kubernetes.
const ReplicaSets = "replicaset-controller"

// Jobs is the same for the pods of Jobs.
const Jobs = "job-controller"

// StatefulSets is the same for the pods of StatefulSets.
const StatefulSets = "statefulset-controller"

// DaemonSets is the same for the pods of DaemonSets.
const DaemonSets = "daemon-set-controller"

// Controllers is the same for the pods of ReplicationControllers.
const Controllers = "replication-controller"

// Guard says why a controller must not make a pod, "" when it may; it is nil in
// a state without policies. It is a pure function of the state: a policy asks
// nobody outside.
func (e *Engine) Guard(v projections.State, controller string) func(*corev1.Pod) string {
	for range v.List(events.PolicyBindings, "") {
		who := &user.DefaultInfo{Name: serviceaccount.MakeUsername("kube-system", controller),
			Groups: append(serviceaccount.MakeGroupNames("kube-system"), user.AllAuthenticated)}
		return func(pod *corev1.Pod) string { return e.barred(v, pod, who) }
	}
	return nil
}

func (e *Engine) barred(v projections.State, pod *corev1.Pod, who user.Info) string {
	a := admission.NewAttributesRecord(pod, nil, corev1.SchemeGroupVersion.WithKind("Pod"), pod.Namespace, pod.Name,
		corev1.SchemeGroupVersion.WithResource("pods"), "", admission.Create, nil, false, who)
	if err := e.Validate(context.Background(), v, Versioned(a), Rights(func() projections.State { return v })); err != nil {
		return err.Error()
	}
	return ""
}
