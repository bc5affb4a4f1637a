package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// copied is one ConfigMap as a revision ran with it, under a name of its own.
type copied struct {
	name, of string
	at       events.Seq
	raw      json.RawMessage
}

// configOf asks what a revision ran with. Where that is no longer what the
// cluster holds, the template is led to a copy.
func (s *session) configOf(ctx context.Context, k events.Key, r revision, template *corev1.PodTemplateSpec) ([]copied, error) {
	reply, err := ask[wire.RevisionReply](ctx, s, wire.VerbRevision, wire.RevisionRequest{
		Set: events.Key{Resource: events.ReplicaSets, Namespace: k.Namespace, Name: r.set.Name}})
	if err == nil {
		err = refused(reply.Error)
	}
	if err != nil {
		return nil, err
	}
	if h := reply.Horizon; h != nil && len(projections.ConfigMapsOf(&template.Spec)) > 0 {
		fmt.Fprintf(s.err, "warning: the ConfigMaps of that revision stay as they are now: %s\n", h)
	}
	var out []copied
	names := map[string]string{}
	for _, c := range reply.Configs {
		m, err := asCopy(c, k.Namespace, reply.Seq)
		if err != nil {
			return nil, err
		}
		names[c.Name] = m.name
		out = append(out, m)
	}
	rename(&template.Spec, names)
	return out, nil
}

// hashed is how much of the content's hash a copy's name ends in: as much as a
// ReplicaSet's has.
const hashed = 10

// asCopy makes the copy: the same content gets the same name, so that going back
// to it twice makes one.
func asCopy(c wire.RevisedConfig, namespace string, at events.Seq) (copied, error) {
	var was corev1.ConfigMap
	if err := json.Unmarshal(c.Then, &was); err != nil {
		return copied{}, fmt.Errorf("decode configmap %s: %w", c.Name, err)
	}
	content, err := json.Marshal([]any{was.Data, was.BinaryData})
	if err != nil {
		return copied{}, fmt.Errorf("hash configmap %s: %w", c.Name, err)
	}
	hash := events.SafeEncode(string(events.HashOf(content))[:hashed])
	next := corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Data: was.Data, BinaryData: was.BinaryData, Immutable: new(true)}
	of := strings.TrimSuffix(c.Name, "-"+hash) // it may have been a copy then
	next.Namespace, next.Name = namespace, of[:min(len(of), maxName-hashed-1)]+"-"+hash
	next.Labels = map[string]string{projections.CopyOf: strings.Trim(of[:min(len(of), maxLabel)], "-._")}
	raw, err := json.Marshal(&next)
	if err != nil {
		return copied{}, fmt.Errorf("encode configmap %s: %w", next.Name, err)
	}
	return copied{next.Name, of, at, raw}, nil
}

// The longest value of a label and the longest name of an object.
const (
	maxLabel = 63
	maxName  = 253
)

// rename leads every mention of a ConfigMap to its copy.
func rename(spec *corev1.PodSpec, names map[string]string) {
	lead := func(name *string) {
		if to, ok := names[*name]; ok {
			*name = to
		}
	}
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			for j := range list[i].EnvFrom {
				if ref := list[i].EnvFrom[j].ConfigMapRef; ref != nil {
					lead(&ref.Name)
				}
			}
			for j := range list[i].Env {
				if from := list[i].Env[j].ValueFrom; from != nil && from.ConfigMapKeyRef != nil {
					lead(&from.ConfigMapKeyRef.Name)
				}
			}
		}
	}
	for i := range spec.Volumes {
		if c := spec.Volumes[i].ConfigMap; c != nil {
			lead(&c.Name)
		}
		if spec.Volumes[i].Projected == nil {
			continue
		}
		for j := range spec.Volumes[i].Projected.Sources {
			if c := spec.Volumes[i].Projected.Sources[j].ConfigMap; c != nil {
				lead(&c.Name)
			}
		}
	}
}
