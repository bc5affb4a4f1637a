package webhook

import (
	"context"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/warning"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/projections"
)

// Review asks about a change of a state that came over the wires, as Admit and Validate do
// about one of the newest state that came over HTTP. next is nil when nobody changed the object; err
// is an *apierrors.StatusError of who refuses.
func (c *Chain) Review(ctx context.Context, v projections.State, p admit.Proposal) (next events.Object, warnings []string, err error) {
	c = c.on(v)
	said := &collected{}
	ctx = warning.WithWarningRecorder(ctx, said)
	a := attributesOf(v, p)
	if p.Next != nil && !p.Fixed {
		if err = c.Admit(ctx, a, nil); err != nil {
			return nil, said.all, err
		}
	}
	if err = c.Validate(ctx, a, nil); err != nil {
		return nil, said.all, err
	}
	if now, ok := a.GetObject().(events.Object); ok && changed(p, now) {
		next = now
	}
	return next, said.all, nil
}

func changed(p admit.Proposal, now events.Object) bool {
	return p.Next != nil && !slices.Equal(events.MustBody(p.Next), events.MustBody(now))
}

// attributesOf is a change in Kubernetes' terms. Its object is a copy, for it may
// be changed.
func attributesOf(v projections.State, p admit.Proposal) admission.Attributes {
	kind := kindOf(v, p)
	var next, old runtime.Object // nil as interfaces too, or nobody sees that there is none
	op, options := admission.Create, runtime.Object(&metav1.CreateOptions{})
	if p.Old != nil {
		old = p.Old.DeepCopyObject()
		op, options = admission.Update, &metav1.UpdateOptions{}
	}
	if p.Next != nil {
		next = p.Next.DeepCopyObject()
	} else {
		op, options = admission.Delete, &metav1.DeleteOptions{}
	}
	namespace := p.Key.Namespace
	if p.Key.Resource == events.Namespaces {
		namespace = p.Key.Name // as Kubernetes tells it
	}
	return admission.NewAttributesRecord(next, old, kind.GVK(), namespace, p.Key.Name,
		schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: kind.Plural()}, "", op, options, p.DryRun,
		&user.DefaultInfo{Name: p.User, Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated}})
}

// kindOf is what the object is; a definition may serve it in several versions.
func kindOf(v projections.State, p admit.Proposal) events.Kind {
	kind, _ := v.KindOf(p.Key.Resource)
	o := p.Next
	if o == nil {
		o = p.Old
	}
	if said := o.GetObjectKind().GroupVersionKind(); kind.Custom() && said.Version != "" {
		kind.Version = said.Version
	}
	return kind
}

// collected are the warnings of one review.
type collected struct {
	mu  sync.Mutex
	all []string
}

// AddWarning implements warning.Recorder.
func (c *collected) AddWarning(_, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.all, text) {
		c.all = append(c.all, text)
	}
}
