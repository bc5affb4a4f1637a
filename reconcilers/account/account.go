// Package account gives each namespace what pods need to come in at the
// Kubernetes API: the ServiceAccount of those that name none, and the
// certificate that vouches for the API, once the cluster has one.
package account

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct{}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "account" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 1 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return []events.Resource{events.Namespaces, events.Accounts, events.ConfigMaps}
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return []events.Type{events.TypeOf(events.Accounts, events.VerbCreated), events.TypeOf(events.ConfigMaps, events.VerbCreated), events.TypeOf(events.ConfigMaps, events.VerbChanged)}
}

// Keys implements reconcilers.Reconciler: a namespace that is new, or lost what it
// is given; all of them when the cluster's certificate is another one.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	switch k := c.Key; {
	case k.Resource == events.Namespaces && c.Before == nil:
		return []events.Key{k}
	case k == projections.RootKey:
		var all []events.Key
		for o := range v.List(events.Namespaces, "") {
			all = append(all, o.Key)
		}
		return all
	case k.Resource == events.Accounts && k.Name == projections.DefaultAccount, k.Resource == events.ConfigMaps && k.Name == projections.RootKey.Name:
		return []events.Key{{Resource: events.Namespaces, Name: k.Namespace}}
	}
	return nil
}

// Decide implements reconcilers.Reconciler.
func (Reconciler) Decide(v reconcilers.View, k events.Key, _ time.Time) reconcilers.Decision {
	ns, ok := v.Get(k)
	if !ok || ns.Deletion != nil {
		return reconcilers.Decision{}
	}
	var d reconcilers.Decision
	account := events.Key{Resource: events.Accounts, Namespace: k.Name, Name: projections.DefaultAccount}
	if _, ok := v.Get(account); !ok {
		d.Events = append(d.Events, reconcilers.Create(account, events.Created{Object: body(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: k.Name, Name: account.Name}})}))
	}
	if root, ok := v.Get(projections.RootKey); ok && k.Name != projections.RootKey.Namespace {
		d.Events = append(d.Events, spread(v, root, k.Name)...)
	}
	return d
}

// spread brings the certificate into a namespace, or up to date there.
func spread(v reconcilers.View, root *projections.Object, namespace string) []reconcilers.Draft {
	k := projections.RootKey
	k.Namespace = namespace
	certificate := projections.As[*corev1.ConfigMap](root).Data[projections.RootFile]
	want := body(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}, Data: map[string]string{projections.RootFile: certificate}})
	have, ok := v.Get(k)
	switch {
	case !ok:
		return []reconcilers.Draft{reconcilers.Create(k, events.Created{Object: want})}
	case have.Deletion == nil && projections.As[*corev1.ConfigMap](have).Data[projections.RootFile] != certificate:
		return []reconcilers.Draft{reconcilers.Change(have, events.Changed{Generation: have.Generation, Owner: have.Owner, Owners: have.Owners, Object: want, Set: have.Set})}
	}
	return nil
}

func body(o events.Object) []byte {
	manifest.Default(o)
	raw, err := manifest.Canonical(o)
	if err != nil {
		panic(fmt.Sprintf("draft %s: %v", o.GetName(), err)) // our own objects always encode
	}
	return raw
}
