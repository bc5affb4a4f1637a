// Package webhook asks a cluster's admission webhooks and policies about what
// clients want, before the one writer does. Both doors stand behind it: a
// mutating webhook may change an object, a policy and a validating webhook may
// refuse it. With none configured it costs four looks into a table.
//
// Order, as in Kubernetes: mutating policies by name; mutating webhooks, by the name of their configuration
// and then as they stand in it; policies; validating webhooks, all at once.
//
// About the pods that controllers want to make it asks between two decisions (Births): a decision is a function of the
// log and waits for nobody. docs/adr/0050-webhooks.md and 0080-wishes.md have the rest.
package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/custom"
	"github.com/stave-run/stave/gateway/policy"
	"github.com/stave-run/stave/gateway/reach"
	"github.com/stave-run/stave/projections"
)

// Options are what a chain needs.
type Options struct {
	// View is the newest state that requests are looked at in.
	View func() projections.State
	// Policies are asked between the webhooks; whoever else asks some shares what is compiled.
	Policies *policy.Engine
	// Dial connects to a TCP port of a pod, wherever it runs.
	Dial func(ctx context.Context, pod events.Key, port uint16) (net.Conn, error)
	// Schemas are those of definitions, which say how their objects merge; nil: there are none.
	Schemas *custom.Schemas
	Logger  *slog.Logger
}

// Chain is all who are asked. It may be used by many at once.
type Chain struct {
	Options
	conditions *conditions
	clients    webhookutil.ClientManager
	rights     policy.Rights
	merges     merges
}

var (
	_ admission.MutationInterface   = &Chain{}
	_ admission.ValidationInterface = &Chain{}
)

// New makes a chain. Its error is a broken build's.
func New(o Options) (*Chain, error) {
	c := &Chain{Options: o, conditions: &conditions{}, rights: policy.Rights(o.View), merges: newMerges(o.Schemas)}
	var err error
	c.clients, err = webhookutil.NewClientManager([]schema.GroupVersion{admissionv1.SchemeGroupVersion}, admissionv1.AddToScheme)
	if err != nil {
		return nil, fmt.Errorf("make webhook clients: %w", err)
	}
	at := places{reach.Ways{View: o.View, Dial: o.Dial}}
	c.clients.SetAuthenticationInfoResolver(at)
	c.clients.SetServiceResolver(at)
	return c, nil
}

// on is the chain for what is asked about a state that need not be the newest, such as what follows from a change before
// this one. Webhooks are reached where they are now.
func (c *Chain) on(v projections.State) *Chain {
	out := *c
	out.View = func() projections.State { return v }
	out.rights = out.View
	return &out
}

// Asks tells whether anybody is to be asked about anything.
func (c *Chain) Asks() bool { return asks(c.View()) }

func asks(v projections.State) bool {
	return slices.ContainsFunc([]events.Resource{events.MutatingPolicies, events.MutatingWebhooks, events.Policies, events.ValidatingWebhooks}, func(r events.Resource) bool {
		for range v.List(r, "") {
			return true
		}
		return false
	})
}

// Handles implements admission.Interface: which requests matter is each one's own.
func (c *Chain) Handles(admission.Operation) bool { return true }

// hook is a webhook of either kind.
type hook struct {
	registrationv1.ValidatingWebhook
	configuration string
	changed       events.Seq // of its configuration
	again         bool       // asked once more when a later one changed the object
}

// hooks are the webhooks of a kind, in their order.
func hooks(v projections.State, r events.Resource) []hook {
	var out []hook
	for o := range v.List(r, "") {
		switch c := o.Typed().(type) {
		case *registrationv1.ValidatingWebhookConfiguration:
			for _, w := range c.Webhooks {
				out = append(out, hook{ValidatingWebhook: w, configuration: c.Name, changed: o.Changed.Seq})
			}
		case *registrationv1.MutatingWebhookConfiguration:
			for _, w := range c.Webhooks {
				out = append(out, hook{ValidatingWebhook: manifest.AsValidating(w), configuration: c.Name, changed: o.Changed.Seq,
					again: w.ReinvocationPolicy != nil && *w.ReinvocationPolicy == registrationv1.IfNeededReinvocationPolicy})
			}
		}
	}
	return out
}

func (h hook) failsOpen() bool {
	return h.FailurePolicy != nil && *h.FailurePolicy == registrationv1.Ignore
}

// scope is what the webhook is asked about.
func (h hook) scope() policy.Scope {
	s := policy.Scope{Namespaces: h.NamespaceSelector, Objects: h.ObjectSelector, Rules: []registrationv1.NamedRuleWithOperations{}}
	for _, r := range h.Rules {
		s.Rules = append(s.Rules, registrationv1.NamedRuleWithOperations{RuleWithOperations: r})
	}
	return s
}

// placeOf says what a request is about, for the server's own log.
func placeOf(a admission.Attributes) string {
	name := a.GetResource().GroupResource().String() + "/" + a.GetName()
	if a.GetNamespace() == metav1.NamespaceNone {
		return name
	}
	return a.GetNamespace() + "/" + name
}
