package policy

import (
	"context"
	"fmt"
	"strings"

	celtypes "github.com/google/cel-go/common/types"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// denial is why a policy wants a request refused.
type denial struct {
	message string
	reason  metav1.StatusReason // "" where the policy names none, or broke
}

// judge runs a policy for one set of parameters. What breaks is a denial unless
// the policy's failurePolicy lets it pass.
func (p *program) judge(ctx context.Context, spec *admissionv1.ValidatingAdmissionPolicySpec, in input) []denial {
	broken := func(err error) []denial {
		if failsOpen(spec) {
			return nil
		}
		return []denial{{message: err.Error()}}
	}
	if p.conditions != nil {
		r := p.conditions.Match(ctx, in.attributes, in.params, in.authorizer)
		switch {
		case r.Error != nil:
			return broken(r.Error)
		case !r.Matches:
			return nil
		}
	}
	request := cel.CreateAdmissionRequest(in.attributes.Attributes, metav1.GroupVersionResource(in.attributes.GetResource()), metav1.GroupVersionKind(in.attributes.VersionedKind))
	ns := cel.CreateNamespaceObject(in.namespace)
	claims, left, err := p.claims.ForInput(ctx, in.attributes, request, cel.OptionalVariableBindings{VersionedParams: in.params, Authorizer: in.authorizer}, ns, budget)
	if err != nil {
		return broken(err)
	}
	messages, _, err := p.messages.ForInput(ctx, in.attributes, request, cel.OptionalVariableBindings{VersionedParams: in.params}, ns, left)
	var out []denial
	for i, c := range claims {
		switch {
		case c.Error != nil:
			out = append(out, broken(c.Error)...)
		case c.EvalResult == celtypes.True:
		case err != nil:
			out = append(out, broken(fmt.Errorf("failed messageExpression: %w", err))...)
		default:
			out = append(out, denied(&spec.Validations[i], messages[i]))
		}
	}
	return out
}

func failsOpen(spec *admissionv1.ValidatingAdmissionPolicySpec) bool {
	return spec.FailurePolicy != nil && *spec.FailurePolicy == admissionv1.Ignore
}

// denied words a claim that does not hold: by its messageExpression if that says
// something printable, else by its message, else by itself.
func denied(v *admissionv1.Validation, said cel.EvaluationResult) denial {
	d := denial{reason: metav1.StatusReasonInvalid, message: strings.TrimSpace(v.Message)}
	if v.Reason != nil {
		d.reason = *v.Reason
	}
	if said.Error == nil && said.EvalResult != nil {
		text, ok := said.EvalResult.Value().(string)
		text = strings.TrimSpace(text)
		if ok && text != "" && len(text) <= celconfig.MaxEvaluatedMessageExpressionSizeBytes && !strings.Contains(text, "\n") {
			d.message = text
		}
	}
	if d.message == "" {
		d.message = "failed expression: " + strings.TrimSpace(v.Expression)
	}
	return d
}
