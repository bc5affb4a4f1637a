package policy

import (
	"context"
	"slices"

	celgo "github.com/google/cel-go/cel"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/warning"
)

// Check compiles the expressions of a policy or webhook configuration that
// somebody wants to write, and is an *apierrors.StatusError that names each one
// that is none. Other objects pass.
func Check(ctx context.Context, o runtime.Object) error {
	var errs field.ErrorList
	kind := schema.GroupKind{Group: registrationv1.GroupName}
	var name string
	switch o := o.(type) {
	case *registrationv1.ValidatingAdmissionPolicy:
		kind.Kind, name = "ValidatingAdmissionPolicy", o.Name
		errs = checkPolicy(o)
	case *registrationv1.MutatingAdmissionPolicy:
		kind.Kind, name = "MutatingAdmissionPolicy", o.Name
		errs = checkMutating(ctx, o)
	case *registrationv1.ValidatingWebhookConfiguration:
		kind.Kind, name = "ValidatingWebhookConfiguration", o.Name
		for i, w := range o.Webhooks {
			errs = append(errs, checkWebhook(ctx, i, w.Rules, w.MatchConditions)...)
		}
	case *registrationv1.MutatingWebhookConfiguration:
		kind.Kind, name = "MutatingWebhookConfiguration", o.Name
		for i, w := range o.Webhooks {
			errs = append(errs, checkWebhook(ctx, i, w.Rules, w.MatchConditions)...)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(kind, name, errs)
}

func checkPolicy(p *registrationv1.ValidatingAdmissionPolicy) field.ErrorList {
	at := field.NewPath("spec")
	k, err := checkingOf(p.Spec.Variables, p.Spec.ParamKind, at)
	if err != nil {
		return field.ErrorList{field.InternalError(at, err)}
	}
	for i, v := range p.Spec.Validations {
		here := at.Child("validations").Index(i)
		k.compile(expression{text: v.Expression, types: []*celgo.Type{celgo.BoolType}}, k.full, here.Child("expression"))
		if v.MessageExpression != "" {
			k.compile(expression{text: v.MessageExpression, types: []*celgo.Type{celgo.StringType}}, k.plain, here.Child("messageExpression"))
		}
	}
	for i, a := range p.Spec.AuditAnnotations {
		e := expression{text: a.ValueExpression, types: []*celgo.Type{celgo.StringType, celgo.NullType}}
		k.compile(e, k.plain, at.Child("auditAnnotations").Index(i).Child("valueExpression"))
	}
	k.conditions(p.Spec.MatchConditions, at.Child("matchConditions"))
	return k.errs
}

func checkMutating(ctx context.Context, p *registrationv1.MutatingAdmissionPolicy) field.ErrorList {
	at := field.NewPath("spec")
	k, err := checkingOf(p.Spec.Variables, p.Spec.ParamKind, at)
	if err != nil {
		return field.ErrorList{field.InternalError(at, err)}
	}
	if m := p.Spec.MatchConstraints; m != nil {
		for i, r := range m.ResourceRules {
			warnOfChildren(ctx, at.Child("matchConstraints", "resourceRules").Index(i), r.RuleWithOperations)
		}
	}
	patches := k.full
	patches.HasPatchTypes = true
	for i, m := range p.Spec.Mutations {
		here := at.Child("mutations").Index(i)
		if m.ApplyConfiguration != nil {
			k.compile(&patch.ApplyConfigurationCondition{Expression: m.ApplyConfiguration.Expression}, patches, here.Child("applyConfiguration", "expression"))
		}
		if m.JSONPatch != nil {
			k.compile(&patch.JSONPatchCondition{Expression: m.JSONPatch.Expression}, patches, here.Child("jsonPatch", "expression"))
		}
	}
	k.conditions(p.Spec.MatchConditions, at.Child("matchConditions"))
	return k.errs
}

// checkingOf begins with a policy's variables, which its other expressions may name.
func checkingOf(variables []registrationv1.Variable, params *registrationv1.ParamKind, at *field.Path) (*checking, error) {
	c, err := compilerOf(nil, params)
	if err != nil {
		return nil, err
	}
	k := &checking{compiler: c, full: variablesOf(params, true), plain: variablesOf(params, false)}
	for i, v := range variables {
		e := expression{name: v.Name, text: v.Expression, types: []*celgo.Type{celgo.AnyType, celgo.DynType}}
		k.note(c.CompileAndStoreVariable(e, k.full, environment.NewExpressions), v.Expression, at.Child("variables").Index(i).Child("expression"))
	}
	return k, nil
}

func checkWebhook(ctx context.Context, i int, rules []registrationv1.RuleWithOperations, all []registrationv1.MatchCondition) field.ErrorList {
	for j, r := range rules {
		warnOfChildren(ctx, field.NewPath("webhooks").Index(i).Child("rules").Index(j), r)
	}
	k := checking{compiler: cel.NewCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())),
		full: cel.OptionalVariableDeclarations{HasAuthorizer: true}}
	k.conditions(all, field.NewPath("webhooks").Index(i).Child("matchConditions"))
	return k.errs
}

// children are the resources whose objects reconcilers make without asking.
var children = []string{"persistentvolumes", "controllerrevisions", "endpoints", "endpointslices", "serviceaccounts", "*", "*/*"}

// warnOfChildren says what a rule of those who change objects will not do, and of webhooks: about some of what controllers make
// nobody is asked.
func warnOfChildren(ctx context.Context, at *field.Path, r registrationv1.RuleWithOperations) {
	made := slices.ContainsFunc(r.Operations, func(op registrationv1.OperationType) bool {
		return op == registrationv1.OperationAll || op == registrationv1.Create
	})
	if made && slices.ContainsFunc(r.Resources, func(res string) bool { return slices.Contains(children, res) }) {
		warning.AddWarning(ctx, "", at.String()+": of what controllers make this holds for pods, ReplicaSets, Jobs and the claims of StatefulSets, not for revisions, volumes, endpoints and accounts")
	}
}

// checking is one object whose expressions are compiled, each by itself.
type checking struct {
	compiler    cel.Compiler
	full, plain cel.OptionalVariableDeclarations
	errs        field.ErrorList
}

func (k *checking) conditions(all []registrationv1.MatchCondition, at *field.Path) {
	for i := range all {
		k.compile((*matchconditions.MatchCondition)(&all[i]), k.full, at.Index(i).Child("expression"))
	}
}

func (k *checking) compile(e cel.ExpressionAccessor, with cel.OptionalVariableDeclarations, at *field.Path) {
	k.note(k.compiler.CompileCELExpression(e, with, environment.NewExpressions), e.GetExpression(), at)
}

func (k *checking) note(r cel.CompilationResult, text string, at *field.Path) {
	if r.Error != nil {
		k.errs = append(k.errs, field.Invalid(at, text, r.Error.Detail))
	}
}
