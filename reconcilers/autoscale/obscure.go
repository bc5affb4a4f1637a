package autoscale

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// obscure tells whether it cannot be said which pods count, or whose word does.
func (p *pass) obscure() bool {
	said, reason := "", "InvalidSelector"
	if p.scale.Text == "" {
		said = "the HPA target's scale is missing a selector"
	} else if other := p.rival(); other != nil {
		reason, said = "AmbiguousSelector", fmt.Sprintf("pods by selector %s are controlled by more than one HPA (e.g. [%s/%s %s/%s])", p.scale.Text, p.o.Key.Namespace, p.o.Key.Name, other.Key.Namespace, other.Key.Name)
	}
	if said == "" {
		return false
	}
	p.able("SucceededGetScale", "the HPA controller was able to get the target's current scale")
	p.condition(autoscalingv2.ScalingActive, corev1.ConditionFalse, reason, said)
	p.because(events.Code(reason), said, "")
	return true
}

// rival is another autoscaler of the same target, or of one that selects some of the same pods; nil when there is none.
func (p *pass) rival() *projections.Object {
	var pods []labelled
	for other := range p.v.List(events.Autoscalers, p.o.Key.Namespace) {
		if other.Key == p.o.Key || other.Deletion != nil {
			continue
		}
		if targetOf(p.v, other) == p.scale.Object.Key {
			return other
		}
		theirs, err := p.v.ScaleOf(other.Key.Namespace, &projections.As[*autoscalingv2.HorizontalPodAutoscaler](other).Spec.ScaleTargetRef)
		if err != nil || theirs.Selector == nil {
			continue
		}
		if pods == nil { // hardly ever are there two autoscalers in a namespace for nothing
			pods = selected(p.v, p.o.Key.Namespace, p.scale)
		}
		for _, pod := range pods {
			if theirs.Selector.Matches(pod) {
				return other
			}
		}
	}
	return nil
}

// selected are the pods that a scale selects.
func selected(v reconcilers.View, namespace string, scale projections.Scale) []labelled {
	out := []labelled{}
	for o := range v.List(events.Pods, namespace) {
		if pod, ok := o.Typed().(*corev1.Pod); ok && scale.Selector.Matches(labelled{pod}) {
			out = append(out, labelled{pod})
		}
	}
	return out
}
