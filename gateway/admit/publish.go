package admit

import (
	"maps"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Publish drafts what a cluster has whose Kubernetes API is served, and the view
// lacks: the certificate that vouches for it, what other API servers know it by, and the service by which pods find it.
func Publish(v projections.State, root, front string) []reconcilers.Draft {
	out := publish(v, projections.RootKey, map[string]string{projections.RootFile: root})
	out = append(out, publish(v, frontKey, map[string]string{"client-ca-file": root, "requestheader-client-ca-file": front, "requestheader-allowed-names": `["` + FrontName + `"]`,
		"requestheader-username-headers": `["X-Remote-User"]`, "requestheader-uid-headers": `["X-Remote-Uid"]`, "requestheader-group-headers": `["X-Remote-Group"]`,
		"requestheader-extra-headers-prefix": `["X-Remote-Extra-"]`})...)
	if _, there := v.Get(projections.GatewayKey); !there {
		if svc, ok := gatewayService(v); ok {
			out = append(out, first(projections.GatewayKey, svc))
		}
	}
	return out
}

// frontKey is the ConfigMap by which API servers beside the cluster's own know it.
var frontKey = events.Key{Resource: events.ConfigMaps, Namespace: "kube-system", Name: "extension-apiserver-authentication"}

// FrontName is as whom the cluster's API shows itself to them.
const FrontName = "front-proxy-client"

// publish drafts a ConfigMap that is not there, or says something else. What others keep in it stays.
func publish(v projections.State, k events.Key, data map[string]string) []reconcilers.Draft {
	want := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}, Data: data}
	have, there := v.Get(k)
	if !there {
		return []reconcilers.Draft{first(k, want)}
	}
	now := projections.As[*corev1.ConfigMap](have)
	next := now.DeepCopy()
	if next.Data == nil {
		next.Data = map[string]string{}
	}
	if maps.Copy(next.Data, data); maps.Equal(next.Data, now.Data) {
		return nil
	}
	return []reconcilers.Draft{reconcilers.Change(have, events.Changed{Generation: have.Generation, Owner: have.Owner, Owners: have.Owners, Object: first(k, next).Child.Body.Object, Set: have.Set})}
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
