package policy

import (
	"context"
	"fmt"

	celgo "github.com/google/cel-go/cel"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/environment"
)

// expression is one CEL expression and what it may say.
type expression struct {
	name  string // of a variable
	text  string
	types []*celgo.Type
}

// GetExpression implements cel.ExpressionAccessor.
func (e expression) GetExpression() string { return e.text }

// ReturnTypes implements cel.ExpressionAccessor.
func (e expression) ReturnTypes() []*celgo.Type { return e.types }

// GetName implements cel.NamedExpressionAccessor.
func (e expression) GetName() string { return e.name }

// program is a policy that is compiled.
type program struct {
	conditions matchconditions.Matcher // nil: none
	claims     cel.ConditionEvaluator
	messages   cel.ConditionEvaluator
}

// input is what one run of a program sees.
type input struct {
	attributes *admission.VersionedAttributes
	params     runtime.Object // nil: none
	namespace  *corev1.Namespace
	authorizer authorizer.UnconditionalAuthorizer
}

// compile makes a program of a policy. Mistakes in expressions show when they
// are run, as refusals or not, by the policy's failurePolicy.
func compile(p *admissionv1.ValidatingAdmissionPolicy) (*program, error) {
	c, err := compilerOf(p.Spec.Variables, p.Spec.ParamKind)
	if err != nil {
		return nil, err
	}
	full, plain := variablesOf(p.Spec.ParamKind, true), variablesOf(p.Spec.ParamKind, false)
	var claims, messages []cel.ExpressionAccessor
	for _, v := range p.Spec.Validations {
		claims = append(claims, expression{text: v.Expression, types: []*celgo.Type{celgo.BoolType}})
		var message cel.ExpressionAccessor // a nil one is left out, and keeps its place
		if v.MessageExpression != "" {
			message = expression{text: v.MessageExpression, types: []*celgo.Type{celgo.StringType}}
		}
		messages = append(messages, message)
	}
	out := &program{claims: c.CompileCondition(claims, full, environment.StoredExpressions),
		messages: c.CompileCondition(messages, plain, environment.StoredExpressions)}
	if len(p.Spec.MatchConditions) > 0 {
		out.conditions = matchconditions.NewMatcher(c.CompileCondition(accessors(p.Spec.MatchConditions), full, environment.StoredExpressions),
			p.Spec.FailurePolicy, "policy", "validate", p.Name)
	}
	return out, nil
}

// compilerOf is a compiler that knows a policy's own variables.
func compilerOf(variables []admissionv1.Variable, params *admissionv1.ParamKind) (*cel.CompositedCompiler, error) {
	c, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		return nil, fmt.Errorf("make CEL compiler: %w", err)
	}
	for _, v := range variables {
		c.CompileAndStoreVariable(expression{name: v.Name, text: v.Expression, types: []*celgo.Type{celgo.AnyType, celgo.DynType}}, variablesOf(params, true), environment.StoredExpressions)
	}
	return c, nil
}

func variablesOf(params *admissionv1.ParamKind, authorizer bool) cel.OptionalVariableDeclarations {
	return cel.OptionalVariableDeclarations{HasParams: params != nil, HasAuthorizer: authorizer}
}

func accessors(all []admissionv1.MatchCondition) []cel.ExpressionAccessor {
	out := make([]cel.ExpressionAccessor, len(all))
	for i := range all {
		out[i] = (*matchconditions.MatchCondition)(&all[i])
	}
	return out
}

// Conditions are a webhook's compiled matchConditions.
type Conditions struct{ matcher matchconditions.Matcher }

// CompileConditions compiles the matchConditions of a webhook; none always hold.
func CompileConditions(all []admissionv1.MatchCondition, failure *admissionv1.FailurePolicyType, webhook string) Conditions {
	if len(all) == 0 {
		return Conditions{}
	}
	compiler := cel.NewConditionCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	evaluator := compiler.CompileCondition(accessors(all), cel.OptionalVariableDeclarations{HasAuthorizer: true}, environment.StoredExpressions)
	return Conditions{matchconditions.NewMatcher(evaluator, failure, "webhook", "admit", webhook)}
}

// Hold tells whether all conditions are true of a request. An error means that
// the request has to be refused.
func (c Conditions) Hold(ctx context.Context, a *admission.VersionedAttributes, rights authorizer.UnconditionalAuthorizer) (bool, error) {
	if c.matcher == nil {
		return true, nil
	}
	r := c.matcher.Match(ctx, a, nil, rights)
	return r.Matches, r.Error
}

// Versioned is a request as expressions and webhooks see it: in the one version
// that its kind is served in.
func Versioned(a admission.Attributes) *admission.VersionedAttributes {
	v := &admission.VersionedAttributes{Attributes: a, VersionedKind: a.GetKind()}
	if o := a.GetObject(); o != nil {
		v.VersionedObject.Set(named(o, a.GetKind()))
	}
	if o := a.GetOldObject(); o != nil {
		v.VersionedOldObject.Set(named(o, a.GetKind()))
	}
	return v
}

// named is an object that says of what kind it is: decoders leave it out.
func named(o runtime.Object, kind schema.GroupVersionKind) runtime.Object {
	if !o.GetObjectKind().GroupVersionKind().Empty() {
		return o
	}
	o = o.DeepCopyObject()
	o.GetObjectKind().SetGroupVersionKind(kind)
	return o
}

// budget bounds what all expressions of one policy may cost for one request.
const budget = celconfig.RuntimeCELCostBudget
