package admit

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Publish drafts what a cluster has whose Kubernetes API is served, and the view
// lacks: the certificate that vouches for it, and the service by which pods find it.
func Publish(v projections.State, root string) []reconcilers.Draft {
	var out []reconcilers.Draft
	k := projections.RootKey
	want := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}, Data: map[string]string{projections.RootFile: root}}
	have, there := v.Get(k)
	switch {
	case !there:
		out = append(out, first(k, want))
	case projections.As[*corev1.ConfigMap](have).Data[projections.RootFile] != root:
		out = append(out, reconcilers.Change(have, events.Changed{Generation: have.Generation, Owner: have.Owner, Owners: have.Owners, Object: first(k, want).Child.Body.Object, Set: have.Set}))
	}
	if _, there := v.Get(projections.GatewayKey); !there {
		if svc, ok := gatewayService(v); ok {
			out = append(out, first(projections.GatewayKey, svc))
		}
	}
	return out
}

// gatewayService is the API's service, on the first address of the range unless
// another service has that; false when there is none left.
func gatewayService(v projections.State) (*corev1.Service, bool) {
	k := projections.GatewayKey
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name, Labels: map[string]string{"component": "apiserver", "provider": "kubernetes"}},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: []corev1.ServicePort{
			{Name: "https", Protocol: corev1.ProtocolTCP, Port: 443, TargetPort: intstr.FromInt32(projections.APIPort)}}}}
	if prefix, err := netip.ParsePrefix(v.Cluster().ServiceCIDR); err == nil {
		svc.Spec.ClusterIP = prefix.Masked().Addr().Next().String()
	}
	if len(allocate(v, k, svc, nil, nil, events.OpID(k.String()))) > 0 || svc.Spec.ClusterIP == v.Cluster().DNS {
		svc.Spec.ClusterIP = ""
		if len(allocate(v, k, svc, nil, nil, events.OpID(k.String()))) > 0 {
			return nil, false
		}
	}
	svc.Spec.ClusterIPs = []string{svc.Spec.ClusterIP}
	return svc, true
}
