package admit

import (
	"encoding/json"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// FirstRange drafts the ServiceCIDR that says where the addresses of services come from.
func FirstRange(v projections.State) []reconcilers.Draft {
	k := events.Key{Resource: events.ServiceRanges, Name: projections.DefaultRange}
	if _, there := v.Get(k); there {
		return nil
	}
	return []reconcilers.Draft{first(k, &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: k.Name},
		Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{v.Cluster().ServiceCIDR}}})}
}

// network gives a new Ingress the cluster's class when it names none, and says of what it makes whether anybody acts on it.
func (w *writing) network() *refusal {
	switch o := w.next.(type) {
	case *networkingv1.Ingress:
		w.ingress(o)
		if errs := manifest.IngressNames(o); len(errs) > 0 {
			return invalid(w.key, errs)
		}
	case *networkingv1.ServiceCIDR:
		if outside := w.v.RangesOutside(o); len(outside) > 0 {
			w.warnings = append(w.warnings, fmt.Sprintf("spec.cidrs: services get addresses of %s alone, which the cluster was made with: %q is kept, and nothing comes of it", w.v.Cluster().ServiceCIDR, outside))
		}
	}
	return nil
}

func (w *writing) ingress(o *networkingv1.Ingress) {
	said, old := o.Annotations[manifest.IngressAnnotation]
	if o.Spec.IngressClassName == nil && old {
		w.warnings = append(w.warnings, fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead", manifest.IngressAnnotation))
	}
	if name, ok := w.v.DefaultIngressClass(); ok && o.Spec.IngressClassName == nil && !old {
		o.Spec.IngressClassName = &name
	}
	if name := o.Spec.IngressClassName; name != nil {
		said = *name
	}
	if _, ok := w.v.Get(events.Key{Resource: events.IngressClasses, Name: said}); !ok && said != "" {
		w.warnings = append(w.warnings, fmt.Sprintf("spec.ingressClassName: there is no IngressClass %q yet, and nobody serves it: run an ingress controller, which brings its class", said))
	} else if !ok {
		w.warnings = append(w.warnings, "spec: Stave has no ingress controller, and nobody serves this: run one and name its class in spec.ingressClassName, or use a Service of type NodePort")
	}
}

// reached holds the status of an Ingress to Kubernetes' rules.
func (w *writing) reached(sent json.RawMessage) *refusal {
	if _, ok := w.next.(*networkingv1.Ingress); !ok || len(sent) == 0 {
		return nil
	}
	var status networkingv1.IngressStatus
	if err := json.Unmarshal(sent, &status); err != nil {
		return badRequest("read status of %s: %v", w.key, err)
	}
	if errs := manifest.IngressStatus(&status); len(errs) > 0 {
		return invalid(w.key, errs)
	}
	return nil
}

// staying refuses to take away what the cluster is made of.
func staying(k events.Key) *refusal {
	switch {
	case k.Resource == events.Namespaces && lasting[k.Name]:
		return forbidden(k, "this namespace may not be deleted")
	case k.Resource == events.ServiceRanges && k.Name == projections.DefaultRange:
		return forbidden(k, "it is where the addresses of services come from")
	}
	return nil
}
