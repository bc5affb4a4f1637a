package kube

import (
	"errors"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
)

// hubOf is the version that a kind's objects have in this room: the one that is kept. The handlers bring what clients send
// into it, and what is answered into the version that was asked for.
func hubOf(k events.Kind, served schema.GroupVersionKind) schema.GroupVersion {
	if kept, ok := events.KindOf(k.Resource); ok && served == k.GVK() {
		return kept.GVK().GroupVersion()
	}
	return served.GroupVersion()
}

// converting is one way from a version to another.
func converting[A, B any](f func(*A) *B) conversion.ConversionFunc {
	return func(a, b any, _ conversion.Scope) error {
		in, ok := a.(*A)
		out, is := b.(*B)
		if !ok || !is {
			return errors.New("not what is converted")
		}
		*out = *f(in)
		return nil
	}
}

// addOlder teaches a scheme to convert what is served in a version that is not kept.
func addOlder(s *runtime.Scheme) error {
	type (
		one = autoscalingv1.HorizontalPodAutoscaler
		two = autoscalingv2.HorizontalPodAutoscaler
	)
	return errors.Join(
		s.AddConversionFunc((*one)(nil), (*two)(nil), converting(manifest.AutoscalerFromV1)),
		s.AddConversionFunc((*two)(nil), (*one)(nil), converting(manifest.AutoscalerToV1)),
		s.AddConversionFunc((*autoscalingv1.HorizontalPodAutoscalerList)(nil), (*autoscalingv2.HorizontalPodAutoscalerList)(nil), converting(func(in *autoscalingv1.HorizontalPodAutoscalerList) *autoscalingv2.HorizontalPodAutoscalerList {
			out := &autoscalingv2.HorizontalPodAutoscalerList{ListMeta: in.ListMeta}
			for i := range in.Items {
				out.Items = append(out.Items, *manifest.AutoscalerFromV1(&in.Items[i]))
			}
			return out
		})),
		s.AddConversionFunc((*autoscalingv2.HorizontalPodAutoscalerList)(nil), (*autoscalingv1.HorizontalPodAutoscalerList)(nil), converting(func(in *autoscalingv2.HorizontalPodAutoscalerList) *autoscalingv1.HorizontalPodAutoscalerList {
			out := &autoscalingv1.HorizontalPodAutoscalerList{ListMeta: in.ListMeta, Items: []autoscalingv1.HorizontalPodAutoscaler{}}
			for i := range in.Items {
				x := *manifest.AutoscalerToV1(&in.Items[i])
				x.APIVersion, x.Kind = "", "" // items of a list have none
				out.Items = append(out.Items, x)
			}
			return out
		})),
	)
}
