package why

import (
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// ingress says who serves an Ingress, and which of the services that it names are not there.
func (q Question) ingress(a *Answer, o *projections.Object) {
	in, ok := q.State.ObjectOf(o, q.Now).(*networkingv1.Ingress)
	if !ok {
		return
	}
	var at []string
	for _, x := range in.Status.LoadBalancer.Ingress {
		at = append(at, x.IP+x.Hostname)
	}
	class := in.Spec.IngressClassName
	switch {
	case len(at) > 0:
		a.Verdict = "is served at " + strings.Join(at, ", ")
	case class == nil:
		a.Verdict, a.WaitsFor = "is served by nobody: it names no class", "an ingress controller"
		a.Fix = "run one, and name its class in spec.ingressClassName; or use a Service of type NodePort"
	default:
		a.Verdict, a.WaitsFor = "is not served: nobody has taken it up", "the controller of class "+*class
		if _, there := q.State.Get(events.Key{Resource: events.IngressClasses, Name: *class}); !there {
			a.Verdict = fmt.Sprintf("is not served: there is no class %q", *class)
			a.Fix = "run a controller that brings it, or name one of those that 'stave get ingressclasses' lists"
		}
	}
	for _, name := range backendsOf(&in.Spec) {
		if _, there := q.State.Get(events.Key{Resource: events.Services, Namespace: o.Key.Namespace, Name: name}); !there {
			a.Details = append(a.Details, "service/"+name+" is not there")
		}
	}
}

// backendsOf are the services that an Ingress names, each once.
func backendsOf(spec *networkingv1.IngressSpec) []string {
	var out []string
	seen := map[string]bool{}
	add := func(b *networkingv1.IngressBackend) {
		if b != nil && b.Service != nil && !seen[b.Service.Name] {
			seen[b.Service.Name] = true
			out = append(out, b.Service.Name)
		}
	}
	add(spec.DefaultBackend)
	for _, r := range spec.Rules {
		if r.HTTP == nil {
			continue
		}
		for i := range r.HTTP.Paths {
			add(&r.HTTP.Paths[i].Backend)
		}
	}
	return out
}
