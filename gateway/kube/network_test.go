package kube_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

func ingressOf(name string) *networkingv1.Ingress {
	prefix := networkingv1.PathTypePrefix
	backend := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}}
	return &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{Host: "shop.example.com",
		IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &prefix, Backend: backend}}}}}}}}
}

// An Ingress that names no class gets the newest default one; its controller writes where it is reached.
func TestIngresses(t *testing.T) {
	c := open(t).client().NetworkingV1()
	classless, err := c.Ingresses("default").Create(t.Context(), ingressOf("classless"), metav1.CreateOptions{})
	if err != nil || classless.Spec.IngressClassName != nil || classless.Generation != 1 {
		t.Fatalf("%+v, %v", classless, err)
	}
	for _, name := range []string{"old", "new"} {
		class := &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}},
			Spec: networkingv1.IngressClassSpec{Controller: "example.com/" + name, Parameters: &networkingv1.IngressClassParametersReference{Kind: "Settings", Name: "s"}}}
		made, err := c.IngressClasses().Create(t.Context(), class, metav1.CreateOptions{})
		if err != nil || *made.Spec.Parameters.Scope != networkingv1.IngressClassParametersReferenceScopeCluster {
			t.Fatalf("%+v, %v", made, err)
		}
		made.Spec.Controller = "example.com/another"
		if _, err = c.IngressClasses().Update(t.Context(), made, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "field is immutable") {
			t.Errorf("%v", err)
		}
	}
	made, err := c.Ingresses("default").Create(t.Context(), ingressOf("web"), metav1.CreateOptions{})
	if err != nil || made.Spec.IngressClassName == nil || *made.Spec.IngressClassName != "new" {
		t.Fatalf("%+v, %v", made, err)
	}
	annotated := ingressOf("annotated")
	annotated.Annotations = map[string]string{"kubernetes.io/ingress.class": "old"}
	if got, err := c.Ingresses("default").Create(t.Context(), annotated, metav1.CreateOptions{}); err != nil || got.Spec.IngressClassName != nil {
		t.Errorf("%+v, %v", got, err)
	}
	made.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "203.0.113.1"}}
	made.Spec.Rules = nil // not by this door
	reached, err := c.Ingresses("default").UpdateStatus(t.Context(), made, metav1.UpdateOptions{})
	if err != nil || len(reached.Status.LoadBalancer.Ingress) != 1 || len(reached.Spec.Rules) != 1 {
		t.Fatalf("%+v, %v", reached, err)
	}
	reached.Status.LoadBalancer.Ingress[0] = networkingv1.IngressLoadBalancerIngress{Hostname: "203.0.113.1"}
	if _, err = c.Ingresses("default").UpdateStatus(t.Context(), reached, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "must be a DNS name, not an IP address") {
		t.Errorf("%v", err)
	}
	patched, err := c.Ingresses("default").Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"rules":[{"host":"*.example.com"}]}}`), metav1.PatchOptions{})
	if err != nil || patched.Generation != 2 || patched.Spec.Rules[0].Host != "*.example.com" || len(patched.Status.LoadBalancer.Ingress) != 1 {
		t.Errorf("%+v, %v", patched, err)
	}
}

// Addresses follow from services, and a service gets none that somebody else has.
func TestAddressesFollowServices(t *testing.T) {
	h := open(t)
	core, c := h.client().CoreV1(), h.client().NetworkingV1()
	w, err := c.IPAddresses().Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if _, err = c.IPAddresses().Create(t.Context(), addressFor("10.96.3.3"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.3.3", Ports: []corev1.ServicePort{{Port: 80}}}}
	if _, err = core.Services("default").Create(t.Context(), svc, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "already allocated") {
		t.Errorf("an address of somebody else: %v", err)
	}
	svc.Spec.ClusterIP = "10.96.3.4"
	made, err := core.Services("default").Create(t.Context(), svc, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	one, err := c.IPAddresses().Get(t.Context(), "10.96.3.4", metav1.GetOptions{})
	if err != nil || one.Spec.ParentRef.Resource != "services" || one.Spec.ParentRef.Name != "web" || one.ResourceVersion != made.ResourceVersion || one.Labels[networkingv1.LabelIPAddressFamily] != "IPv4" {
		t.Fatalf("%+v, %v", one, err)
	}
	list, err := c.IPAddresses().List(t.Context(), metav1.ListOptions{})
	names := []string{}
	for _, a := range list.Items {
		names = append(names, a.Name)
	}
	if err != nil || !slices.Contains(names, "10.96.3.3") || !slices.Contains(names, "10.96.3.4") {
		t.Errorf("%v, %v", names, err)
	}
	if _, err = c.IPAddresses().Create(t.Context(), addressFor("10.96.3.4"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("an address of a service: %v", err)
	}
	one.Labels["mine"] = "yes"
	if _, err = c.IPAddresses().Update(t.Context(), one, metav1.UpdateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("what follows from a service: %v", err)
	}
	if err = core.Services("default").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it goes with its service", func(ctx context.Context) bool {
		_, err := c.IPAddresses().Get(ctx, "10.96.3.4", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	for _, want := range []struct {
		name string
		how  watch.EventType
	}{{"10.96.3.3", watch.Added}, {"10.96.3.4", watch.Added}, {"10.96.3.4", watch.Deleted}} {
		for told := false; !told; {
			e, ok := <-w.ResultChan()
			if !ok {
				t.Fatalf("the watch ended before %+v", want)
			}
			a, is := e.Object.(*networkingv1.IPAddress)
			told = is && a.Name == want.name && e.Type == want.how
		}
	}
	for _, name := range []string{"web", "010.96.0.1", "fe80::0:1"} {
		if _, err = c.IPAddresses().Create(t.Context(), addressFor(name), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err = c.IPAddresses().Create(t.Context(), addressFor("fe80::1"), metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
}

func addressFor(ip string) *networkingv1.IPAddress {
	return &networkingv1.IPAddress{ObjectMeta: metav1.ObjectMeta{Name: ip}, Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{Group: "example.com", Resource: "routers", Name: "r"}}}
}

// The range of services says so; another one is kept, and says that nothing comes of it.
func TestRangesOfServices(t *testing.T) {
	c := open(t).client().NetworkingV1().ServiceCIDRs()
	ready := func(s *networkingv1.ServiceCIDR) metav1.Condition {
		if len(s.Status.Conditions) != 1 || s.Status.Conditions[0].Type != networkingv1.ServiceCIDRConditionReady {
			t.Fatalf("%+v", s.Status)
		}
		return s.Status.Conditions[0]
	}
	own, err := c.Get(t.Context(), "kubernetes", metav1.GetOptions{})
	if err != nil || !slices.Equal(own.Spec.CIDRs, []string{"10.96.0.0/16"}) || ready(own).Status != metav1.ConditionTrue {
		t.Fatalf("%+v, %v", own, err)
	}
	if err = c.Delete(t.Context(), "kubernetes", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("%v", err)
	}
	more, err := c.Create(t.Context(), &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "more"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"203.0.113.0/24"}}}, metav1.CreateOptions{})
	if err != nil || ready(more).Status != metav1.ConditionFalse || ready(more).Message != "services get addresses of 10.96.0.0/16 alone" {
		t.Fatalf("%+v, %v", more, err)
	}
	more.Spec.CIDRs = []string{"203.0.114.0/24"}
	if _, err = c.Update(t.Context(), more, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "field is immutable") {
		t.Errorf("%v", err)
	}
	if err = c.Delete(t.Context(), "more", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// Flow schemas and priority levels are kept as Kubernetes keeps them.
func TestFlowControlIsKept(t *testing.T) {
	c := open(t).client().FlowcontrolV1()
	level, err := c.PriorityLevelConfigurations().Create(t.Context(), &flowcontrolv1.PriorityLevelConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "robots"},
		Spec: flowcontrolv1.PriorityLevelConfigurationSpec{Type: flowcontrolv1.PriorityLevelEnablementLimited, Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
			LimitResponse: flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeQueue, Queuing: &flowcontrolv1.QueuingConfiguration{}}}}}, metav1.CreateOptions{})
	if err != nil || *level.Spec.Limited.NominalConcurrencyShares != 30 || level.Spec.Limited.LimitResponse.Queuing.Queues != 64 {
		t.Fatalf("%+v, %v", level, err)
	}
	schema := &flowcontrolv1.FlowSchema{ObjectMeta: metav1.ObjectMeta{Name: "robots"}, Spec: flowcontrolv1.FlowSchemaSpec{PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: "robots"},
		Rules: []flowcontrolv1.PolicyRulesWithSubjects{{Subjects: []flowcontrolv1.Subject{{Kind: flowcontrolv1.SubjectKindUser, User: &flowcontrolv1.UserSubject{Name: "robot"}}},
			NonResourceRules: []flowcontrolv1.NonResourcePolicyRule{{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}}}}}}}
	made, err := c.FlowSchemas().Create(t.Context(), schema, metav1.CreateOptions{})
	if err != nil || made.Spec.MatchingPrecedence != 1000 {
		t.Fatalf("%+v, %v", made, err)
	}
	made.Status.Conditions = []flowcontrolv1.FlowSchemaCondition{{Type: "Tried", Status: flowcontrolv1.ConditionTrue, Reason: "Tests"}}
	if made, err = c.FlowSchemas().UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil || len(made.Status.Conditions) != 1 {
		t.Errorf("%+v, %v", made, err)
	}
	for want, spoil := range map[string]func(*flowcontrolv1.FlowSchemaSpec){
		"only the schema named 'exempt' may have matchingPrecedence 1": func(s *flowcontrolv1.FlowSchemaSpec) { s.MatchingPrecedence = 1 },
		"must reference a priority level":                              func(s *flowcontrolv1.FlowSchemaSpec) { s.PriorityLevelConfiguration.Name = "" },
		"if '*' is present, must not specify other verbs": func(s *flowcontrolv1.FlowSchemaSpec) {
			s.Rules[0].NonResourceRules[0].Verbs = []string{"*", "get"}
		},
		"user is required when subject kind is 'User'": func(s *flowcontrolv1.FlowSchemaSpec) { s.Rules[0].Subjects[0].User = nil },
		"wildcard can only do suffix matching": func(s *flowcontrolv1.FlowSchemaSpec) {
			s.Rules[0].NonResourceRules[0].NonResourceURLs = []string{"/a*"}
		},
	} {
		bad := schema.DeepCopy()
		bad.Name = "bad"
		spoil(&bad.Spec)
		if _, err := c.FlowSchemas().Create(t.Context(), bad, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
