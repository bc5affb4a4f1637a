package policy

import (
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Scope is which requests a webhook, a policy or a binding is asked about. A
// request matches by the version that it is made in: matchPolicy makes no
// difference, and only definitions serve more than one.
type Scope struct {
	Rules      []admissionv1.NamedRuleWithOperations // of which one has to match; nil lets all match
	Except     []admissionv1.NamedRuleWithOperations // of which none may match
	Namespaces *metav1.LabelSelector                 // of the request's namespace; nil selects all
	Objects    *metav1.LabelSelector                 // of the object, old or new; nil selects all
}

// ScopeOf is the scope of a policy or binding; of one that names none, all.
func ScopeOf(m *admissionv1.MatchResources) Scope {
	if m == nil {
		return Scope{}
	}
	return Scope{Rules: m.ResourceRules, Except: m.ExcludeResourceRules, Namespaces: m.NamespaceSelector, Objects: m.ObjectSelector}
}

// Exempt tells whether nobody is asked about a request: what guards a cluster
// must not keep people from mending what guards it.
func Exempt(a admission.Attributes) bool { return rules.IsExemptAdmissionConfigurationResource(a) }

// Holds tells whether a request is in the scope. Its error says which selector
// cannot be read, or that the request's namespace is not there.
func (s Scope) Holds(v projections.State, a admission.Attributes) (bool, error) {
	if !s.ruled(a) {
		return false, nil
	}
	if ok, err := holdsObject(s.Objects, a); !ok || err != nil {
		return false, err
	}
	return s.holdsNamespace(v, a)
}

func (s Scope) ruled(a admission.Attributes) bool {
	return (s.Rules == nil || anyRule(s.Rules, a)) && !anyRule(s.Except, a)
}

func anyRule(all []admissionv1.NamedRuleWithOperations, a admission.Attributes) bool {
	return slices.ContainsFunc(all, func(r admissionv1.NamedRuleWithOperations) bool {
		m := rules.Matcher{Rule: r.RuleWithOperations, Attr: a}
		return m.Matches() && (len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, a.GetName()))
	})
}

func holdsObject(s *metav1.LabelSelector, a admission.Attributes) (bool, error) {
	selector, err := selectorOf(s)
	if err != nil || selector.Empty() {
		return err == nil, err
	}
	return selects(selector, a.GetObject()) || selects(selector, a.GetOldObject()), nil
}

func selects(s labels.Selector, o runtime.Object) bool {
	if o == nil {
		return false
	}
	m, err := meta.Accessor(o)
	return err == nil && s.Matches(labels.Set(m.GetLabels()))
}

// holdsNamespace: what lies in no namespace is always held. A namespace itself is
// judged by the labels that it will have.
func (s Scope) holdsNamespace(v projections.State, a admission.Attributes) (bool, error) {
	selector, err := selectorOf(s.Namespaces)
	if err != nil || selector.Empty() {
		return err == nil, err
	}
	if ns, ok := a.GetObject().(*corev1.Namespace); ok && a.GetSubresource() == "" {
		return selector.Matches(labels.Set(ns.Labels)), nil
	}
	name := a.GetNamespace()
	if name == "" && a.GetResource().Resource == string(events.Namespaces) {
		name = a.GetName()
	}
	if name == "" {
		return true, nil
	}
	ns := namespaceOf(v, name)
	if ns == nil {
		return false, fmt.Errorf("namespace %q not found", name)
	}
	return selector.Matches(labels.Set(ns.Labels)), nil
}

func namespaceOf(v projections.State, name string) *corev1.Namespace {
	o, ok := v.Get(events.Key{Resource: events.Namespaces, Name: name})
	if !ok {
		return nil
	}
	return projections.As[*corev1.Namespace](o)
}

// selectorOf reads a selector; none selects everything.
func selectorOf(s *metav1.LabelSelector) (labels.Selector, error) {
	if s == nil {
		return labels.Everything(), nil
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil, fmt.Errorf("read selector: %w", err)
	}
	return selector, nil
}
