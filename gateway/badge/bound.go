package badge

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Current says why a token is good no more: its account is gone, or what it is
// bound to.
func Current(v projections.State, c Claims) error {
	b := c.Bound
	for _, x := range []struct {
		resource  events.Resource
		namespace string
		named     *Named
	}{{events.Accounts, b.Namespace, &b.Account}, {events.Pods, b.Namespace, b.Pod}, {events.Secrets, b.Namespace, b.Secret}, {events.Nodes, "", b.Node}} {
		if x.named == nil {
			continue
		}
		o, ok := v.Get(events.Key{Resource: x.resource, Namespace: x.namespace, Name: x.named.Name})
		if !ok || o.UID != x.named.UID {
			return fmt.Errorf("%s %q, which it is bound to, is gone", x.resource, x.named.Name)
		}
	}
	return nil
}

// BindPod is what the tokens of a pod are bound to: its account, itself and its
// node.
func BindPod(v projections.State, pod *projections.Object) (Bound, error) {
	account, err := accountOf(v, pod)
	if err != nil {
		return Bound{}, err
	}
	b := Bound{Namespace: pod.Key.Namespace, Account: account, Pod: &Named{pod.Key.Name, pod.UID}}
	if p, ok := v.PodOf(pod.Key); ok && p.Node != "" {
		if o, ok := v.Get(events.Key{Resource: events.Nodes, Name: p.Node}); ok {
			b.Node = &Named{p.Node, o.UID}
		}
	}
	return b, nil
}

func accountOf(v projections.State, pod *projections.Object) (Named, error) {
	k := events.Key{Resource: events.Accounts, Namespace: pod.Key.Namespace, Name: projections.AccountOf(pod.PodSpec())}
	o, ok := v.Get(k)
	if !ok {
		return Named{}, fmt.Errorf("serviceaccounts %q not found", k.Name)
	}
	return Named{k.Name, o.UID}, nil
}

// Mounted are the tokens that a pod's volumes ask for, with their place.
func Mounted(pod *corev1.Pod) map[projections.TokenFile]corev1.ServiceAccountTokenProjection {
	out := map[projections.TokenFile]corev1.ServiceAccountTokenProjection{}
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if t := s.ServiceAccountToken; t != nil {
				out[projections.TokenFile{Volume: v.Name, Path: t.Path}] = *t
			}
		}
	}
	return out
}
