package admit

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Bootstrap drafts what a cluster has from its first start on and the view lacks:
// Kubernetes' four namespaces, and the ConfigMap that says what the cluster is.
// What a cluster is does not change: a ConfigMap that is there stays.
func Bootstrap(v projections.State, c projections.Cluster) []reconcilers.Draft {
	var out []reconcilers.Draft
	for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease} {
		k := events.Key{Resource: events.Namespaces, Name: name}
		if _, ok := v.Get(k); ok {
			continue
		}
		out = append(out, first(k, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	if _, ok := v.Get(projections.ClusterKey); ok {
		return out
	}
	k := projections.ClusterKey
	return append(out, first(k, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}, Data: c.Data()}))
}

func first(k events.Key, o events.Object) reconcilers.Draft {
	manifest.Default(o)
	raw, err := manifest.Canonical(o)
	if err != nil {
		panic(fmt.Sprintf("draft %s: %v", k, err)) // our own objects always encode
	}
	return reconcilers.Create(k, events.Created{Object: raw})
}
