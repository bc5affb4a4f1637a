package admit

import (
	"slices"

	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// beside are the group versions that the Kubernetes API serves beside the kinds that there are objects of.
var beside = []string{"metrics.k8s.io/v1beta1", "authentication.k8s.io/v1", "authorization.k8s.io/v1"}

// WhyServed is why an APIService of what is served here cannot be written.
const WhyServed = "Stave serves this group and version itself, and nobody else can: leave this APIService out"

// Serves tells whether the cluster serves a group version ("apps/v1") itself, by these kinds or beside them.
func Serves(kinds events.Catalogue, groupVersion string) bool {
	is := func(k events.Kind) bool { return k.APIVersion() == groupVersion }
	return slices.Contains(beside, groupVersion) || slices.ContainsFunc(events.Kinds, is) || slices.ContainsFunc(events.OlderKinds, is) ||
		slices.ContainsFunc(events.NoteKinds, is) || slices.ContainsFunc(kinds.Custom(), is)
}

// delegate keeps what is served here from being given to an API server outside, and says what such a one misses.
func (w *writing) delegate() *refusal {
	a, ok := w.next.(*apiregistrationv1.APIService)
	if !ok {
		return nil
	}
	if Serves(w.v.Kinds(), a.Spec.Group+"/"+a.Spec.Version) {
		if w.r.Operation == wire.Create {
			return exists(w.key, false) // as in Kubernetes, where each group has one
		}
		return forbidden(w.key, WhyServed)
	}
	if a.Spec.InsecureSkipTLSVerify {
		w.warnings = append(w.warnings, "spec.insecureSkipTLSVerify: whoever can answer in the place of the service is believed, and sees who asks: use caBundle")
	}
	w.warnings = append(w.warnings, "spec.service: what this API server keeps is its own: its objects do not go with their namespace, nor after their owners")
	return nil
}
