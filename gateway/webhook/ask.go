package webhook

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/policy"
	"github.com/stave-run/stave/projections"
)

// Admit implements admission.MutationInterface: it lets the mutating policies and
// webhooks change the object in place.
func (c *Chain) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	v := c.View()
	m := mutation{Chain: c, v: v}
	all := m.turns()
	if len(all) == 0 || policy.Exempt(a) {
		return nil
	}
	m.seen = see(a)
	if err := m.ask(ctx, all); err != nil {
		return err
	}
	if m.changed {
		reflect.ValueOf(a.GetObject()).Elem().Set(reflect.ValueOf(m.seen.VersionedObject.Object()).Elem())
	}
	return nil
}

// see is a request as all are asked about it: with the object as it will be
// stored, for they may count on defaults.
func see(a admission.Attributes) *admission.VersionedAttributes {
	seen := policy.Versioned(a)
	if a.GetObject() == nil {
		return seen
	}
	if o, ok := seen.VersionedObject.Object().DeepCopyObject().(events.Object); ok {
		manifest.Default(o)
		seen.VersionedObject.Set(o)
	}
	return seen
}

// mutation is one request on its way through the mutating policies and webhooks.
type mutation struct {
	*Chain
	v       projections.State
	seen    *admission.VersionedAttributes
	changed bool
}

// turn is one who may change the object.
type turn struct {
	again bool // asked once more when somebody after it changed the object
	ask   func(context.Context) (asked bool, err error)
}

// turns are all of them: policies first, for they are at hand.
func (m *mutation) turns() []turn {
	var out []turn
	for _, p := range policy.Mutations(m.v) {
		out = append(out, turn{p.Again(), func(ctx context.Context) (bool, error) { return m.askPolicy(ctx, p) }})
	}
	for _, h := range hooks(m.v, events.MutatingWebhooks) {
		out = append(out, turn{h.again, func(ctx context.Context) (bool, error) { return m.askOne(ctx, h) }})
	}
	return out
}

// ask asks all in turn, and those that want it once more when somebody after
// them changed the object.
func (m *mutation) ask(ctx context.Context, all []turn) error {
	left := map[int]runtime.Object{} // how those that want it left the object
	for i, t := range all {
		asked, err := t.ask(ctx)
		if err != nil {
			return err
		}
		if asked && t.again {
			left[i] = m.seen.VersionedObject.Object()
		}
	}
	for i, t := range all {
		if was, ok := left[i]; ok && !equality.Semantic.DeepEqual(was, m.seen.VersionedObject.Object()) {
			if _, err := t.ask(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *mutation) askPolicy(ctx context.Context, p policy.Mutation) (bool, error) {
	before := m.seen.VersionedObject.Object()
	asked, err := m.Policies.Mutate(ctx, m.v, m.seen, m.rights, m.merges.of, p)
	m.changed = m.changed || !equality.Semantic.DeepEqual(before, m.seen.VersionedObject.Object())
	return asked, err
}

func (m *mutation) askOne(ctx context.Context, h hook) (asked bool, err error) {
	q, asked, err := m.concerns(ctx, m.v, h, m.seen)
	if !asked || err != nil {
		return false, err
	}
	patch, err := m.call(ctx, h, q, true)
	if err == nil {
		err = m.apply(h, q, patch)
	}
	return true, m.settled(ctx, h, m.seen, err)
}

// apply changes the object as a webhook asks.
func (m *mutation) apply(h hook, q showing, patch []byte) error {
	old := m.seen.VersionedObject.Object()
	if len(patch) == 0 {
		return nil
	}
	if old == nil {
		return apierrors.NewInternalError(fmt.Errorf("admission webhook %q attempted to modify the object, which is not supported for this operation", h.Name))
	}
	next, err := patched(q.VersionedObject.Object(), patch)
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("apply the patch of admission webhook %q: %w", h.Name, err))
	}
	if all := editionsOf(q.in); len(all) > 0 {
		next = manifest.InVersion(next, all[0]) // the one that is kept
	}
	if o, ok := next.(events.Object); ok {
		manifest.Default(o)
	}
	if !equality.Semantic.DeepEqual(old, next) {
		m.changed = true
		m.seen.UpdateObject(next)
	}
	return nil
}

// Validate implements admission.ValidationInterface: the policies first, for
// they are at hand.
func (c *Chain) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if policy.Exempt(a) {
		return policy.Check(ctx, a.GetObject())
	}
	if err := policy.CheckDevices(a.GetObject()); err != nil {
		return err
	}
	v := c.View()
	if !asks(v) {
		return nil
	}
	seen := see(a)
	if err := c.Policies.Validate(ctx, v, seen, c.rights); err != nil {
		return err
	}
	all := hooks(v, events.ValidatingWebhooks)
	errs := make([]error, len(all))
	var wait sync.WaitGroup
	for i, h := range all {
		q, concerned, err := c.concerns(ctx, v, h, seen)
		errs[i] = err
		if concerned && err == nil {
			wait.Go(func() {
				_, err := c.call(ctx, h, q, false)
				errs[i] = c.settled(ctx, h, seen, err)
			})
		}
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err // Kubernetes tells the first one too
		}
	}
	return nil
}

// concerns tells whether a webhook is to be asked about a request, and what.
func (c *Chain) concerns(ctx context.Context, v projections.State, h hook, seen *admission.VersionedAttributes) (showing, bool, error) {
	q, ok, err := h.about(v, seen)
	if err != nil {
		return q, false, apierrors.NewInternalError(fmt.Errorf("webhook %q: %w", h.Name, err))
	}
	if !ok {
		return q, false, nil
	}
	ok, err = c.conditions.of(h).Hold(ctx, q.VersionedAttributes, c.rights)
	if err != nil {
		return q, false, admission.NewForbidden(seen, err)
	}
	return q, ok, nil
}

// settled is what an answer means for the request: a webhook that cannot be asked
// refuses it, unless it said to go on without it.
func (c *Chain) settled(ctx context.Context, h hook, seen *admission.VersionedAttributes, err error) error {
	var unreached *webhookutil.ErrCallingWebhook
	if !errors.As(err, &unreached) {
		return err
	}
	if !h.failsOpen() {
		return apierrors.NewInternalError(unreached)
	}
	if ctx.Err() != nil {
		return apierrors.NewTimeoutError("request did not complete within requested timeout", 0)
	}
	c.Logger.Warn("go on without a webhook, as its failurePolicy says", "configuration", h.configuration, "object", placeOf(seen), "error", unreached)
	return nil
}

// conditions are the compiled matchConditions of webhooks.
type conditions struct {
	mu  sync.Mutex
	all map[[2]string]condition // by configuration and webhook
}

type condition struct {
	changed events.Seq
	policy.Conditions
}

// maxCompiled bounds what is kept; beyond it all are compiled anew.
const maxCompiled = 1000

func (c *conditions) of(h hook) policy.Conditions {
	if len(h.MatchConditions) == 0 {
		return policy.Conditions{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := [2]string{h.configuration, h.Name}
	found, ok := c.all[key]
	if !ok || found.changed != h.changed {
		found = condition{h.changed, policy.CompileConditions(h.MatchConditions, h.FailurePolicy, h.Name)}
		if c.all == nil || len(c.all) >= maxCompiled {
			c.all = map[[2]string]condition{}
		}
		c.all[key] = found
	}
	return found.Conditions
}
