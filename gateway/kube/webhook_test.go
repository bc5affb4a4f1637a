package kube_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
)

// hooked is a webhook that answers as a test says.
type hooked struct {
	*httptest.Server
	mu    sync.Mutex
	asked []*admissionv1.AdmissionRequest
}

// answering serves a webhook until the test ends.
func answering(t *testing.T, answer func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse) *hooked {
	t.Helper()
	h := &hooked{}
	h.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		h.mu.Lock()
		h.asked = append(h.asked, review.Request)
		h.mu.Unlock()
		review.Response = answer(review.Request)
		review.Response.UID = review.Request.UID
		review.Request = nil
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review) // a client that left needs no answer
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hooked) calls() []*admissionv1.AdmissionRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

// webhook is a registration of it for ConfigMaps.
func (h *hooked) webhook(name string, change func(*registrationv1.ValidatingWebhook)) registrationv1.ValidatingWebhook {
	none := registrationv1.SideEffectClassNone
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})
	w := registrationv1.ValidatingWebhook{Name: name, ClientConfig: registrationv1.WebhookClientConfig{URL: &h.URL, CABundle: ca},
		SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
		Rules: []registrationv1.RuleWithOperations{{Operations: []registrationv1.OperationType{registrationv1.OperationAll},
			Rule: registrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps", "pods/exec"}}}}}
	if change != nil {
		change(&w)
	}
	return w
}

func (h *hooked) mutating(name string, policy registrationv1.ReinvocationPolicyType) registrationv1.MutatingWebhook {
	w := h.webhook(name, nil)
	return registrationv1.MutatingWebhook{Name: w.Name, ClientConfig: w.ClientConfig, SideEffects: w.SideEffects, Rules: w.Rules,
		AdmissionReviewVersions: w.AdmissionReviewVersions, ReinvocationPolicy: &policy}
}

func validate(t *testing.T, c kubernetes.Interface, name string, hooks ...registrationv1.ValidatingWebhook) {
	t.Helper()
	_, err := c.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(),
		&registrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}, Webhooks: hooks}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func allow(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true}
}

// patching adds a word to the data of ConfigMaps that have another one.
func patching(word, after string) func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return func(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		var cm corev1.ConfigMap
		out := allow(r)
		if json.Unmarshal(r.Object.Raw, &cm) != nil || cm.Data[word] != "" || cm.Data[after] == "" {
			return out
		}
		kind := admissionv1.PatchTypeJSONPatch
		out.PatchType, out.Patch = &kind, []byte(`[{"op":"add","path":"/data/`+word+`","value":"yes"}]`)
		return out
	}
}

// Mutating webhooks change objects one after the other, and one that wants to sees
// what those after it did.
func TestMutatingWebhooks(t *testing.T) {
	h := open(t)
	c := h.client()
	first, second := answering(t, patching("last", "middle")), answering(t, patching("middle", "begin"))
	_, err := c.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), &registrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "m"}, Webhooks: []registrationv1.MutatingWebhook{
			first.mutating("first.example.com", registrationv1.IfNeededReinvocationPolicy), second.mutating("second.example.com", registrationv1.NeverReinvocationPolicy)}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), configMap("a", map[string]string{"begin": "yes"}), metav1.CreateOptions{})
	if err != nil || made.Data["middle"] != "yes" || made.Data["last"] != "yes" {
		t.Fatalf("%v, %v", made.Data, err)
	}
	if n := len(first.calls()); n != 2 {
		t.Errorf("the first one was asked %d times", n)
	}
	if r := second.calls()[0]; r.Operation != admissionv1.Create || r.Name != "a" || r.Namespace != "default" || r.Kind.Kind != "ConfigMap" ||
		r.Resource.Resource != "configmaps" || r.UserInfo.Username != "admin" || r.OldObject.Raw != nil || *r.DryRun {
		t.Errorf("it was asked %+v", r)
	}
	// A patch is an update: the new object is what is asked about, beside the old.
	patched, err := c.CoreV1().ConfigMaps("default").Patch(t.Context(), "a", "application/merge-patch+json", []byte(`{"data":{"last":null}}`), metav1.PatchOptions{})
	if err != nil || patched.Data["last"] != "yes" {
		t.Errorf("%v, %v", patched.Data, err)
	}
	last := first.calls()[len(first.calls())-1]
	if last.Operation != admissionv1.Update || last.OldObject.Raw == nil {
		t.Errorf("the update was told as %+v", last)
	}
}

// A validating webhook refuses in Kubernetes' words; one that cannot be asked
// refuses too, unless it said otherwise.
func TestValidatingWebhooks(t *testing.T) {
	h := open(t)
	h.podOn("p")
	c := h.client()
	no := answering(t, func(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		if strings.Contains(r.Name, "good") {
			return &admissionv1.AdmissionResponse{Allowed: true, Warnings: []string{"barely"}}
		}
		return &admissionv1.AdmissionResponse{Result: &metav1.Status{Message: "too bad", Code: http.StatusTeapot}}
	})
	maps := c.CoreV1().ConfigMaps("default")
	if _, err := maps.Create(t.Context(), configMap("old", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	validate(t, c, "v", no.webhook("no.example.com", nil))
	_, err := maps.Create(t.Context(), configMap("bad", nil), metav1.CreateOptions{})
	if want := `admission webhook "no.example.com" denied the request: too bad`; err == nil || err.Error() != want || apierrors.ReasonForError(err) != "" {
		t.Errorf("create: %v", err)
	}
	if _, err = maps.Create(t.Context(), configMap("good", nil), metav1.CreateOptions{DryRun: []string{"All"}}); err != nil || !*no.calls()[len(no.calls())-1].DryRun {
		t.Errorf("dry run: %v", err)
	}
	if err = maps.Delete(t.Context(), "old", metav1.DeleteOptions{}); err == nil || !strings.Contains(err.Error(), "too bad") {
		t.Errorf("delete: %v", err)
	}
	last := no.calls()[len(no.calls())-1]
	if last.Operation != admissionv1.Delete || last.Object.Raw != nil || last.OldObject.Raw == nil {
		t.Errorf("the deletion was told as %+v", last)
	}
	err = c.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name("p").SubResource("exec").Param("command", "true").Param("stdout", "true").Do(t.Context()).Error()
	if err == nil || !strings.Contains(err.Error(), "too bad") {
		t.Errorf("exec: %v", err)
	}
}

func TestWebhooksThatDoNotAnswer(t *testing.T) {
	h := open(t)
	c := h.client()
	gone := answering(t, allow)
	gone.Close()
	wrong := answering(t, func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		kind := admissionv1.PatchTypeJSONPatch
		return &admissionv1.AdmissionResponse{Allowed: true, Patch: []byte("[]"), PatchType: &kind}
	})
	named := func(name string) func(*registrationv1.ValidatingWebhook) {
		return func(w *registrationv1.ValidatingWebhook) {
			w.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"for": name}}
		}
	}
	validate(t, c, "gone", gone.webhook("gone.example.com", named("gone")), wrong.webhook("wrong.example.com", named("wrong")),
		gone.webhook("open.example.com", func(w *registrationv1.ValidatingWebhook) {
			ignore := registrationv1.Ignore
			named("open")(w)
			w.FailurePolicy = &ignore
		}),
		gone.webhook("service.example.com", func(w *registrationv1.ValidatingWebhook) {
			named("service")(w)
			w.ClientConfig.URL, w.ClientConfig.Service = nil, &registrationv1.ServiceReference{Namespace: "default", Name: "nobody"}
		}))
	for name, want := range map[string]string{
		"gone":    `Internal error occurred: failed calling webhook "gone.example.com": failed to call webhook: Post "https://127.0.0.1`,
		"wrong":   `Internal error occurred: failed calling webhook "wrong.example.com": received invalid webhook response: validating webhook may not return response.patch`,
		"service": `service "nobody" not found`,
		"open":    "",
		"other":   "",
	} {
		cm := configMap(name, nil)
		cm.Labels = map[string]string{"for": name}
		_, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), cm, metav1.CreateOptions{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// Conditions say in CEL what a webhook is asked about; what guards the cluster is
// never asked about.
func TestWebhookConditions(t *testing.T) {
	h := open(t)
	c := h.client()
	no := answering(t, func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{}
	})
	validate(t, c, "v", no.webhook("no.example.com", func(w *registrationv1.ValidatingWebhook) {
		w.Rules[0].APIGroups, w.Rules[0].Resources = []string{"*"}, []string{"*"}
		w.MatchConditions = []registrationv1.MatchCondition{{Name: "guarded", Expression: "object != null && 'guarded' in object.metadata.labels"}}
	}))
	cm := configMap("a", nil)
	cm.Labels = map[string]string{"guarded": "", "x": ""}
	if _, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), cm, metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "without explanation") {
		t.Errorf("guarded: %v", err)
	}
	cm.Labels = map[string]string{"x": ""}
	if _, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
		t.Errorf("not guarded: %v", err)
	}
	bad := no.webhook("bad.example.com", func(w *registrationv1.ValidatingWebhook) {
		w.MatchConditions = []registrationv1.MatchCondition{{Name: "x", Expression: "object.metadata.name =="}}
	})
	_, err := c.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(),
		&registrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "bad", Labels: map[string]string{"guarded": ""}}, Webhooks: []registrationv1.ValidatingWebhook{bad}}, metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "webhooks[0].matchConditions[0].expression") || !strings.Contains(err.Error(), "compilation failed") {
		t.Errorf("a condition that is none: %v", err)
	}
	if err := c.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(context.WithoutCancel(t.Context()), "v", metav1.DeleteOptions{}); err != nil {
		t.Errorf("a webhook kept itself: %v", err)
	}
}

// A policy refuses with its message, in the words and with the code that it names.
func TestAdmissionPolicies(t *testing.T) {
	h := open(t)
	c := h.client()
	policies, bindings := c.AdmissionregistrationV1().ValidatingAdmissionPolicies(), c.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	forbidden := metav1.StatusReasonForbidden
	policy := &registrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "few"}, Spec: registrationv1.ValidatingAdmissionPolicySpec{
		ParamKind: &registrationv1.ParamKind{APIVersion: "v1", Kind: "ConfigMap"},
		MatchConstraints: &registrationv1.MatchResources{ResourceRules: []registrationv1.NamedRuleWithOperations{{RuleWithOperations: registrationv1.RuleWithOperations{
			Operations: []registrationv1.OperationType{registrationv1.Create, registrationv1.Update},
			Rule:       registrationv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}}}}}},
		Variables: []registrationv1.Variable{{Name: "most", Expression: "int(params.data.most)"}},
		Validations: []registrationv1.Validation{
			{Expression: "object.spec.replicas <= variables.most", MessageExpression: "'at most ' + string(variables.most) + ' replicas'", Reason: &forbidden},
			{Expression: "namespaceObject.metadata.name == 'default'"}}}}
	if _, err := policies.Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	deny := registrationv1.DenyAction
	binding := &registrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "bound"}, Spec: registrationv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: "few", ParamRef: &registrationv1.ParamRef{Name: "limit", Namespace: "default", ParameterNotFoundAction: &deny},
		ValidationActions: []registrationv1.ValidationAction{registrationv1.Deny}}}
	make := func(replicas int32) error {
		d := workload("web", replicas)
		_, err := c.AppsV1().Deployments("default").Create(t.Context(), d, metav1.CreateOptions{DryRun: []string{"All"}})
		return err
	}
	if err := make(9); err != nil {
		t.Errorf("without a binding: %v", err)
	}
	if _, err := bindings.Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const begins = `deployments.apps "web" is forbidden: ValidatingAdmissionPolicy 'few' with binding 'bound' denied request: `
	if err := make(1); err == nil || err.Error() != begins+"failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction" {
		t.Errorf("without params: %v", err)
	}
	if _, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), configMap("limit", map[string]string{"most": "3"}), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := make(3); err != nil {
		t.Errorf("3: %v", err)
	}
	if err := make(4); !apierrors.IsForbidden(err) || err.Error() != begins+"at most 3 replicas" {
		t.Errorf("4: %v", err)
	}
	// With Warn it only says so.
	binding.Spec.ValidationActions = []registrationv1.ValidationAction{registrationv1.Warn}
	if _, err := bindings.Update(t.Context(), binding, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := make(4); err != nil {
		t.Errorf("warned: %v", err)
	}
	policy.Name, policy.Spec.Validations[0].Expression = "broken", "object.spec.replicas <= nobody"
	if _, err := policies.Create(t.Context(), policy, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(fmt.Sprint(err), "undeclared reference to 'nobody'") {
		t.Errorf("a policy that is none: %v", err)
	}
}

// Objects of definitions are shown like all others: webhooks change them, and
// policies read them.
func TestObjectsOfDefinitionsAreGuarded(t *testing.T) {
	h := open(t)
	c, d := h.client(), dynamics(h)
	paint := answering(t, func(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		kind := admissionv1.PatchTypeJSONPatch
		return &admissionv1.AdmissionResponse{Allowed: true, PatchType: &kind, Patch: []byte(`[{"op":"add","path":"/spec/colour","value":"red"},{"op":"add","path":"/spec/unheardOf","value":1}]`)}
	})
	w := paint.mutating("paint.example.com", registrationv1.NeverReinvocationPolicy)
	w.Rules[0].APIGroups, w.Rules[0].Resources = []string{"x.org"}, []string{"widgets"}
	_, err := c.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), &registrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "paint"}, Webhooks: []registrationv1.MutatingWebhook{w}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	policy := &registrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "small"}, Spec: registrationv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &registrationv1.MatchResources{ResourceRules: []registrationv1.NamedRuleWithOperations{{RuleWithOperations: w.Rules[0]}}},
		Validations:      []registrationv1.Validation{{Expression: "object.spec.size < 5 && object.spec.colour == 'red'", Message: "too large"}}}}
	if _, err = c.AdmissionregistrationV1().ValidatingAdmissionPolicies().Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = c.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Create(t.Context(), &registrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "here"},
		Spec: registrationv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: "small", ValidationActions: []registrationv1.ValidationAction{registrationv1.Deny}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := d.Resource(widgetsV1).Namespace("default")
	made, err := all.Create(t.Context(), widget(t, "a", "{size: 3}"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if colour, _, _ := unstructured.NestedString(made.Object, "spec", "colour"); colour != "red" {
		t.Errorf("made %v", made.Object)
	}
	if _, there, _ := unstructured.NestedFieldNoCopy(made.Object, "spec", "unheardOf"); there { // nobody's mistake, and no field of widgets
		t.Errorf("made %v", made.Object)
	}
	if _, err = all.Create(t.Context(), widget(t, "b", "{size: 7}"), metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "too large") {
		t.Errorf("too large: %v", err)
	}
	if r := paint.calls()[0]; r.Kind.Kind != "Widget" || r.Kind.Version != "v1" || r.Resource.Resource != "widgets" {
		t.Errorf("asked about %+v", r)
	}
}
