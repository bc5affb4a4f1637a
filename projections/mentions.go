package projections

import (
	"bytes"
	"iter"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// Mention is a ConfigMap or Secret that a pod's spec names.
type Mention struct {
	Resource events.Resource // ConfigMaps or Secrets
	Name     string
}

// Key is the object that is meant in a pod's namespace.
func (m Mention) Key(namespace string) events.Key {
	return events.Key{Resource: m.Resource, Namespace: namespace, Name: m.Name}
}

// ConfigOf are the ConfigMaps and Secrets that a pod's spec mentions, each once,
// in the order in which the spec does.
func ConfigOf(spec *corev1.PodSpec) []Mention {
	var out []Mention
	for m := range mentions(spec) {
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

// Mentions are the ConfigMaps and Secrets that a pod, or the pods of a workload,
// mention.
func Mentions(o *Object) []Mention {
	if o.Key.Resource == events.Pods {
		return ConfigOf(o.PodSpec())
	}
	switch x := o.Typed().(type) {
	case *appsv1.ReplicaSet:
		return ConfigOf(&x.Spec.Template.Spec)
	case *appsv1.Deployment:
		return ConfigOf(&x.Spec.Template.Spec)
	case *appsv1.StatefulSet:
		return ConfigOf(&x.Spec.Template.Spec)
	case *appsv1.DaemonSet:
		return ConfigOf(&x.Spec.Template.Spec)
	case *appsv1.ControllerRevision:
		if t, err := HeldTemplate(x); err == nil && t != nil {
			return ConfigOf(&t.Spec)
		}
	case *corev1.ReplicationController:
		return ConfigOf(&x.Spec.Template.Spec)
	case *batchv1.CronJob:
		return ConfigOf(&x.Spec.JobTemplate.Spec.Template.Spec)
	case *batchv1.Job:
		return ConfigOf(&x.Spec.Template.Spec)
	}
	return nil
}

// CopyOf is the label of a ConfigMap or Secret that a rollback made: which one it
// is a copy of. Copies are immutable, and go when no revision mentions them.
const CopyOf = "stave.run/copy-of"

// IsCopy tells whether an object is one that a rollback made. It looks at the
// bytes first: most are none, and some are large.
func IsCopy(o *Object) bool {
	if !bytes.Contains(o.Raw, []byte(CopyOf)) {
		return false
	}
	var immutable *bool
	switch x := o.Typed().(type) {
	case *corev1.ConfigMap:
		immutable = x.Immutable
	case *corev1.Secret:
		immutable = x.Immutable
	}
	return o.Typed().GetLabels()[CopyOf] != "" && immutable != nil && *immutable
}

// mentions walks the ConfigMaps and Secrets that a pod's spec mentions; one may
// come more than once.
func mentions(spec *corev1.PodSpec) iter.Seq[Mention] {
	return func(yield func(Mention) bool) {
		for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
			for i := range list {
				if !containerMentions(&list[i], yield) {
					return
				}
			}
		}
		for c := range Ephemeral(spec) {
			if !containerMentions(c, yield) {
				return
			}
		}
		for i := range spec.Volumes {
			if !volumeMentions(&spec.Volumes[i], yield) {
				return
			}
		}
		for _, s := range spec.ImagePullSecrets {
			if !yield(Mention{events.Secrets, s.Name}) {
				return
			}
		}
	}
}

func containerMentions(c *corev1.Container, yield func(Mention) bool) bool {
	for _, from := range c.EnvFrom {
		if r := from.ConfigMapRef; r != nil && !yield(Mention{events.ConfigMaps, r.Name}) {
			return false
		}
		if r := from.SecretRef; r != nil && !yield(Mention{events.Secrets, r.Name}) {
			return false
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom == nil {
			continue
		}
		if r := e.ValueFrom.ConfigMapKeyRef; r != nil && !yield(Mention{events.ConfigMaps, r.Name}) {
			return false
		}
		if r := e.ValueFrom.SecretKeyRef; r != nil && !yield(Mention{events.Secrets, r.Name}) {
			return false
		}
	}
	return true
}

func volumeMentions(v *corev1.Volume, yield func(Mention) bool) bool {
	if v.ConfigMap != nil && !yield(Mention{events.ConfigMaps, v.ConfigMap.Name}) || v.Secret != nil && !yield(Mention{events.Secrets, v.Secret.SecretName}) {
		return false
	}
	if v.Projected == nil {
		return true
	}
	for _, src := range v.Projected.Sources {
		if src.ConfigMap != nil && !yield(Mention{events.ConfigMaps, src.ConfigMap.Name}) || src.Secret != nil && !yield(Mention{events.Secrets, src.Secret.Name}) {
			return false
		}
	}
	return true
}

// fillConfig gives a node's row the content of what the pod mentions, as far as
// it exists. The row is as new as the newest of it.
func (s State) fillConfig(d *DesiredPod) {
	for m := range mentions(&d.Pod.Spec) {
		o, ok := s.Get(m.Key(d.Pod.Namespace))
		if !ok {
			continue
		}
		d.Position = max(d.Position, o.Position)
		if m.Resource == events.Secrets {
			if d.Secrets == nil {
				d.Secrets = map[string]SecretData{}
			}
			d.Secrets[m.Name] = SecretData{Data: As[*corev1.Secret](o).Data, Position: o.Position}
			continue
		}
		if d.ConfigMaps == nil {
			d.ConfigMaps = map[string]ConfigData{}
		}
		v := As[*corev1.ConfigMap](o)
		d.ConfigMaps[m.Name] = ConfigData{Data: v.Data, BinaryData: v.BinaryData, Position: o.Position}
	}
}

// mentioning walks the assigned pods whose spec mentions a ConfigMap or Secret.
func (s State) mentioning(k events.Key) iter.Seq[*Pod] {
	want := Mention{k.Resource, k.Name}
	return func(yield func(*Pod) bool) {
		for o := range s.List(events.Pods, k.Namespace) {
			p, ok := s.PodOf(o.Key)
			if !ok || p.Node == "" {
				continue
			}
			for m := range mentions(s.withPullSecrets(o, o.PodSpec())) {
				if m == want {
					if !yield(p) {
						return
					}
					break
				}
			}
		}
	}
}
