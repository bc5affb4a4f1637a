package manifest

import (
	corev1 "k8s.io/api/core/v1"
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
	case *networkingv1.NetworkPolicy:
		defaultNetworkPolicy(&o.Spec)
	case *flowcontrolv1.FlowSchema:
		setTo(&o.Spec.MatchingPrecedence, flowPrecedence)
	case *flowcontrolv1.PriorityLevelConfiguration:
		defaultLevel(&o.Spec)
	}
}

// defaultNetworkPolicy lets a policy that does not say in which directions it holds say so by its rules: coming in always,
// going out when it has a rule of that.
func defaultNetworkPolicy(s *networkingv1.NetworkPolicySpec) {
	if len(s.PolicyTypes) == 0 {
		s.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(s.Egress) > 0 {
			s.PolicyTypes = append(s.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	for i := range s.Ingress {
		defaultPolicyPorts(s.Ingress[i].Ports)
	}
	for i := range s.Egress {
		defaultPolicyPorts(s.Egress[i].Ports)
	}
}

func defaultPolicyPorts(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		pointTo(&ports[i].Protocol, corev1.ProtocolTCP)
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
