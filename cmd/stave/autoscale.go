package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// autoscaleCmd is `stave autoscale`.
type autoscaleCmd struct {
	changeFlags
	files
	Name       string   `help:"The autoscaler's name; the workload's when not given." placeholder:"NAME"`
	Min        int32    `help:"The fewest replicas; 1 when not given." default:"-1" placeholder:"N"`
	Max        int32    `help:"The most replicas." default:"-1" placeholder:"N"`
	CPU        string   `name:"cpu" help:"What each pod should use: 70% of its request, or 500m." placeholder:"SHARE"`
	CPUPercent int32    `name:"cpu-percent" help:"The same as a percentage; kubectl's old name for --cpu." default:"-1" placeholder:"N"`
	Memory     string   `help:"What each pod should use: 60% of its request, or 200Mi." placeholder:"SHARE"`
	What       []string `arg:"" optional:"" help:"TYPE/NAME, or TYPE NAME: a deployment, statefulset, replicaset or replicationcontroller."`
}

// Help implements kong's detailed help.
func (autoscaleCmd) Help() string {
	return `Examples:
  stave autoscale deployment/web --min=2 --max=10 --cpu=50%
  stave autoscale deploy web --max=5
  stave autoscale statefulset/db --max=3 --memory=500Mi`
}

// Run makes an autoscaler for each workload.
func (c *autoscaleCmd) Run(ctx context.Context, s *session) error {
	switch {
	case c.Max < 1:
		return errors.New("--max=MAXPODS is required and must be at least 1")
	case c.Max < c.Min:
		return fmt.Errorf("--max=MAXPODS must be larger or equal to --min=MINPODS, max: %d, min: %d", c.Max, c.Min)
	case c.CPU != "" && c.CPUPercent >= 0:
		return errors.New("--cpu and --cpu-percent say the same: give one of them")
	}
	if c.CPUPercent >= 0 {
		c.CPU = strconv.Itoa(int(c.CPUPercent)) + "%"
	}
	return making{changeFlags: c.changeFlags, files: c.files, what: c.What, resource: events.Autoscalers, outcome: "autoscaled", of: c.autoscaler}.run(ctx, s)
}

func (c *autoscaleCmd) autoscaler(o events.Object, k events.Key) (events.Object, error) {
	name := c.Name
	if name == "" {
		name = k.Name
	}
	of := o.GetObjectKind().GroupVersionKind()
	h := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: k.Namespace}}
	h.Spec = autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: c.Max, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: of.GroupVersion().String(), Kind: of.Kind, Name: k.Name}}
	if c.Min > 0 {
		h.Spec.MinReplicas = &c.Min
	}
	for _, m := range []struct {
		name        corev1.ResourceName
		share, unit string
	}{{corev1.ResourceCPU, c.CPU, "m"}, {corev1.ResourceMemory, c.Memory, "Mi"}} {
		if m.share == "" {
			continue
		}
		t, err := shareOf(m.name, m.share, m.unit)
		if err != nil {
			return nil, err
		}
		h.Spec.Metrics = append(h.Spec.Metrics, autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: m.name, Target: t}})
	}
	return h, nil
}

// shareOf reads "70%" as a part of what is requested, and "500m", or 500 of a unit, as an amount.
func shareOf(name corev1.ResourceName, text, unit string) (autoscalingv2.MetricTarget, error) {
	if digits, ok := strings.CutSuffix(text, "%"); ok {
		n, err := strconv.ParseInt(digits, 10, 32)
		if err != nil || n < 0 {
			return autoscalingv2.MetricTarget{}, fmt.Errorf("invalid percentage value: %s", digits)
		}
		percent := int32(n)
		return autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent}, nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		text += unit
	}
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return autoscalingv2.MetricTarget{}, fmt.Errorf("invalid resource %s value: %s", name, text)
	}
	return autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &q}, nil
}
