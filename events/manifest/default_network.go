package manifest

import (
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/stave-run/stave/events"
)

// What Kubernetes gives a priority level that does not say.
const (
	flowPrecedence = 1000
	levelShares    = 30
	levelQueues    = 64
	levelHand      = 8
	levelLength    = 50
)

// defaultNetwork fills in the kinds that say how requests come in.
func defaultNetwork(o events.Object) {
	switch o := o.(type) {
	case *networkingv1.IngressClass:
		if o.Spec.Parameters != nil {
			pointTo(&o.Spec.Parameters.Scope, networkingv1.IngressClassParametersReferenceScopeCluster)
		}
	case *flowcontrolv1.FlowSchema:
		setTo(&o.Spec.MatchingPrecedence, flowPrecedence)
	case *flowcontrolv1.PriorityLevelConfiguration:
		defaultLevel(&o.Spec)
	}
}

func defaultLevel(s *flowcontrolv1.PriorityLevelConfigurationSpec) {
	if e := s.Exempt; e != nil {
		pointTo(&e.NominalConcurrencyShares, 0)
		pointTo(&e.LendablePercent, 0)
	}
	if s.Limited == nil {
		return
	}
	pointTo(&s.Limited.NominalConcurrencyShares, levelShares)
	pointTo(&s.Limited.LendablePercent, 0)
	if q := s.Limited.LimitResponse.Queuing; q != nil {
		setTo(&q.Queues, levelQueues)
		setTo(&q.HandSize, levelHand)
		setTo(&q.QueueLengthLimit, levelLength)
	}
}
