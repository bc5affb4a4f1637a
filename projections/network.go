package projections

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stave-run/stave/events"
)

// DefaultRange is the name of the ServiceCIDR of the cluster's own service network.
const DefaultRange = "kubernetes"

// DefaultIngressClass is the class of Ingresses that name none: the newest that says so.
func (s State) DefaultIngressClass() (name string, ok bool) {
	var found *Object
	for o := range s.List(events.IngressClasses, "") {
		if As[*networkingv1.IngressClass](o).Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "true" {
			continue
		}
		if found == nil || o.youngerThan(found) {
			found = o
		}
	}
	if found == nil {
		return "", false
	}
	return found.Key.Name, true
}

// RangesOutside are the ranges of a ServiceCIDR that services get no addresses of.
func (s State) RangesOutside(c *networkingv1.ServiceCIDR) []string {
	ours, err := netip.ParsePrefix(s.Cluster().ServiceCIDR)
	var out []string
	for _, r := range c.Spec.CIDRs {
		if p, bad := netip.ParsePrefix(r); err != nil || bad != nil || p != ours.Masked() {
			out = append(out, r)
		}
	}
	return out
}

// rangeStatus says whether a range is the one that is used.
func (s State) rangeStatus(o *Object, c *networkingv1.ServiceCIDR) networkingv1.ServiceCIDRStatus {
	ready := metav1.Condition{Type: networkingv1.ServiceCIDRConditionReady, Status: metav1.ConditionTrue, Reason: "", Message: "Kubernetes Service CIDR is ready",
		LastTransitionTime: stamp(o.Created.Time)}
	if len(s.RangesOutside(c)) > 0 {
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, "NotServed", "services get addresses of "+s.Cluster().ServiceCIDR+" alone"
	}
	return networkingv1.ServiceCIDRStatus{Conditions: []metav1.Condition{ready}}
}

// addressOf is the address of a service as an object, named after it.
func addressOf(svc *Object) (*networkingv1.IPAddress, bool) {
	ip := As[*corev1.Service](svc).Spec.ClusterIP
	if ip == "" || ip == corev1.ClusterIPNone {
		return nil, false
	}
	kind, _ := events.KindOf(events.Addresses)
	out := &networkingv1.IPAddress{}
	out.SetGroupVersionKind(kind.GVK())
	out.ObjectMeta = metav1.ObjectMeta{Name: ip, ResourceVersion: svc.Position.String(), UID: types.UID(events.NewUID(events.OpID(string(svc.UID) + " " + kind.Name + " " + ip))),
		CreationTimestamp: stamp(svc.Created.Time), Labels: map[string]string{networkingv1.LabelIPAddressFamily: string(corev1.IPv4Protocol), networkingv1.LabelManagedBy: "ipallocator.k8s.io"}}
	out.Spec.ParentRef = &networkingv1.ParentReference{Resource: "services", Namespace: svc.Key.Namespace, Name: svc.Key.Name}
	return out, true
}

// serviceAt is the service that has an address.
func (s State) serviceAt(ip string) (*Object, bool) {
	for svc := range s.List(events.Services, "") {
		if As[*corev1.Service](svc).Spec.ClusterIP == ip {
			return svc, true
		}
	}
	return nil, false
}
