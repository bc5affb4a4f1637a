package policy

import (
	"strings"
	"testing"

	registrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers/stage"
)

func town() projections.State {
	w := stage.New()
	w.Apply(events.Key{Resource: events.Namespaces, Name: "guarded"}, `{"metadata":{"name":"guarded","labels":{"guard":"yes"}}}`)
	w.Apply(events.Key{Resource: events.Namespaces, Name: "open"}, `{"metadata":{"name":"open"}}`)
	return w.State
}

// about is a request that creates a pod with labels "k=v,…", or a namespace.
func about(namespace, name, resource string, labels map[string]string) admission.Attributes {
	meta := metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels}
	if resource == "namespaces" {
		meta.Namespace = ""
		return admission.NewAttributesRecord(&corev1.Namespace{ObjectMeta: meta}, nil, corev1.SchemeGroupVersion.WithKind("Namespace"), name, name,
			corev1.SchemeGroupVersion.WithResource(resource), "", admission.Create, nil, false, &user.DefaultInfo{})
	}
	res, sub, _ := strings.Cut(resource, "/")
	return admission.NewAttributesRecord(&corev1.Pod{ObjectMeta: meta}, nil, corev1.SchemeGroupVersion.WithKind("Pod"), namespace, name,
		corev1.SchemeGroupVersion.WithResource(res), sub, admission.Create, nil, false, &user.DefaultInfo{})
}

func rule(resource string, names ...string) registrationv1.NamedRuleWithOperations {
	return registrationv1.NamedRuleWithOperations{ResourceNames: names, RuleWithOperations: registrationv1.RuleWithOperations{
		Operations: []registrationv1.OperationType{registrationv1.Create}, Rule: registrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{resource}}}}
}

func with(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func TestScopes(t *testing.T) {
	all, none := []registrationv1.NamedRuleWithOperations{rule("*")}, []registrationv1.NamedRuleWithOperations{}
	for name, x := range map[string]struct {
		scope Scope
		asked admission.Attributes
		want  bool
		err   string
	}{
		"a scope of nothing holds everything":    {Scope{}, about("open", "p", "pods", nil), true, ""},
		"no rule holds nothing":                  {Scope{Rules: none}, about("open", "p", "pods", nil), false, ""},
		"a rule for it":                          {Scope{Rules: []registrationv1.NamedRuleWithOperations{rule("pods")}}, about("open", "p", "pods", nil), true, ""},
		"a rule for another":                     {Scope{Rules: []registrationv1.NamedRuleWithOperations{rule("services")}}, about("open", "p", "pods", nil), false, ""},
		"* is no subresource":                    {Scope{Rules: all}, about("open", "p", "pods/exec", nil), false, ""},
		"*/* is":                                 {Scope{Rules: []registrationv1.NamedRuleWithOperations{rule("*/*")}}, about("open", "p", "pods/exec", nil), true, ""},
		"by name":                                {Scope{Rules: []registrationv1.NamedRuleWithOperations{rule("pods", "q")}}, about("open", "p", "pods", nil), false, ""},
		"left out":                               {Scope{Rules: all, Except: []registrationv1.NamedRuleWithOperations{rule("pods", "p")}}, about("open", "p", "pods", nil), false, ""},
		"in a namespace with the label":          {Scope{Rules: all, Namespaces: with("guard", "yes")}, about("guarded", "p", "pods", nil), true, ""},
		"in one without":                         {Scope{Rules: all, Namespaces: with("guard", "yes")}, about("open", "p", "pods", nil), false, ""},
		"in none that is there":                  {Scope{Rules: all, Namespaces: with("guard", "yes")}, about("gone", "p", "pods", nil), false, `namespace "gone" not found`},
		"a namespace by the labels it will have": {Scope{Rules: all, Namespaces: with("guard", "yes")}, about("", "new", "namespaces", map[string]string{"guard": "yes"}), true, ""},
		"a namespace without":                    {Scope{Rules: all, Namespaces: with("guard", "yes")}, about("", "new", "namespaces", nil), false, ""},
		"an object with the label":               {Scope{Rules: all, Objects: with("a", "b")}, about("open", "p", "pods", map[string]string{"a": "b"}), true, ""},
		"an object without":                      {Scope{Rules: all, Objects: with("a", "b")}, about("open", "p", "pods", nil), false, ""},
		"a selector that is none": {Scope{Rules: all, Objects: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}},
			about("open", "p", "pods", nil), false, "read selector"},
	} {
		got, err := x.scope.Holds(town(), x.asked)
		if got != x.want || (err == nil) != (x.err == "") || err != nil && !strings.Contains(err.Error(), x.err) {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
}

func TestParams(t *testing.T) {
	w := stage.New()
	for _, ns := range []string{"a", "b"} {
		w.Apply(events.Key{Resource: events.Namespaces, Name: ns}, `{"metadata":{"name":"`+ns+`"}}`)
		w.Apply(events.Key{Resource: events.ConfigMaps, Namespace: ns, Name: "limit"}, `{"metadata":{"name":"limit","namespace":"`+ns+`","labels":{"limit":"yes"}}}`)
	}
	deny, allow := registrationv1.DenyAction, registrationv1.AllowAction
	maps, spaces := &registrationv1.ParamKind{APIVersion: "v1", Kind: "ConfigMap"}, &registrationv1.ParamKind{APIVersion: "v1", Kind: "Namespace"}
	for name, x := range map[string]struct {
		kind  *registrationv1.ParamKind
		ref   *registrationv1.ParamRef
		in    string
		found int
		err   string
	}{
		"a policy that takes none runs once": {nil, &registrationv1.ParamRef{Name: "limit"}, "a", 1, ""},
		"a binding that gives none":          {maps, nil, "a", 1, ""},
		"by name, where the request is":      {maps, &registrationv1.ParamRef{Name: "limit", ParameterNotFoundAction: &deny}, "b", 1, ""},
		"by name, elsewhere":                 {maps, &registrationv1.ParamRef{Name: "limit", Namespace: "a", ParameterNotFoundAction: &deny}, "", 1, ""},
		"by selector":                        {maps, &registrationv1.ParamRef{Selector: with("limit", "yes"), ParameterNotFoundAction: &deny}, "a", 1, ""},
		"not there, and that is fine":        {maps, &registrationv1.ParamRef{Name: "other", ParameterNotFoundAction: &allow}, "a", 0, ""},
		"not there":                          {maps, &registrationv1.ParamRef{Name: "other", ParameterNotFoundAction: &deny}, "a", 0, "no params found"},
		"nowhere":                            {maps, &registrationv1.ParamRef{Name: "limit", ParameterNotFoundAction: &deny}, "", 0, "cluster-scoped resources"},
		"a place for what has none":          {spaces, &registrationv1.ParamRef{Name: "a", Namespace: "b", ParameterNotFoundAction: &deny}, "a", 0, "must not be provided"},
		"of the cluster":                     {spaces, &registrationv1.ParamRef{Name: "a", ParameterNotFoundAction: &deny}, "b", 1, ""},
		"of no kind":                         {&registrationv1.ParamKind{APIVersion: "v9", Kind: "Gadget"}, &registrationv1.ParamRef{Name: "a", ParameterNotFoundAction: &deny}, "b", 0, "failed to find resource"},
	} {
		got, err := paramsOf(w.State, x.kind, x.ref, x.in)
		if len(got) != x.found && err == nil || (err == nil) != (x.err == "") || err != nil && !strings.Contains(err.Error(), x.err) {
			t.Errorf("%s: %d, %v", name, len(got), err)
		}
	}
}
