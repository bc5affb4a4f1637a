package projections

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
)

// The bounds of what an autoscaler remembers: Kubernetes' longest window, and so many changes.
const (
	scalerMemory = time.Hour
	scalerWishes = 512
)

// Scaler is what the row of a HorizontalPodAutoscaler remembers. It is immutable.
type Scaler struct {
	Measured *events.ScalerMeasured // the last one; nil before the first
	Mark     Mark                   // when that was
	// Wishes are the replicas that metrics asked for, oldest first, each until the next one:
	// what is not reported has not changed. One that could not say is no wish, and ends the one before.
	Wishes []Wished
	Scales []Rescaled // oldest first
}

// Wished is how many replicas metrics asked for from a time on; -1 when they could not say.
type Wished struct {
	At       time.Time
	Replicas int32
}

// Rescaled is one change of replicas.
type Rescaled struct {
	At       time.Time
	From, To int32
}

// scalerReported folds what was measured for an autoscaler, and how it scaled.
func (f *folding) scalerReported(k events.Key) {
	b, ok := body[events.ScalerReported](f)
	if !ok {
		return
	}
	if _, ok := f.life(k, b.UID); !ok {
		return
	}
	f.touch(k, func(o *Object) {
		s := Scaler{}
		if o.Scaler != nil {
			s = *o.Scaler
		}
		at := f.e.Time
		if m := b.Measured; m != nil {
			s.Wishes = slices.Clone(s.Wishes)
			if s.Measured == nil { // what was there before counts as wished, as in Kubernetes
				s.Wishes = append(s.Wishes, Wished{at, m.Current})
			}
			if n := len(s.Wishes); n == 0 || s.Wishes[n-1].Replicas != m.Replicas || s.Measured == nil {
				s.Wishes = append(s.Wishes, Wished{at, m.Replicas})
			}
			for len(s.Wishes) > 1 && (at.Sub(s.Wishes[1].At) > scalerMemory || len(s.Wishes) > scalerWishes) {
				s.Wishes = s.Wishes[1:]
			}
			s.Measured, s.Mark = m, f.mark()
		}
		if c := b.Scaled; c != nil {
			s.Scales = append(slices.Clone(s.Scales), Rescaled{at, c.From, c.To})
			for at.Sub(s.Scales[0].At) > scalerMemory || len(s.Scales) > scalerWishes {
				s.Scales = s.Scales[1:]
			}
		}
		o.Scaler = &s
	})
}

// Scale is how many replicas a workload has and wants, and which pods they are.
type Scale struct {
	Object   *Object
	Wanted   int32
	Selector labels.Selector
	Text     string   // the selector as text; empty when there is none
	path     []string // of the wanted number, where it is elsewhere than in Kubernetes' own kinds
}

// Path is where the object says how many replicas it wants.
func (s Scale) Path() []string {
	if s.path == nil {
		return []string{"spec", "replicas"}
	}
	return s.path
}

// ScaleTarget is the object that an autoscaler names, whether it is there or not.
func (s State) ScaleTarget(namespace string, ref *autoscalingv2.CrossVersionObjectReference) (events.Key, error) {
	group, _, ok := strings.Cut(ref.APIVersion, "/")
	if !ok {
		group = ""
	}
	for _, k := range s.Kinds().All() {
		if k.Name == ref.Kind && k.Group == group && k.Namespaced {
			return events.Key{Resource: k.Resource, Namespace: namespace, Name: ref.Name}, nil
		}
	}
	return events.Key{}, fmt.Errorf("no matches for kind %q in group %q", ref.Kind, group)
}

// ScaleOf is the scale of the object that an autoscaler names, with an error in Kubernetes' words.
func (s State) ScaleOf(namespace string, ref *autoscalingv2.CrossVersionObjectReference) (Scale, error) {
	k, err := s.ScaleTarget(namespace, ref)
	if err != nil {
		return Scale{}, err
	}
	o, ok := s.Get(k)
	if !ok {
		return Scale{}, fmt.Errorf("%s %q not found", k.Resource, k.Name)
	}
	out := Scale{Object: o, Wanted: 1}
	var wanted *int32
	var selector *metav1.LabelSelector
	switch v := o.Typed().(type) {
	case *appsv1.Deployment:
		wanted, selector = v.Spec.Replicas, v.Spec.Selector
	case *appsv1.ReplicaSet:
		wanted, selector = v.Spec.Replicas, v.Spec.Selector
	case *appsv1.StatefulSet:
		wanted, selector = v.Spec.Replicas, v.Spec.Selector
	case *corev1.ReplicationController:
		wanted, selector = v.Spec.Replicas, metav1.SetAsLabelSelector(v.Spec.Selector)
	case *unstructured.Unstructured:
		return out, s.customScale(&out, v)
	default:
		return Scale{}, errors.New("the server could not find the requested resource")
	}
	if wanted != nil {
		out.Wanted = *wanted
	}
	sel, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return Scale{}, fmt.Errorf("read selector of %s: %w", k, err)
	}
	out.Selector, out.Text = sel, sel.String()
	return out, nil
}

// customScale reads the scale of an object as its definition says where it is, in the version that is kept.
func (s State) customScale(out *Scale, u *unstructured.Unstructured) error {
	row, ok := s.Definition(out.Object.Key.Resource)
	if !ok {
		return errors.New("the server could not find the requested resource")
	}
	at := scaleIn(As[*apiextensionsv1.CustomResourceDefinition](row), u.GroupVersionKind().Version)
	if at == nil {
		return errors.New("the server could not find the requested resource")
	}
	steps := func(path string) []string { return strings.Split(strings.TrimPrefix(path, "."), ".") }
	out.path = steps(at.SpecReplicasPath)
	n, _, err := unstructured.NestedInt64(u.Object, out.path...)
	if err != nil {
		return fmt.Errorf("read replicas of %s: %w", out.Object.Key, err)
	}
	out.Wanted = int32(n) //nolint:gosec // its schema bounds it
	if at.LabelSelectorPath == nil {
		return nil
	}
	whole := map[string]any{"status": u.Object["status"], "spec": u.Object["spec"]}
	if len(out.Object.Status) > 0 {
		var status map[string]any
		if json.Unmarshal(out.Object.Status, &status) == nil {
			whole["status"] = status
		}
	}
	if out.Text, _, err = unstructured.NestedString(whole, steps(*at.LabelSelectorPath)...); err != nil {
		return fmt.Errorf("read selector of %s: %w", out.Object.Key, err)
	}
	if out.Selector, err = labels.Parse(out.Text); err != nil {
		return fmt.Errorf("couldn't convert selector into a corresponding internal selector object: %w", err)
	}
	return nil
}

func scaleIn(d *apiextensionsv1.CustomResourceDefinition, version string) *apiextensionsv1.CustomResourceSubresourceScale {
	for _, v := range d.Spec.Versions {
		if v.Name == version && v.Subresources != nil {
			return v.Subresources.Scale
		}
	}
	return nil
}
