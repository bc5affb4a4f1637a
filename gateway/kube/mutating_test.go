package kube_test

import (
	"strings"
	"testing"

	registrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// mutating is a policy that changes what is made in a resource.
func mutating(name, group, version, resource string, all ...registrationv1.Mutation) *registrationv1.MutatingAdmissionPolicy {
	return &registrationv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: registrationv1.MutatingAdmissionPolicySpec{
		ReinvocationPolicy: registrationv1.NeverReinvocationPolicy, Mutations: all,
		MatchConstraints: &registrationv1.MatchResources{ResourceRules: []registrationv1.NamedRuleWithOperations{{RuleWithOperations: registrationv1.RuleWithOperations{
			Operations: []registrationv1.OperationType{registrationv1.Create}, Rule: registrationv1.Rule{APIGroups: []string{group}, APIVersions: []string{version}, Resources: []string{resource}}}}}}}}
}

func applying(expression string) registrationv1.Mutation {
	return registrationv1.Mutation{PatchType: registrationv1.PatchTypeApplyConfiguration, ApplyConfiguration: &registrationv1.ApplyConfiguration{Expression: expression}}
}

func jsonPatching(expression string) registrationv1.Mutation {
	return registrationv1.Mutation{PatchType: registrationv1.PatchTypeJSONPatch, JSONPatch: &registrationv1.JSONPatch{Expression: expression}}
}

// put writes a policy and a binding of its name.
func (h *house) put(p *registrationv1.MutatingAdmissionPolicy, params *registrationv1.ParamRef) {
	h.Helper()
	c := h.client().AdmissionregistrationV1()
	if _, err := c.MutatingAdmissionPolicies().Create(h.Context(), p, metav1.CreateOptions{}); err != nil {
		h.Fatal(err)
	}
	b := &registrationv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: p.Name}, Spec: registrationv1.MutatingAdmissionPolicyBindingSpec{PolicyName: p.Name, ParamRef: params}}
	if _, err := c.MutatingAdmissionPolicyBindings().Create(h.Context(), b, metav1.CreateOptions{}); err != nil {
		h.Fatal(err)
	}
}

// A policy changes objects by configurations that it applies, which merge as a
// server-side apply does, and by patches.
func TestMutatingPolicies(t *testing.T) {
	h := open(t)
	c := h.client()
	p := mutating("deployments", "apps", "v1", "deployments",
		applying(`Object{metadata: Object.metadata{annotations: {"by": "policy"}}, spec: Object.spec{replicas: object.spec.replicas * 3,
			template: Object.spec.template{spec: Object.spec.template.spec{containers: [Object.spec.template.spec.containers{name: "side", image: "busybox"}]}}}}`),
		jsonPatching(`[JSONPatch{op: "add", path: "/metadata/labels", value: {"replicas": string(object.spec.replicas)}}]`))
	h.put(p, nil)
	made, err := c.AppsV1().Deployments("default").Create(t.Context(), workload("web", 2), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if *made.Spec.Replicas != 6 || made.Annotations["by"] != "policy" || made.Labels["replicas"] != "6" || len(made.Spec.Template.Spec.Containers) != 2 || made.Spec.Template.Spec.Containers[1].TerminationMessagePath == "" {
		t.Errorf("%+v", made)
	}
	// It says nothing of updates.
	one := int32(1)
	made.Spec.Replicas, made.ResourceVersion = &one, ""
	if made, err = c.AppsV1().Deployments("default").Update(t.Context(), made, metav1.UpdateOptions{}); err != nil || *made.Spec.Replicas != 1 {
		t.Errorf("updated: %+v, %v", made, err)
	}
	if err := c.AdmissionregistrationV1().MutatingAdmissionPolicyBindings().Delete(t.Context(), "deployments", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if made, err = c.AppsV1().Deployments("default").Create(t.Context(), workload("plain", 2), metav1.CreateOptions{}); err != nil || *made.Spec.Replicas != 2 {
		t.Errorf("without a binding: %+v, %v", made, err)
	}
}

// Parameters, variables, conditions, order and being asked again are as in Kubernetes.
func TestMutatingPoliciesAreAskedInTurn(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1().ConfigMaps("default")
	if _, err := c.Create(t.Context(), configMap("param", map[string]string{"say": "hello"}), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	first := mutating("a", "", "v1", "configmaps", applying(`Object{data: {"seen": string(size(object.data))}}`))
	first.Spec.ReinvocationPolicy = registrationv1.IfNeededReinvocationPolicy
	second := mutating("b", "", "v1", "configmaps", applying(`Object{data: {"said": variables.what}}`))
	second.Spec.ParamKind = &registrationv1.ParamKind{APIVersion: "v1", Kind: "ConfigMap"}
	second.Spec.Variables = []registrationv1.Variable{{Name: "what", Expression: "params.data.say + '!'"}}
	second.Spec.MatchConditions = []registrationv1.MatchCondition{{Name: "not-quiet", Expression: "object.metadata.name != 'quiet'"}}
	deny := registrationv1.DenyAction
	h.put(first, nil)
	h.put(second, &registrationv1.ParamRef{Name: "param", Namespace: "default", ParameterNotFoundAction: &deny})
	for name, want := range map[string]string{"loud": "hello! 3", "quiet": " 1"} {
		made, err := c.Create(t.Context(), configMap(name, map[string]string{"own": "x"}), metav1.CreateOptions{DryRun: []string{"All"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := made.Data["said"] + " " + made.Data["seen"]; got != want {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
	if err := c.Delete(t.Context(), "param", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(t.Context(), configMap("loud", map[string]string{"own": "x"}), metav1.CreateOptions{}); !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "policy 'b' with binding 'b' denied request") {
		t.Errorf("without parameters: %v", err)
	}
}

// What cannot be done refuses the request, or not, as the policy says; what is no
// expression is refused when it is written.
func TestMutatingPoliciesThatBreak(t *testing.T) {
	h := open(t)
	c := h.client()
	p := mutating("broken", "", "v1", "configmaps", applying(`Object{data: {"x": object.data.nothing}}`))
	h.put(p, nil)
	make := func() (*corev1.ConfigMap, error) {
		return c.CoreV1().ConfigMaps("default").Create(t.Context(), configMap("c", map[string]string{"a": "b"}), metav1.CreateOptions{DryRun: []string{"All"}})
	}
	if _, err := make(); err == nil || !strings.Contains(err.Error(), "policy 'broken' with binding 'broken' denied request") || !strings.Contains(err.Error(), "no such key: nothing") {
		t.Errorf("%v", err)
	}
	open := []byte(`{"spec":{"failurePolicy":"Ignore"}}`)
	if _, err := c.AdmissionregistrationV1().MutatingAdmissionPolicies().Patch(t.Context(), "broken", types.MergePatchType, open, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if made, err := make(); err != nil || made.Data["a"] != "b" {
		t.Errorf("ignored: %+v, %v", made, err)
	}
	for what, bad := range map[string]*registrationv1.MutatingAdmissionPolicy{
		"undeclared reference to 'nobody'":              mutating("x", "", "v1", "configmaps", applying(`nobody`)),
		"must evaluate to Object":                       mutating("x", "", "v1", "configmaps", applying(`"text"`)),
		"must be specified when patchType is JSONPatch": mutating("x", "", "v1", "configmaps", registrationv1.Mutation{PatchType: registrationv1.PatchTypeJSONPatch}),
		"mutations must contain at least one item":      mutating("x", "", "v1", "configmaps"),
		"spec.matchConstraints.resourceRules: Required": {ObjectMeta: metav1.ObjectMeta{Name: "x"}, Spec: registrationv1.MutatingAdmissionPolicySpec{ReinvocationPolicy: "Never", MatchConstraints: &registrationv1.MatchResources{}, Mutations: []registrationv1.Mutation{applying(`Object{}`)}}},
		`spec.reinvocationPolicy: Unsupported value: "Now"`: func() *registrationv1.MutatingAdmissionPolicy {
			p := mutating("x", "", "v1", "configmaps", applying(`Object{}`))
			p.Spec.ReinvocationPolicy = "Now"
			return p
		}(),
	} {
		if _, err := c.AdmissionregistrationV1().MutatingAdmissionPolicies().Create(t.Context(), bad, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Objects of definitions are changed by what their schema says.
func TestMutatingPoliciesOfDefinitions(t *testing.T) {
	h := open(t)
	c := dynamics(h)
	h.put(mutating("widgets", "x.org", "v1", "widgets", applying(`Object{spec: Object.spec{size: 4, parts: [Object.spec.parts{name: "b"}]}}`)), nil)
	made, err := c.Resource(widgetsV1).Namespace("default").Create(t.Context(), widget(t, "w", "{parts: [{name: a, n: 1}]}"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if parts, _ := at(made, "spec", "parts").([]any); at(made, "spec", "size") != int64(4) || len(parts) != 2 {
		t.Errorf("%v", made.Object["spec"])
	}
	h.put(mutating("wrong", "x.org", "v1", "widgets", applying(`Object{spec: Object.spec{unheard: 4}}`)), nil)
	if _, err := c.Resource(widgetsV1).Namespace("default").Create(t.Context(), widget(t, "v", "{}"), metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "field not declared in schema") {
		t.Errorf("a field that there is not: %v", err)
	}
}
