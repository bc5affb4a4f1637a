package policy

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
)

// Types says how the objects of a kind merge.
type Types func(v projections.State, kind schema.GroupVersionKind) (managedfields.TypeConverter, error)

// Mutation is a mutating policy with one of its bindings.
type Mutation struct {
	row     *projections.Object
	policy  *admissionv1.MutatingAdmissionPolicy
	binding *admissionv1.MutatingAdmissionPolicyBinding
}

// Again tells whether it wants to see the object once more when somebody after it
// changed it.
func (m Mutation) Again() bool {
	return m.policy.Spec.ReinvocationPolicy == admissionv1.IfNeededReinvocationPolicy
}

// Mutations are all of a state, by the names of policies and then of bindings.
func Mutations(v projections.State) []Mutation {
	var out []Mutation
	for o := range v.List(events.MutatingPolicies, "") {
		p := projections.As[*admissionv1.MutatingAdmissionPolicy](o)
		for row := range v.List(events.MutatingPolicyBindings, "") {
			if b := projections.As[*admissionv1.MutatingAdmissionPolicyBinding](row); b.Spec.PolicyName == p.Name {
				out = append(out, Mutation{o, p, b})
			}
		}
	}
	return out
}

// mutator is a mutating policy that is compiled.
type mutator struct {
	row        *projections.Object
	compiler   *cel.CompositedCompiler
	conditions matchconditions.Matcher // nil: none
	patches    []patch.Patcher
	err        error
}

// mutator is a policy's, compiled now or before.
func (e *Engine) mutator(m Mutation) *mutator {
	e.mu.Lock()
	defer e.mu.Unlock()
	if found, ok := e.mutators[m.policy.Name]; ok && found.row == m.row {
		return found
	}
	if e.mutators == nil || len(e.mutators) >= maxMutators {
		e.mutators = map[string]*mutator{}
	}
	made := compileMutating(m.policy)
	made.row = m.row
	e.mutators[m.policy.Name] = made
	return made
}

// maxMutators bounds what is kept compiled; beyond it all are compiled anew.
const maxMutators = 1000

// compileMutating makes a program of a policy. Mistakes in expressions show when
// they are run.
func compileMutating(p *admissionv1.MutatingAdmissionPolicy) *mutator {
	c, err := compilerOf(p.Spec.Variables, p.Spec.ParamKind)
	if err != nil {
		return &mutator{err: err}
	}
	out, full := &mutator{compiler: c}, variablesOf(p.Spec.ParamKind, true)
	if len(p.Spec.MatchConditions) > 0 {
		out.conditions = matchconditions.NewMatcher(c.CompileCondition(accessors(p.Spec.MatchConditions), full, environment.StoredExpressions),
			p.Spec.FailurePolicy, "policy", "mutate", p.Name)
	}
	full.HasPatchTypes = true
	for _, m := range p.Spec.Mutations {
		switch {
		case m.PatchType == admissionv1.PatchTypeJSONPatch && m.JSONPatch != nil:
			e := &patch.JSONPatchCondition{Expression: m.JSONPatch.Expression}
			out.patches = append(out.patches, patch.NewJSONPatcher(c.CompileMutatingEvaluator(e, full, environment.StoredExpressions)))
		case m.ApplyConfiguration != nil:
			e := &patch.ApplyConfigurationCondition{Expression: m.ApplyConfiguration.Expression}
			out.patches = append(out.patches, patch.NewApplyConfigurationPatcher(c.CompileMutatingEvaluator(e, full, environment.StoredExpressions)))
		}
	}
	return out
}

// Mutate lets a policy change the object of a request, as it will be stored. It tells
// whether the policy was asked. The error is an *apierrors.StatusError.
func (e *Engine) Mutate(ctx context.Context, v projections.State, a *admission.VersionedAttributes, rights authorizer.UnconditionalAuthorizer, types Types, m Mutation) (bool, error) {
	q := question{Engine: e, v: v, a: a, rights: rights}
	asked, err := q.mutate(ctx, m, types)
	if err == nil || m.policy.Spec.FailurePolicy != nil && *m.policy.Spec.FailurePolicy == admissionv1.Ignore {
		return asked, nil
	}
	return asked, q.refusal(fmt.Sprintf("policy '%s' with binding '%s' denied request: %v", m.policy.Name, m.binding.Name, err), "")
}

func (q *question) mutate(ctx context.Context, m Mutation, types Types) (bool, error) {
	for _, match := range []*admissionv1.MatchResources{m.policy.Spec.MatchConstraints, m.binding.Spec.MatchResources} {
		if ok, err := ScopeOf(match).Holds(q.v, q.a); !ok || err != nil {
			return false, err
		}
	}
	if q.a.VersionedObject.Object() == nil {
		return false, nil
	}
	params, err := paramsOf(q.v, m.policy.Spec.ParamKind, m.binding.Spec.ParamRef, q.a.GetNamespace())
	if err != nil {
		return true, fmt.Errorf("failed to configure binding: %w", err)
	}
	prog := q.mutator(m)
	if prog.err != nil {
		return true, fmt.Errorf("failed to configure policy: %w", prog.err)
	}
	for _, param := range params {
		if err := prog.run(ctx, q.input(param), func() (managedfields.TypeConverter, error) { return types(q.v, q.a.VersionedKind) }); err != nil {
			return true, err
		}
	}
	return true, nil
}

// run makes all changes of a policy for one set of parameters.
func (p *mutator) run(ctx context.Context, in input, types func() (managedfields.TypeConverter, error)) error {
	ctx = p.compiler.CreateContext(ctx)
	if p.conditions != nil {
		if r := p.conditions.Match(ctx, in.attributes, in.params, in.authorizer); r.Error != nil || !r.Matches {
			return r.Error
		}
	}
	merge, err := types()
	if err != nil {
		return err
	}
	for _, change := range p.patches {
		old := in.attributes.VersionedObject.Object()
		next, err := change.Patch(ctx, patch.Request{MatchedResource: in.attributes.GetResource(), VersionedAttributes: in.attributes, ObjectInterfaces: admission.NewObjectInterfacesFromScheme(Scheme()),
			OptionalVariables: cel.OptionalVariableBindings{VersionedParams: in.params, Authorizer: in.authorizer}, Namespace: in.namespace, TypeConverter: merge}, budget)
		if err != nil {
			return err
		}
		if next, err = typed(next, old); err != nil {
			return err
		}
		in.attributes.UpdateObject(next)
	}
	return nil
}

// typed is an object in the Go type of another, with its defaults.
func typed(o, like runtime.Object) (runtime.Object, error) {
	u, loose := o.(*unstructured.Unstructured)
	if _, both := like.(*unstructured.Unstructured); loose && !both {
		next, ok := reflect.New(reflect.TypeOf(like).Elem()).Interface().(runtime.Object)
		if !ok {
			return nil, fmt.Errorf("not an object: %T", like)
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, next); err != nil {
			return nil, fmt.Errorf("read changed object: %w", err)
		}
		o = next
	}
	if v, ok := o.(events.Object); ok {
		manifest.Default(v)
	}
	return o, nil
}

// Scheme has the Go types of Stave's kinds. It is shared: never change it.
var Scheme = sync.OnceValue(func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, k := range events.Kinds {
		s.AddKnownTypeWithName(k.GVK(), k.New())
	}
	return s
})
