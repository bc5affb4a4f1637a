package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// podOf finds the pod that an argument means: itself, or the first one of a workload.
func (s *session) podOf(ctx context.Context, arg string) (*corev1.Pod, error) {
	kind, name, err := oneTarget(arg, "pod")
	if err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	k := s.key(kind, name)
	if kind.Resource == events.Pods {
		return readOne[*corev1.Pod](ctx, s, k)
	}
	selector, err := s.selectorOf(ctx, k)
	if err != nil {
		return nil, err
	}
	return s.firstPod(ctx, k, selector)
}

// selectorOf reads which pods an object means: by the label selector of a
// workload, or by the plain one of a service or ReplicationController.
func (s *session) selectorOf(ctx context.Context, k events.Key) (labels.Selector, error) {
	reply, err := s.read(ctx, wire.ReadRequest{Resource: k.Resource, Namespace: k.Namespace, Names: []string{k.Name}})
	if err != nil {
		return nil, err
	}
	if len(reply.Objects) == 0 {
		return nil, notFound(k)
	}
	var o struct {
		Spec struct {
			Selector json.RawMessage `json:"selector"`
		} `json:"spec"`
	}
	var matching metav1.LabelSelector
	var plain map[string]string
	if err := json.Unmarshal(reply.Objects[0], &o); err != nil {
		return nil, fmt.Errorf("decode %s: %w", k, err)
	}
	switch {
	case len(o.Spec.Selector) == 0:
		return nil, fmt.Errorf("%s selects no pods\nhelp: name a pod or a deployment", shortName(k))
	case (k.Resource == events.Services || k.Resource == events.Controllers) && json.Unmarshal(o.Spec.Selector, &plain) == nil:
		return labels.SelectorFromSet(plain), nil
	}
	if err := json.Unmarshal(o.Spec.Selector, &matching); err != nil {
		return nil, fmt.Errorf("read selector of %s: %w", k, err)
	}
	selector, err := metav1.LabelSelectorAsSelector(&matching)
	if err != nil {
		return nil, fmt.Errorf("read selector of %s: %w", k, err)
	}
	return selector, nil
}

func (s *session) firstPod(ctx context.Context, k events.Key, selector labels.Selector) (*corev1.Pod, error) {
	pods, err := s.podsMatching(ctx, k.Namespace, selector)
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("%s has no pods\nhelp: stave why %s%s", printedName(k), shortName(k), s.dashN(k))
	}
	// A running one says more than one that waits.
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int {
		return boolInt(b.Status.Phase == corev1.PodRunning) - boolInt(a.Status.Phase == corev1.PodRunning)
	})
	if len(pods) > 1 {
		fmt.Fprintf(s.err, "Found %d pods, using pod/%s\n", len(pods), pods[0].Name)
	}
	return pods[0], nil
}

func (s *session) podsMatching(ctx context.Context, namespace string, sel labels.Selector) ([]*corev1.Pod, error) {
	reply, err := s.read(ctx, wire.ReadRequest{Resource: events.Pods, Namespace: namespace, LabelSelector: sel.String()})
	if err != nil {
		return nil, err
	}
	objects, err := decodeAll(reply.Objects)
	if err != nil {
		return nil, err
	}
	var pods []*corev1.Pod
	for _, o := range objects {
		pods = append(pods, o.(*corev1.Pod))
	}
	return pods, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
