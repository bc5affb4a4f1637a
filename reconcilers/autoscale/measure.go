package autoscale

import (
	"errors"
	"fmt"
	"math"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Kubernetes' own settings.
const (
	usualTolerance = 0.1              // parts by which usage may miss its target
	cpuStart       = 5 * time.Minute  // in which CPU counts only while a pod is ready
	firstReady     = 30 * time.Second // within which a pod that is not ready has never been it
)

// Use is what one container uses.
type Use struct {
	CPU    int64         // thousandths of a core
	Memory int64         // bytes
	Window time.Duration // that CPU was measured over
}

// Sample is what the containers of one pod used at a time.
type Sample struct {
	At         time.Time
	Containers map[string]Use
}

// Samples are what nodes measured, by the uids of pods.
type Samples map[events.UID]Sample

// Measure reduces what nodes measured to what an autoscaler's metrics ask for, by Kubernetes' algorithm.
func Measure(v projections.State, o *projections.Object, of Samples, now time.Time) (events.ScalerMeasured, error) {
	h := projections.As[*autoscalingv2.HorizontalPodAutoscaler](o)
	scale, err := v.ScaleOf(o.Key.Namespace, &h.Spec.ScaleTargetRef)
	if err != nil {
		return events.ScalerMeasured{}, err
	}
	out := events.ScalerMeasured{Generation: o.Generation, Current: scale.Wanted, Replicas: -1}
	pods := podsOf(v, o.Key.Namespace, scale, now)
	valid := 0
	for i := range h.Spec.Metrics {
		m := metric(&h.Spec, &h.Spec.Metrics[i], o.Key.Namespace, scale.Wanted, pods, of, now)
		if out.Metrics = append(out.Metrics, m); m.Reason == "" {
			valid++
			out.Replicas = max(out.Replicas, m.Replicas)
		}
	}
	if valid < len(out.Metrics) && out.Replicas < scale.Wanted {
		out.Replicas = -1 // what could not be seen may need the pods that are there
	}
	return out, nil
}

func podsOf(v projections.State, namespace string, scale projections.Scale, now time.Time) []*corev1.Pod {
	var out []*corev1.Pod
	if scale.Selector == nil {
		return nil
	}
	for o := range v.List(events.Pods, namespace) {
		if pod, ok := v.Peek(o, now).(*corev1.Pod); ok && scale.Selector.Matches(labelled{pod}) {
			out = append(out, pod)
		}
	}
	return out
}

// labelled is a pod's labels as selectors ask for them.
type labelled struct{ *corev1.Pod }

// Has implements labels.Labels.
func (l labelled) Has(k string) bool { _, ok := l.Labels[k]; return ok }

// Get implements labels.Labels.
func (l labelled) Get(k string) string { return l.Labels[k] }

// Lookup implements labels.Labels.
func (l labelled) Lookup(k string) (string, bool) { v, ok := l.Labels[k]; return v, ok }

// metric is what one metric says.
func metric(s *autoscalingv2.HorizontalPodAutoscalerSpec, m *autoscalingv2.MetricSpec, namespace string, current int32, pods []*corev1.Pod, of Samples, now time.Time) events.ScalerMetric {
	c := counting{current: current, pods: pods, of: of, now: now, up: tolerance(s, true), down: tolerance(s, false)}
	failed := ""
	var err error
	var out events.ScalerMetric
	const custom = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
	switch m.Type {
	case autoscalingv2.ResourceMetricSourceType:
		failed, c.resource = "FailedGetResourceMetric", m.Resource.Name
		out, err = c.count(&m.Resource.Target)
	case autoscalingv2.ContainerResourceMetricSourceType:
		failed, c.resource, c.container = "FailedGetContainerResourceMetric", m.ContainerResource.Name, m.ContainerResource.Container
		out, err = c.count(&m.ContainerResource.Target)
	case autoscalingv2.PodsMetricSourceType:
		failed, err = "FailedGetPodsMetric", fmt.Errorf("unable to get metric %s: %s", m.Pods.Metric.Name, custom)
	case autoscalingv2.ObjectMetricSourceType:
		d := m.Object.DescribedObject
		failed, err = "FailedGetObjectMetric", fmt.Errorf("unable to get metric %s on %s %s/%s: %s", m.Object.Metric.Name, d.Kind, namespace, d.Name, custom)
	case autoscalingv2.ExternalMetricSourceType:
		failed, err = "FailedGetExternalMetric", fmt.Errorf("unable to get external metric %s/%s/%+v: unable to fetch metrics from external metrics API: no external metrics API (external.metrics.k8s.io) registered", namespace, m.External.Metric.Name, m.External.Metric.Selector)
	default:
		failed, err = "InvalidMetricSourceType", fmt.Errorf("unknown metric source type %q", m.Type)
	}
	if err != nil {
		return events.ScalerMetric{Reason: failed, Said: err.Error()}
	}
	return out
}

// tolerance is by how much usage may be above its target, or below it.
func tolerance(s *autoscalingv2.HorizontalPodAutoscalerSpec, up bool) float64 {
	if s.Behavior == nil {
		return usualTolerance
	}
	r := s.Behavior.ScaleDown
	if up {
		r = s.Behavior.ScaleUp
	}
	if r == nil || r.Tolerance == nil {
		return usualTolerance
	}
	return r.Tolerance.AsApproximateFloat64()
}

// counting is one resource metric that is being evaluated.
type counting struct {
	current   int32
	pods      []*corev1.Pod
	of        Samples
	now       time.Time
	up, down  float64
	resource  corev1.ResourceName
	container string // empty: of the whole pod
}

// count is how many replicas would meet the target.
func (c *counting) count(t *autoscalingv2.MetricTarget) (events.ScalerMetric, error) {
	wrong := func(err error) error { return fmt.Errorf("failed to get %s utilization: %w", c.resource, err) }
	if t.AverageValue != nil {
		wrong = func(err error) error { return fmt.Errorf("failed to get %s usage: %w", c.resource, err) }
	}
	used := c.usage()
	switch {
	case len(used) == 0:
		return events.ScalerMetric{}, wrong(fmt.Errorf("unable to get metrics for resource %s: no metrics returned from resource metrics API", c.resource))
	case len(c.pods) == 0:
		return events.ScalerMetric{}, wrong(errors.New("no pods returned by selector while calculating replica count"))
	}
	g := c.group(used)
	if len(used) == 0 {
		return events.ScalerMetric{}, wrong(errors.New("did not receive metrics for targeted pods (pods might be unready)"))
	}
	var asked map[string]int64
	if t.AverageValue == nil {
		var err error
		if asked, err = c.requests(); err != nil {
			return events.ScalerMetric{}, wrong(err)
		}
	}
	r, out, err := ratio(t, used, asked)
	if err != nil {
		return out, wrong(err)
	}
	out.Replicas = c.replicas(t, g, used, asked, r)
	return out, nil
}

// replicas is Kubernetes' rule: pods that are not seen are taken to need all of their share where some would go, and nothing
// where some would come; pods that are not ready yet need nothing. What that makes of the direction is not followed.
func (c *counting) replicas(t *autoscalingv2.MetricTarget, g groups, used, asked map[string]int64, r float64) int32 {
	up := len(g.unready) > 0 && r > 1
	if !up && len(g.missing) == 0 {
		if c.within(r) {
			return c.current
		}
		return ceil(r * float64(g.ready))
	}
	for _, name := range g.missing {
		switch {
		case r < 1 && t.AverageValue != nil:
			used[name] = t.AverageValue.MilliValue()
		case r < 1:
			used[name] = asked[name] * int64(max(100, *t.AverageUtilization)) / 100
		case r > 1:
			used[name] = 0
		}
	}
	if up {
		for _, name := range g.unready {
			used[name] = 0
		}
	}
	again, _, err := ratio(t, used, asked)
	if err != nil || c.within(again) || r < 1 && again > 1 || r > 1 && again < 1 {
		return c.current
	}
	n := ceil(again * float64(len(used)))
	if again < 1 && n > c.current || again > 1 && n < c.current {
		return c.current
	}
	return n
}

func (c *counting) within(r float64) bool { return 1-c.down <= r && r <= 1+c.up }

// ceil rounds up, and is never more than any replicas can be.
func ceil(n float64) int32 { return int32(min(math.Ceil(n), math.MaxInt32)) }

// ratio is what is used by what should be, and how that is told.
func ratio(t *autoscalingv2.MetricTarget, used, asked map[string]int64) (float64, events.ScalerMetric, error) {
	var total, requested, n int64
	for name, u := range used { //stave:sorted they are added up
		if asked == nil {
			total, n = total+u, n+1
			continue
		}
		if r, ok := asked[name]; ok {
			total, requested, n = total+u, requested+r, n+1
		}
	}
	if n == 0 || asked != nil && requested == 0 {
		return 0, events.ScalerMetric{}, errors.New("no metrics returned matched known pods")
	}
	out := events.ScalerMetric{Average: total / n}
	if t.AverageValue != nil {
		return float64(out.Average) / float64(t.AverageValue.MilliValue()), out, nil
	}
	if t.AverageUtilization == nil {
		return 0, out, errors.New("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set")
	}
	percent := int32(min(total*100/requested, math.MaxInt32)) //nolint:gosec // it is bounded
	out.Utilization = &percent
	return float64(percent) / float64(*t.AverageUtilization), out, nil
}

// usage is what pods use, by name, in thousandths; those of which something is not measured have none.
func (c *counting) usage() map[string]int64 {
	out := map[string]int64{}
	for _, p := range c.pods {
		s, ok := c.of[events.UID(p.UID)]
		if !ok || len(s.Containers) == 0 {
			continue
		}
		if c.container != "" {
			if u, ok := s.Containers[c.container]; ok {
				out[p.Name] = c.amount(u)
			}
			continue
		}
		for _, u := range s.Containers { //stave:sorted they are added up
			out[p.Name] += c.amount(u)
		}
	}
	return out
}

// amount is what one container uses of the resource, in thousandths.
func (c *counting) amount(u Use) int64 {
	switch c.resource {
	case corev1.ResourceCPU:
		return u.CPU
	case corev1.ResourceMemory:
		return u.Memory * 1000
	}
	return 0
}

// groups are the pods of a target by what their figures mean.
type groups struct {
	ready            int
	unready, missing []string
}

// group takes the figures of pods out that say nothing: of those that leave, that failed, and that are not ready yet.
func (c *counting) group(used map[string]int64) groups {
	var g groups
	for _, p := range c.pods {
		_, seen := used[p.Name]
		switch {
		case p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed:
			delete(used, p.Name)
		case p.Status.Phase == corev1.PodPending:
			g.unready = append(g.unready, p.Name)
			delete(used, p.Name)
		case !seen:
			g.missing = append(g.missing, p.Name)
		case c.resource == corev1.ResourceCPU && c.begins(p):
			g.unready = append(g.unready, p.Name)
			delete(used, p.Name)
		default:
			g.ready++
		}
	}
	return g
}

// begins tells whether what CPU a pod takes is that of its start.
func (c *counting) begins(p *corev1.Pod) bool {
	var ready *corev1.PodCondition
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == corev1.PodReady {
			ready = &p.Status.Conditions[i]
		}
	}
	if ready == nil || p.Status.StartTime == nil {
		return true
	}
	not, start := ready.Status == corev1.ConditionFalse, p.Status.StartTime.Time
	if start.Add(cpuStart).After(c.now) {
		s := c.of[events.UID(p.UID)]
		return not || s.At.Before(ready.LastTransitionTime.Add(s.window()))
	}
	return not && start.Add(firstReady).After(ready.LastTransitionTime.Time)
}

// window is the longest that CPU of a pod was measured over.
func (s Sample) window() time.Duration {
	var w time.Duration
	for _, u := range s.Containers { //stave:sorted the longest is the longest
		w = max(w, u.Window)
	}
	return w
}

// requests are what pods ask for of the resource, by name, in thousandths.
func (c *counting) requests() (map[string]int64, error) {
	out := map[string]int64{}
	for _, p := range c.pods {
		n, err := c.request(p)
		if err != nil {
			return nil, err
		}
		out[p.Name] = n
	}
	return out, nil
}

func (c *counting) request(p *corev1.Pod) (int64, error) {
	if r := p.Spec.Resources; c.container == "" && r != nil && len(r.Requests) > 0 {
		if q, ok := r.Requests[c.resource]; ok {
			return q.MilliValue(), nil
		}
		return 0, fmt.Errorf("missing pod-level request for %s in Pod %s", c.resource, p.Name)
	}
	total, found := int64(0), false
	all := append([]corev1.Container(nil), p.Spec.Containers...)
	for i := range p.Spec.InitContainers {
		if projections.Sidecar(&p.Spec.InitContainers[i]) {
			all = append(all, p.Spec.InitContainers[i])
		}
	}
	for i := range all {
		if c.container != "" && c.container != all[i].Name {
			continue
		}
		q, ok := all[i].Resources.Requests[c.resource]
		if !ok {
			return 0, fmt.Errorf("missing request for %s in container %s of Pod %s", c.resource, all[i].Name, p.Name)
		}
		total, found = total+q.MilliValue(), true
	}
	if !found && c.container != "" {
		return 0, fmt.Errorf("container %s not found in Pod %s", c.container, p.Name)
	}
	return total, nil
}

// Report is what is appended of what was measured for an autoscaler: nothing when that has changed since, or was measured by somebody else.
func Report(v reconcilers.View, o *projections.Object, m events.ScalerMeasured) []reconcilers.Draft {
	now, ok := v.Get(o.Key)
	if !ok || now.UID != o.UID || now.Deletion != nil || now.Generation != o.Generation || lastMeasured(now) != lastMeasured(o) {
		return nil // it is measured anew
	}
	return []reconcilers.Draft{reconcilers.Report(o.Key, events.ScalerReported{UID: o.UID, Measured: &m})}
}

// lastMeasured is the event in which an autoscaler's figures were reported last.
func lastMeasured(o *projections.Object) events.Seq {
	if o.Scaler == nil {
		return 0
	}
	return o.Scaler.Mark.Seq
}
