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

// copied is one ConfigMap or Secret as a revision ran with it, under a name of its own.
type copied struct {
	resource events.Resource
	name, of string
	at       events.Seq
	raw      json.RawMessage
}

// configOf asks what a revision ran with. Where that is no longer what the
// cluster holds, the template is led to a copy.
func (s *session) configOf(ctx context.Context, k events.Key, r revision, template *corev1.PodTemplateSpec) ([]copied, error) {
	reply, err := ask[wire.RevisionReply](ctx, s, wire.VerbRevision, wire.RevisionRequest{
		Set: events.Key{Resource: rollouts[k.Resource].revisions, Namespace: k.Namespace, Name: r.kept.GetName()}})
	if err == nil {
		err = refused(reply.Error)
	}
	if err != nil {
		return nil, err
	}
	if h := reply.Horizon; h != nil && len(projections.ConfigOf(&template.Spec)) > 0 {
		fmt.Fprintf(s.err, "warning: the ConfigMaps and Secrets of that revision stay as they are now: %s\n", h)
	}
	var out []copied
	names := map[projections.Mention]string{}
	for _, c := range reply.Configs {
		if c.Lost {
			fmt.Fprintf(s.err, "warning: secret/%s stays as it is: the key of what the revision ran with is destroyed\n", c.Name)
			continue
		}
		m, err := asCopy(c, k.Namespace, reply.Seq)
		if err != nil {
			return nil, err
		}
		names[projections.Mention{Resource: c.Resource, Name: c.Name}] = m.name
		out = append(out, m)
	}
	rename(&template.Spec, names)
	return out, nil
}

// hashed is how much of a hash a copy's name ends in: as much as a ReplicaSet's has.
const hashed = 10

// asCopy makes the copy: the same content gets the same name, so that going back
// to it twice makes one. What was a copy then becomes the same one again.
func asCopy(c wire.RevisedConfig, namespace string, at events.Seq) (copied, error) {
	next, suffix, err := content(c)
	if err != nil {
		return copied{}, fmt.Errorf("copy %s %s: %w", c.Resource, c.Name, err)
	}
	of := strings.TrimSuffix(c.Name, "-"+suffix)
	next.SetNamespace(namespace)
	next.SetName(of[:min(len(of), maxName-hashed-1)] + "-" + suffix)
	next.SetLabels(map[string]string{projections.CopyOf: strings.Trim(of[:min(len(of), maxLabel)], "-._")})
	raw, err := json.Marshal(next)
	if err != nil {
		return copied{}, fmt.Errorf("encode %s %s: %w", c.Resource, next.GetName(), err)
	}
	return copied{c.Resource, next.GetName(), of, at, raw}, nil
}

// content is an immutable object with the content of what was, and what a copy's
// name ends in: a hash of the content. A Secret's is of where the content stands in
// the log: one of the content itself would help to guess it.
func content(c wire.RevisedConfig) (next events.Object, suffix string, err error) {
	if c.Resource == events.Secrets {
		var was corev1.Secret
		if err := json.Unmarshal(c.Then, &was); err != nil {
			return nil, "", err
		}
		next := &corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, Data: was.Data, Type: was.Type, Immutable: new(true)}
		if was.Labels[projections.CopyOf] != "" && len(was.Name) > hashed {
			return next, was.Name[len(was.Name)-hashed:], nil
		}
		return next, suffixOf([]byte(string(was.UID) + was.ResourceVersion)), nil
	}
	var was corev1.ConfigMap
	if err := json.Unmarshal(c.Then, &was); err != nil {
		return nil, "", err
	}
	all, err := json.Marshal([]any{was.Data, was.BinaryData})
	if err != nil {
		return nil, "", err
	}
	return &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Data: was.Data, BinaryData: was.BinaryData, Immutable: new(true)}, suffixOf(all), nil
}

func suffixOf(content []byte) string {
	return events.SafeEncode(string(events.HashOf(content))[:hashed])
}

// The longest value of a label and the longest name of an object.
const (
	maxLabel = 63
	maxName  = 253
)

// rename leads every mention of a ConfigMap or Secret to its copy.
func rename(spec *corev1.PodSpec, names map[projections.Mention]string) {
	lead := func(r events.Resource, name *string) {
		if to, ok := names[projections.Mention{Resource: r, Name: *name}]; ok {
			*name = to
		}
	}
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			renameIn(&list[i], lead)
		}
	}
	for i := range spec.Volumes {
		renameVolume(&spec.Volumes[i], lead)
	}
}

func renameIn(c *corev1.Container, lead func(events.Resource, *string)) {
	for j := range c.EnvFrom {
		if ref := c.EnvFrom[j].ConfigMapRef; ref != nil {
			lead(events.ConfigMaps, &ref.Name)
		}
		if ref := c.EnvFrom[j].SecretRef; ref != nil {
			lead(events.Secrets, &ref.Name)
		}
	}
	for j := range c.Env {
		from := c.Env[j].ValueFrom
		if from != nil && from.ConfigMapKeyRef != nil {
			lead(events.ConfigMaps, &from.ConfigMapKeyRef.Name)
		}
		if from != nil && from.SecretKeyRef != nil {
			lead(events.Secrets, &from.SecretKeyRef.Name)
		}
	}
}

func renameVolume(v *corev1.Volume, lead func(events.Resource, *string)) {
	if c := v.ConfigMap; c != nil {
		lead(events.ConfigMaps, &c.Name)
	}
	if c := v.Secret; c != nil {
		lead(events.Secrets, &c.SecretName)
	}
	if v.Projected == nil {
		return
	}
	for j := range v.Projected.Sources {
		if c := v.Projected.Sources[j].ConfigMap; c != nil {
			lead(events.ConfigMaps, &c.Name)
		}
		if c := v.Projected.Sources[j].Secret; c != nil {
			lead(events.Secrets, &c.Name)
		}
	}
}
