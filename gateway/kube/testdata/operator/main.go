// Command operator is a small operator as people write them with controller-runtime: it serves Sites, each a Deployment and
// the ConfigMap that it shows, tells how far each one is, and says farewell to one that goes.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	farewell = "demo.example.com/farewell"
	image    = "busybox"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "operator:", err)
		os.Exit(1)
	}
}

func run() error {
	ctrl.SetLogger(zap.New())
	if err := addSites(scheme.Scheme); err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	m, err := ctrl.NewManager(config, ctrl.Options{LeaderElection: true, LeaderElectionID: "sites", LeaderElectionNamespace: "default",
		LeaderElectionReleaseOnCancel: true, Metrics: server.Options{BindAddress: "0"}})
	if err != nil {
		return err
	}
	s := &sites{Client: m.GetClient(), recorder: m.GetEventRecorder("sites")}
	if err := ctrl.NewControllerManagedBy(m).For(&Site{}).Owns(&appsv1.Deployment{}).Owns(&corev1.ConfigMap{}).Complete(s); err != nil {
		return err
	}
	return m.Start(ctrl.SetupSignalHandler())
}

// sites brings what there is to what each Site wants.
type sites struct {
	client.Client
	recorder events.EventRecorder
}

// Reconcile implements reconcile.Reconciler.
func (s *sites) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var site Site
	if err := s.Get(ctx, req.NamespacedName, &site); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !site.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, s.leave(ctx, &site)
	}
	if controllerutil.AddFinalizer(&site, farewell) {
		if err := s.Update(ctx, &site); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := s.page(ctx, &site); err != nil {
		return ctrl.Result{}, err
	}
	ready, err := s.pods(ctx, &site)
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, s.tell(ctx, &site, ready)
}

func (s *sites) page(ctx context.Context, site *Site) error {
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: site.Namespace, Name: site.Name}}
	done, err := controllerutil.CreateOrUpdate(ctx, s.Client, m, func() error {
		m.Data = map[string]string{"index.html": site.Spec.Text}
		return controllerutil.SetControllerReference(site, m, s.Scheme())
	})
	if err == nil && done != controllerutil.OperationResultNone {
		s.recorder.Eventf(site, m, corev1.EventTypeNormal, "Written", "Write", "the page was %s", done)
	}
	return err
}

// pods is how many are ready, once there are as many wanted as the Site says.
func (s *sites) pods(ctx context.Context, site *Site) (int32, error) {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: site.Namespace, Name: site.Name}}
	_, err := controllerutil.CreateOrPatch(ctx, s.Client, d, func() error {
		labels := map[string]string{"site": site.Name}
		d.Spec.Replicas = &site.Spec.Replicas
		if d.CreationTimestamp.IsZero() {
			d.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
		}
		d.Spec.Template.Labels = labels
		d.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64) // sleep ignores what asks it to end
		if len(d.Spec.Template.Spec.Containers) == 0 {
			d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "web"}}
		}
		c := &d.Spec.Template.Spec.Containers[0]
		c.Image, c.Command = image, []string{"sleep", "1000"}
		return controllerutil.SetControllerReference(site, d, s.Scheme())
	})
	return d.Status.ReadyReplicas, err
}

func (s *sites) tell(ctx context.Context, site *Site, ready int32) error {
	before := site.DeepCopyObject().(*Site)
	site.Status.Ready = ready
	condition := metav1.Condition{Type: "Available", Status: metav1.ConditionFalse, Reason: "Waits", Message: strconv.Itoa(int(ready)) + " ready", ObservedGeneration: site.Generation}
	if ready == site.Spec.Replicas {
		condition.Status, condition.Reason = metav1.ConditionTrue, "AllReady"
	}
	meta.SetStatusCondition(&site.Status.Conditions, condition)
	return s.Status().Patch(ctx, site, client.MergeFrom(before))
}

// leave writes a last word, which nobody owns, and lets the Site go.
func (s *sites) leave(ctx context.Context, site *Site) error {
	word := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: site.Namespace, Name: "farewell-" + site.Name}, Data: map[string]string{"text": site.Spec.Text}}
	if err := s.Create(ctx, word); client.IgnoreAlreadyExists(err) != nil {
		return err
	}
	if !controllerutil.RemoveFinalizer(site, farewell) {
		return nil
	}
	return client.IgnoreNotFound(s.Update(ctx, site))
}

func addSites(s *runtime.Scheme) error {
	s.AddKnownTypes(version, &Site{}, &SiteList{})
	metav1.AddToGroupVersion(s, version)
	return nil
}
