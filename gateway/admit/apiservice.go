package admit

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// WhyServed is why what follows from what is served here cannot be taken away, nor given to somebody else.
const WhyServed = "Stave serves this group and version itself, and nobody else can: leave this APIService out"

// delegate keeps what definitions serve from being given to an API server outside, and says what such a one misses.
func (w *writing) delegate() *refusal {
	a, ok := w.next.(*apiregistrationv1.APIService)
	if !ok {
		return nil
	}
	gv := schema.GroupVersion{Group: a.Spec.Group, Version: a.Spec.Version}.String()
	if events.Served(gv) {
		if a.Spec.Service != nil {
			w.warnings = append(w.warnings, "Stave answers "+gv+" itself: this APIService is kept, and its service is never asked")
		}
		return nil
	}
	if slices.ContainsFunc(w.v.Kinds().Custom(), func(k events.Kind) bool { return k.APIVersion() == gv }) {
		if w.r.Operation == wire.Create {
			return exists(w.key, false) // as in Kubernetes, where each definition has one
		}
		return forbidden(w.key, WhyServed)
	}
	if a.Spec.InsecureSkipTLSVerify {
		w.warnings = append(w.warnings, "spec.insecureSkipTLSVerify: whoever can answer in the place of the service is believed, and sees who asks: use caBundle")
	}
	w.warnings = append(w.warnings, "spec.service: what this API server keeps is its own: its objects do not go with their namespace, nor after their owners")
	return nil
}
