package autoscale

import (
	"math"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Kubernetes' limits for autoscalers without a behavior of their own.
const (
	calm        = 5 * time.Minute // for which the most that was asked for is kept
	leapFactor  = 2
	leapMinimum = 4
)

// normalized keeps what metrics ask for between the bounds, and as steady as the spec wants it.
func (p *pass) normalized(asked int32) int32 {
	if p.spec.Behavior == nil {
		return p.usual(asked)
	}
	return p.behaved(asked)
}

// usual is for a spec without a behavior: the most of the last minutes, and no leap up beyond twice as many, or four.
func (p *pass) usual(asked int32) int32 {
	_, most := p.wishes(asked, 0, calm)
	if most != asked {
		p.able("ScaleDownStabilized", "recent recommendations were higher than current one, applying the highest recent recommendation")
	} else {
		p.able("ReadyForNewScale", "recommended size matches current size")
	}
	limit := bounded(max(leapFactor*int64(p.scale.Wanted), leapMinimum))
	n, reason, said := most, "DesiredWithinRange", "the desired count is within the acceptable range"
	switch top := min(p.spec.MaxReplicas, limit); {
	case most < p.least():
		n, reason, said = p.least(), "TooFewReplicas", "the desired replica count is less than the minimum replica count"
	case most > top && p.spec.MaxReplicas > limit:
		n, reason, said = top, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"
	case most > top:
		n, reason, said = top, "TooManyReplicas", "the desired replica count is more than the maximum replica count"
	}
	p.limited(n != most, reason, said)
	return n
}

func (p *pass) limited(is bool, reason, said string) {
	s := corev1.ConditionFalse
	if is {
		s = corev1.ConditionTrue
	}
	p.condition(autoscalingv2.ScalingLimited, s, reason, said)
}

// behaved is for a spec that says how to scale up and down.
func (p *pass) behaved(asked int32) int32 {
	up, down, current := p.spec.Behavior.ScaleUp, p.spec.Behavior.ScaleDown, p.scale.Wanted
	least, most := p.wishes(asked, window(up, 0), window(down, calm))
	steady := min(max(current, least), most)
	switch {
	case steady == asked:
		p.able("ReadyForNewScale", "recommended size matches current size")
	case asked >= current:
		p.able("ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation")
	default:
		p.able("ScaleDownStabilized", "recent recommendations were higher than current one, applying the highest recent recommendation")
	}
	n, reason, said := steady, "DesiredWithinRange", "the desired count is within the acceptable range"
	switch {
	case steady > current:
		limit := max(p.pace(up, true), current)
		top := min(p.spec.MaxReplicas, limit)
		if steady > top && p.spec.MaxReplicas > limit {
			n, reason, said = top, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"
		} else if steady > top {
			n, reason, said = top, "TooManyReplicas", "the desired replica count is more than the maximum replica count"
		}
	case steady < current:
		limit := min(p.pace(down, false), current)
		bottom := max(p.least(), limit)
		if steady < bottom && p.least() < limit {
			n, reason, said = bottom, "ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"
		} else if steady < bottom {
			n, reason, said = bottom, "TooFewReplicas", "the desired replica count is less than the minimum replica count"
		}
	}
	p.limited(n != steady, reason, said)
	return n
}

func window(r *autoscalingv2.HPAScalingRules, usual time.Duration) time.Duration {
	if r == nil || r.StabilizationWindowSeconds == nil {
		return usual
	}
	return time.Duration(*r.StabilizationWindowSeconds) * time.Second
}

// wishes are the least that was asked for within one time, and the most within another, with what is asked for now; and a
// wake-up for when one of them goes out of its time. Between two reports what was asked for has not changed, so each one
// lasts until the next.
func (p *pass) wishes(asked int32, up, down time.Duration) (least, most int32) {
	least, most = asked, asked
	all := p.o.Scaler.Wishes
	for i, w := range all {
		if w.Replicas < 0 {
			continue
		}
		end := p.now
		if i+1 < len(all) {
			end = all[i+1].At
		}
		if up > 0 && w.Replicas < least && end.After(p.now.Add(-up)) {
			least = w.Replicas
			p.wake(end.Add(up))
		}
		if down > 0 && w.Replicas > most && end.After(p.now.Add(-down)) {
			most = w.Replicas
			p.wake(end.Add(down))
		}
	}
	return least, most
}

func (p *pass) wake(at time.Time) {
	if at.After(p.now) {
		p.d.WakeAt = reconcilers.Sooner(p.d.WakeAt, at)
	}
}

// pace is how far the policies of one direction let go from where the replicas were as their periods began.
func (p *pass) pace(r *autoscalingv2.HPAScalingRules, up bool) int32 {
	chosen := autoscalingv2.MaxChangePolicySelect
	if r != nil && r.SelectPolicy != nil {
		chosen = *r.SelectPolicy
	}
	if r == nil || chosen == autoscalingv2.DisabledPolicySelect {
		return p.scale.Wanted
	}
	// The most change is the highest number on the way up, and the lowest on the way down.
	highest := (chosen == autoscalingv2.MaxChangePolicySelect) == up
	result := int32(math.MaxInt32)
	if highest {
		result = math.MinInt32
	}
	for _, x := range r.Policies {
		n := p.allowed(x, up)
		if highest {
			result = max(result, n)
		} else {
			result = min(result, n)
		}
	}
	return result
}

func (p *pass) allowed(x autoscalingv2.HPAScalingPolicy, up bool) int32 {
	period := time.Duration(x.PeriodSeconds) * time.Second
	began := int64(p.scale.Wanted)
	for _, s := range p.o.Scaler.Scales {
		if s.At.After(p.now.Add(-period)) {
			began -= int64(s.To) - int64(s.From)
			p.wake(s.At.Add(period))
		}
	}
	percent := float64(x.Value) / 100
	switch {
	case x.Type == autoscalingv2.PodsScalingPolicy && up:
		return bounded(began + int64(x.Value))
	case x.Type == autoscalingv2.PodsScalingPolicy:
		return bounded(began - int64(x.Value))
	case up:
		return ceil(float64(began) * (1 + percent))
	}
	return bounded(int64(float64(began) * (1 - percent)))
}

// bounded is a number of replicas as objects write it: what does not fit is the most, or the least, that does.
func bounded(n int64) int32 { return int32(max(math.MinInt32, min(n, math.MaxInt32))) }

// refresh is how long figures may be old that lead to nothing.
const refresh = 5 * time.Minute

// Moved tells whether what was measured has to be appended: it asks for something else than the last one, it is the first
// one since replicas changed or for this spec, or its figures moved and the last ones are old.
func Moved(o *projections.Object, m events.ScalerMeasured, now time.Time) bool {
	s := o.Scaler
	if s == nil || s.Measured == nil {
		return true
	}
	was := s.Measured
	if was.Generation != m.Generation || was.Replicas != m.Replicas || len(was.Metrics) != len(m.Metrics) {
		return true
	}
	if n := len(s.Scales); n > 0 && !s.Mark.Time.After(s.Scales[n-1].At) {
		return true
	}
	figures := false
	for i, x := range m.Metrics {
		w := was.Metrics[i]
		if x.Reason != w.Reason || x.Said != w.Said {
			return true
		}
		figures = figures || (x.Utilization == nil) != (w.Utilization == nil) || x.Utilization != nil && *x.Utilization != *w.Utilization || x.Utilization == nil && differ(x.Average, w.Average)
	}
	return figures && now.Sub(s.Mark.Time) >= refresh
}

// differ tells whether two figures are more than a tenth apart: that much moves by itself.
func differ(a, b int64) bool {
	const parts = 10
	return max(a, b)-min(a, b) > max(a, b)/parts
}
