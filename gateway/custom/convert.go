package custom

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/projections"
)

// ErrUnasked is an object that only a webhook brings into another version, where
// none was asked.
var ErrUnasked = errors.New("its conversion webhook was not asked")

// Converter asks whoever converts the objects of a definition.
type Converter interface {
	// Convert is objects in another version, in their order; what it is given stays
	// as it is. Its error is told to clients as it is.
	Convert(ctx context.Context, d *Definition, objects []*unstructured.Unstructured, version string) ([]*unstructured.Unstructured, error)
}

// Converts tells whether a webhook brings objects from one version to another.
func (d *Definition) Converts() bool {
	return d != nil && d.Spec.Conversion != nil && d.Spec.Conversion.Strategy == apiextensionsv1.WebhookConverter
}

// Bring is In for many objects: those that only a webhook can bring there are told
// to it all at once.
func (d *Definition) Bring(ctx context.Context, c Converter, objects []*unstructured.Unstructured, version string) error {
	var strangers []*unstructured.Unstructured
	for _, o := range objects {
		if d.strange(o, version) {
			strangers = append(strangers, o)
		} else if err := d.In(o, version); err != nil {
			return err
		}
	}
	if len(strangers) == 0 {
		return nil
	}
	if c == nil {
		return ErrUnasked
	}
	converted, err := c.Convert(ctx, d, strangers, version)
	if err != nil {
		return err
	}
	for i, o := range strangers {
		o.Object = converted[i].Object
		if _, err := d.Shape(o); err != nil {
			return err
		}
	}
	return nil
}

// strange tells whether only a webhook can bring an object into a version.
func (d *Definition) strange(o *unstructured.Unstructured, version string) bool {
	return d.Converts() && o.GroupVersionKind().Version != version
}

// Asking is the rules for one request, with what webhooks have answered so far.
// Admission waits for nobody: where it needs an answer that is not there it refuses,
// the question is written down, and whoever carries the request asks and has it
// admitted anew. So what is admitted is a function of the log and of the answers.
type Asking struct {
	*Schemas
	converter Converter

	mu    sync.Mutex
	known map[question]*unstructured.Unstructured
	open  map[question]*unstructured.Unstructured
}

// question is an object, by its content, that is wanted in another version.
type question struct {
	of      *Definition
	version string
	content [sha256.Size]byte
}

var _ admit.Rules = &Asking{}

// Asking begins a request's rules. Nobody is asked when c is nil.
func (s *Schemas) Asking(c Converter) *Asking {
	return &Asking{Schemas: s, converter: c} // most requests need no conversion, and no maps for it
}

// Objects implements admit.Rules.
func (a *Asking) Objects(row *projections.Object) (admit.ObjectRules, error) {
	d, err := a.Of(row)
	if err != nil || !d.Converts() {
		return d, err
	}
	return answered{d, a}, nil
}

// Answer asks what was written down. It tells whether there was anything, so that
// what was refused for it is admitted anew.
func (a *Asking) Answer(ctx context.Context) (bool, error) {
	a.mu.Lock()
	open := a.open
	a.open = nil
	a.mu.Unlock()
	for q, o := range open {
		c := o.DeepCopy()
		if err := q.of.Bring(ctx, a.converter, []*unstructured.Unstructured{c}, q.version); err != nil {
			return false, err
		}
		a.mu.Lock()
		if a.known == nil {
			a.known = map[question]*unstructured.Unstructured{}
		}
		a.known[q] = c
		a.mu.Unlock()
	}
	return len(open) > 0, nil
}

// answered is a definition whose objects are converted as webhooks answered.
type answered struct {
	*Definition
	asking *Asking
}

// In implements admit.ObjectRules.
func (d answered) In(o *unstructured.Unstructured, version string) error {
	if !d.strange(o, version) {
		return d.Definition.In(o, version)
	}
	raw, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode %s: %w", o.GetName(), err)
	}
	q := question{d.Definition, version, sha256.Sum256(raw)}
	d.asking.mu.Lock()
	defer d.asking.mu.Unlock()
	if found, ok := d.asking.known[q]; ok {
		o.Object = found.DeepCopy().Object
		return nil
	}
	if d.asking.open == nil {
		d.asking.open = map[question]*unstructured.Unstructured{}
	}
	d.asking.open[q] = o.DeepCopy()
	return ErrUnasked
}
