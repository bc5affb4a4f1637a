package webhook

import (
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/policy"
	"github.com/stave-run/stave/projections"
)

// Outside tells of which objects that a kind's controller wants to make others are asked first: webhooks, and policies that
// change what they see. It is nil in a state where nobody is, and a pure function of the state.
func Outside(v projections.State, of events.Resource) func(events.Object) bool {
	if len(policy.Mutations(v)) > 0 {
		return func(events.Object) bool { return true }
	}
	all := append(hooks(v, events.MutatingWebhooks), hooks(v, events.ValidatingWebhooks)...)
	if len(all) == 0 {
		return nil
	}
	return func(o events.Object) bool {
		a := policy.Birth(o, of, false)
		for _, h := range all {
			if holds, err := h.scope().Holds(v, a); holds || err != nil { // whoever is asked says what is wrong with a selector
				return true
			}
		}
		return false
	}
}
