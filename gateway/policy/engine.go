package policy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/warning"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Engine asks the policies of a state. It keeps what it compiled; its zero value
// is ready, and may be used by many at once.
type Engine struct {
	mu       sync.Mutex
	programs map[string]compiled // by the policy's name
	mutators map[string]*mutator // by the policy's name
}

// compiled is a policy's program and the row that it is of. Rows never change, so
// the same one is the same policy, in whichever state.
type compiled struct {
	row *projections.Object
	*program
	err error
}

// program is a policy's, compiled now or before.
func (e *Engine) program(o *projections.Object) (*program, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.programs[o.Key.Name]
	if !ok || c.row != o {
		c = compiled{row: o}
		c.program, c.err = compile(projections.As[*admissionv1.ValidatingAdmissionPolicy](o))
		if e.programs == nil {
			e.programs = map[string]compiled{}
		}
		e.programs[o.Key.Name] = c
	}
	return c.program, c.err
}

// forget drops what was compiled of policies that are gone.
func (e *Engine) forget(v projections.State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name := range e.programs {
		if _, ok := v.Get(events.Key{Resource: events.Policies, Name: name}); !ok {
			delete(e.programs, name)
		}
	}
}

// Validate asks every policy that is bound to a request. It is an *apierrors.StatusError
// when one of them refuses, in Kubernetes' words; warnings go to the context's recorder.
func (e *Engine) Validate(ctx context.Context, v projections.State, a *admission.VersionedAttributes, rights authorizer.UnconditionalAuthorizer) error {
	q := question{Engine: e, v: v, a: a, rights: rights}
	known := 0
	for o := range v.List(events.Policies, "") {
		known++
		if err := q.ask(ctx, o); err != nil {
			return err
		}
	}
	e.mu.Lock()
	stale := len(e.programs) > known
	e.mu.Unlock()
	if stale {
		e.forget(v)
	}
	return nil
}

// question is one request that policies are asked about.
type question struct {
	*Engine
	v      projections.State
	a      *admission.VersionedAttributes
	rights authorizer.UnconditionalAuthorizer
}

// ask asks one policy for each of its bindings.
func (q *question) ask(ctx context.Context, o *projections.Object) error {
	p := projections.As[*admissionv1.ValidatingAdmissionPolicy](o)
	ok, err := ScopeOf(p.Spec.MatchConstraints).Holds(q.v, q.a)
	if err != nil {
		return q.misconfigured(p, nil, err)
	}
	if !ok {
		return nil
	}
	prog, err := q.program(o)
	if err != nil {
		return q.misconfigured(p, nil, err)
	}
	for row := range q.v.List(events.PolicyBindings, "") {
		b := projections.As[*admissionv1.ValidatingAdmissionPolicyBinding](row)
		if b.Spec.PolicyName != p.Name {
			continue
		}
		if err := q.askBound(ctx, p, prog, b); err != nil {
			return err
		}
	}
	return nil
}

func (q *question) askBound(ctx context.Context, p *admissionv1.ValidatingAdmissionPolicy, prog *program, b *admissionv1.ValidatingAdmissionPolicyBinding) error {
	ok, err := ScopeOf(b.Spec.MatchResources).Holds(q.v, q.a)
	if err != nil {
		return q.misconfigured(p, b, err)
	}
	if !ok {
		return nil
	}
	params, err := paramsOf(q.v, p.Spec.ParamKind, b.Spec.ParamRef, q.a.GetNamespace())
	if err != nil {
		return q.misconfigured(p, b, err)
	}
	for _, param := range params {
		for _, d := range prog.judge(ctx, &p.Spec, q.input(param)) {
			if err := q.act(ctx, p, b, d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (q *question) input(params runtime.Object) input {
	in := input{attributes: q.a, params: params, authorizer: q.rights}
	if q.a.GetResource().Resource != string(events.Namespaces) {
		in.namespace = namespaceOf(q.v, q.a.GetNamespace())
	}
	return in
}

// act does what a binding wants done about a denial. There is no audit log, and
// so nothing to do for Audit.
func (q *question) act(ctx context.Context, p *admissionv1.ValidatingAdmissionPolicy, b *admissionv1.ValidatingAdmissionPolicyBinding, d denial) error {
	for _, action := range b.Spec.ValidationActions {
		switch action {
		case admissionv1.Deny:
			return q.refusal(fmt.Sprintf("ValidatingAdmissionPolicy '%s' with binding '%s' denied request: %s", p.Name, b.Name, d.message), d.reason)
		case admissionv1.Warn:
			warning.AddWarning(ctx, "", fmt.Sprintf("Validation failed for ValidatingAdmissionPolicy '%s' with binding '%s': %s", p.Name, b.Name, d.message))
		}
	}
	return nil
}

// misconfigured refuses because a policy or binding cannot be followed, unless
// the policy lets pass what it cannot judge.
func (q *question) misconfigured(p *admissionv1.ValidatingAdmissionPolicy, b *admissionv1.ValidatingAdmissionPolicyBinding, err error) error {
	switch {
	case failsOpen(&p.Spec):
		return nil
	case b == nil:
		return q.refusal(fmt.Sprintf("ValidatingAdmissionPolicy '%s' denied request: failed to configure policy: %v", p.Name, err), "")
	}
	return q.refusal(fmt.Sprintf("ValidatingAdmissionPolicy '%s' with binding '%s' denied request: failed to configure binding: %v", p.Name, b.Name, err), "")
}

// codes are the HTTP codes of the reasons that a policy may name.
var codes = map[metav1.StatusReason]int32{
	metav1.StatusReasonForbidden: http.StatusForbidden, metav1.StatusReasonUnauthorized: http.StatusUnauthorized,
	metav1.StatusReasonRequestEntityTooLarge: http.StatusRequestEntityTooLarge, metav1.StatusReasonInvalid: http.StatusUnprocessableEntity,
}

func (q *question) refusal(message string, reason metav1.StatusReason) error {
	if reason == "" {
		reason = metav1.StatusReasonInvalid
	}
	err := admission.NewForbidden(q.a, errors.New(message))
	var status *apierrors.StatusError
	if errors.As(err, &status) {
		status.ErrStatus.Reason, status.ErrStatus.Code = reason, codes[reason]
		status.ErrStatus.Details.Causes = append(status.ErrStatus.Details.Causes, metav1.StatusCause{Message: message})
	}
	return err
}
