package kube_test

import (
	"net/http"
	"strings"
	"testing"

	registrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	openapi "k8s.io/client-go/discovery"
)

// A slash at the end of a document's path says nothing.
func TestDiscoveryTakesNoNoticeOfSlashes(t *testing.T) {
	h := open(t)
	for path, want := range map[string]string{"/api": "APIVersions", "/apis": "APIGroupList", "/apis/apps": "APIGroup", "/api/v1": "APIResourceList", "/apis/apps/v1": "APIResourceList"} {
		for _, slash := range []string{"", "/"} {
			if code, body, _ := h.raw(path+slash, "application/json"); code != http.StatusOK || !strings.Contains(body, `"kind":"`+want+`"`) {
				t.Errorf("%s%s: %d %.200s", path, slash, code, body)
			}
		}
	}
	for _, path := range []string{"/apis//", "/apis/apps//", "/apis/nowhere/"} {
		if code, body, _ := h.raw(path, "application/json"); code != http.StatusNotFound && code/100 != 3 {
			t.Errorf("%s: %d %.200s", path, code, body)
		}
	}
}

// Clients compare by a hash in which version the objects of a kind are kept.
func TestDiscoveryTellsWhatIsKept(t *testing.T) {
	h := open(t)
	dynamics(h)
	d, err := openapi.NewDiscoveryClientForConfig(h.config)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ gv, resource, hash string }{
		{"v1", "configmaps", discovery.StorageVersionHash("", "v1", "ConfigMap")},
		{"v1", "pods/status", ""},
		{"x.org/v1beta1", "widgets", discovery.StorageVersionHash("x.org", "v1", "Widget")},
		{"metrics.k8s.io/v1beta1", "pods", ""},
		{"authorization.k8s.io/v1", "selfsubjectaccessreviews", ""},
	} {
		list, err := d.ServerResourcesForGroupVersion(x.gv)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, r := range list.APIResources {
			if r.Name == x.resource {
				found = true
				if r.StorageVersionHash != x.hash {
					t.Errorf("%s %s: %q, not %q", x.gv, x.resource, r.StorageVersionHash, x.hash)
				}
			}
		}
		if !found {
			t.Errorf("%s has no %s", x.gv, x.resource)
		}
	}
}

// The answer to a question is no table.
func TestAnswersAreNoTables(t *testing.T) {
	h := open(t)
	ask := func(accept string) int {
		var code int
		err := h.client().AuthorizationV1().RESTClient().Post().Resource("selfsubjectaccessreviews").SetHeader("Accept", accept).SetHeader("Content-Type", "application/json").
			Body([]byte(`{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"nonResourceAttributes":{"path":"/","verb":"get"}}}`)).
			Do(t.Context()).StatusCode(&code).Error()
		if (err == nil) != (code/100 == 2) {
			t.Errorf("%s: %d %v", accept, code, err)
		}
		return code
	}
	const table = "application/json;as=Table;v=v1;g=meta.k8s.io"
	if code := ask(table); code != http.StatusNotAcceptable {
		t.Errorf("a table: %d", code)
	}
	if code := ask(table + ",application/json"); code != http.StatusCreated {
		t.Errorf("a table, or else what it is: %d", code)
	}
}

// A schema that keeps what it does not know says so to whoever applies, and to readers.
func TestSchemasThatKnowLittle(t *testing.T) {
	h := open(t)
	c := dynamics(h)
	loose := parsed(t, "apiVersion: x.org/v1beta1\nkind: Widget\nmetadata: {name: loose}\nspec: {unheard: of, deep: [{a: 1}]}\n")
	raw, err := loose.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	applied, err := c.Resource(widgetsBeta).Namespace("default").Patch(t.Context(), "loose", types.ApplyPatchType, raw, metav1.PatchOptions{FieldManager: "me", FieldValidation: "Strict"})
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	if len(applied.GetManagedFields()) != 1 || !strings.Contains(string(applied.GetManagedFields()[0].FieldsV1.Raw), `"f:unheard"`) {
		t.Errorf("managed: %+v", applied.GetManagedFields())
	}
	code, body, _ := h.raw("/openapi/v3/apis/x.org/v1beta1", "application/json")
	for _, want := range []string{`"x-kubernetes-preserve-unknown-fields":true`, "Standard object's metadata.", `"x-kubernetes-group-version-kind":[{"group":"x.org","kind":"Widget","version":"v1beta1"}]`} {
		if code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d: no %s in %.600s", code, want, body)
		}
	}
	// Version 2 has no word for it, and clients would refuse what it does not name: it names nothing.
	_, body, _ = h.raw("/openapi/v2", "application/json")
	if want := `"org.x.v1beta1.Widget":{"type":"object","x-kubernetes-group-version-kind":[{"group":"x.org","kind":"Widget","version":"v1beta1"}]}`; !strings.Contains(body, want) {
		t.Errorf("version 2 has not %s", want)
	}
}

// Who looks after policies writes their status.
func TestPoliciesHaveAStatus(t *testing.T) {
	h := open(t)
	c := h.client().AdmissionregistrationV1().ValidatingAdmissionPolicies()
	policy := &registrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: registrationv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &registrationv1.MatchResources{ResourceRules: []registrationv1.NamedRuleWithOperations{{RuleWithOperations: registrationv1.RuleWithOperations{
			Operations: []registrationv1.OperationType{registrationv1.Create}, Rule: registrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}}}}}},
		Validations: []registrationv1.Validation{{Expression: "object.metadata.name != 'no'"}}}}
	made, err := c.Create(t.Context(), policy, metav1.CreateOptions{})
	if err != nil || made.Status.ObservedGeneration != made.Generation || made.Generation == 0 {
		t.Fatalf("%+v, %v", made, err)
	}
	said, err := c.Patch(t.Context(), "p", types.MergePatchType, []byte(`{"spec":{"failurePolicy":"Ignore"},"status":{"conditions":[{"type":"Seen","status":"True","reason":"Read","message":"by me","lastTransitionTime":"2024-01-01T00:00:00Z"}]}}`),
		metav1.PatchOptions{}, "status")
	if err != nil || len(said.Status.Conditions) != 1 || said.Status.Conditions[0].Reason != "Read" || *said.Spec.FailurePolicy != registrationv1.Fail {
		t.Fatalf("%+v, %v", said, err)
	}
	said.Spec.Validations[0].Message = "no"
	if said, err = c.Update(t.Context(), said, metav1.UpdateOptions{}); err != nil || said.Status.ObservedGeneration != made.Generation+1 || len(said.Status.Conditions) != 1 {
		t.Errorf("%+v, %v", said, err)
	}
}
