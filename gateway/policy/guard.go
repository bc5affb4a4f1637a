package policy

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// controllers is in whose name policies are asked about what is made for a kind's objects, as
// in Kubernetes.
var controllers = map[events.Resource]string{
	events.Deployments:  "deployment-controller",
	events.CronJobs:     "cronjob-controller",
	events.Pods:         "ephemeral-volume-controller",
	events.ReplicaSets:  "replicaset-controller",
	events.Controllers:  "replication-controller",
	events.StatefulSets: "statefulset-controller",
	events.DaemonSets:   "daemon-set-controller",
	events.Jobs:         "job-controller",
}

// Birth is an object that the controller of a kind wants to make, as a request in the controller's name.
func Birth(o events.Object, of events.Resource, dryRun bool) admission.Attributes {
	who := &user.DefaultInfo{Name: serviceaccount.MakeUsername("kube-system", controllers[of]),
		Groups: append(serviceaccount.MakeGroupNames("kube-system"), user.AllAuthenticated)}
	kind, _ := events.KindFor(o.GetObjectKind().GroupVersionKind().ToAPIVersionAndKind())
	return admission.NewAttributesRecord(o, nil, kind.GVK(), o.GetNamespace(), o.GetName(),
		schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: kind.Plural()}, "", admission.Create, &metav1.CreateOptions{}, dryRun, who)
}

// Guard says why the controller of a kind must not make an object, "" when it may; it is nil
// in a state without policies. It is a pure function of the state: a policy asks
// nobody outside.
func (e *Engine) Guard(v projections.State, of events.Resource) func(events.Object) string {
	for range v.List(events.PolicyBindings, "") {
		return func(o events.Object) string { return e.barred(v, Birth(o, of, false)) }
	}
	return nil
}

func (e *Engine) barred(v projections.State, a admission.Attributes) string {
	if err := e.Validate(context.Background(), v, Versioned(a), Rights(func() projections.State { return v })); err != nil {
		return err.Error()
	}
	return ""
}
