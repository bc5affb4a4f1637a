package kube_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	networkingapply "k8s.io/client-go/applyconfigurations/networking/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// heard are the warnings that a client was given.
type heard struct {
	sync.Mutex
	said []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (h *heard) HandleWarningHeader(_ int, _, text string) {
	h.Lock()
	defer h.Unlock()
	h.said = append(h.said, text)
}

// take is what was said since it was asked last.
func (h *heard) take() []string {
	h.Lock()
	defer h.Unlock()
	said := h.said
	h.said = nil
	return said
}

// hearing is a client, and what it is warned of.
func (h *house) hearing() (*kubernetes.Clientset, *heard) {
	h.Helper()
	config, ears := *h.config, &heard{}
	config.WarningHandler = rest.WarningHandler(ears)
	c, err := kubernetes.NewForConfig(&config)
	if err != nil {
		h.Fatal(err)
	}
	return c, ears
}

func policyFrom(name, cidr string, except ...string) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.NetworkPolicySpec{
		Ingress: []networkingv1.NetworkPolicyIngressRule{{Ports: []networkingv1.NetworkPolicyPort{{}}, From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: except}}}}}}}
}

// A NetworkPolicy is made, changed in every way and watched as in Kubernetes; it has no status.
func TestNetworkPolicies(t *testing.T) {
	h := open(t)
	clients, ears := h.hearing()
	c := clients.NetworkingV1().NetworkPolicies("default")
	w, err := c.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	made, err := c.Create(t.Context(), policyFrom("web", "10.0.0.0/8", "10.1.0.0/16"), metav1.CreateOptions{})
	if err != nil || made.Generation != 1 || !slices.Equal(made.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) || *made.Spec.Ingress[0].Ports[0].Protocol != corev1.ProtocolTCP {
		t.Fatalf("%+v, %v", made, err)
	}
	made.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}}
	made.Spec.PolicyTypes = nil
	changed, err := c.Update(t.Context(), made, metav1.UpdateOptions{})
	if err != nil || changed.Generation != 2 || len(changed.Spec.PolicyTypes) != 2 {
		t.Fatalf("%+v, %v", changed, err)
	}
	if said := ears.take(); len(said) > 0 {
		t.Errorf("warned of what is honoured: %q", said)
	}
	patched, err := c.Patch(t.Context(), "web", types.StrategicMergePatchType, []byte(`{"spec":{"podSelector":{"matchLabels":{"app":"web"}},"ingress":[{"ports":[{"port":"http"}]}]}}`), metav1.PatchOptions{})
	if err != nil || patched.Generation != 3 || len(patched.Spec.Ingress) != 1 || len(patched.Spec.Ingress[0].From) != 0 || patched.Spec.PodSelector.MatchLabels["app"] != "web" || *patched.Spec.Ingress[0].Ports[0].Protocol != corev1.ProtocolTCP {
		t.Errorf("lists of rules are replaced whole: %+v, %v", patched, err)
	}
	labelled := networkingapply.NetworkPolicy("web", "default").WithLabels(map[string]string{"team": "a"})
	applied, err := c.Apply(t.Context(), labelled, metav1.ApplyOptions{FieldManager: "labels"})
	if err != nil || applied.Generation != 3 || applied.Labels["team"] != "a" || len(applied.Spec.Ingress) != 1 {
		t.Errorf("%+v, %v", applied, err)
	}
	if err = c.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []watch.EventType{watch.Added, watch.Modified, watch.Modified, watch.Modified, watch.Deleted} {
		e, ok := <-w.ResultChan()
		if p, is := e.Object.(*networkingv1.NetworkPolicy); !ok || !is || e.Type != want || p.Name != "web" {
			t.Fatalf("%+v, want %s", e, want)
		}
	}
	if code, body, _ := h.raw("/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/web/status", "application/json"); code != http.StatusNotFound {
		t.Errorf("%d %s", code, body)
	}
}

// Both ways in refuse and warn: what is wrong is refused with its place, and what comes to nothing is said each time.
func TestNetworkPoliciesAreChecked(t *testing.T) {
	clients, ears := open(t).hearing()
	c := clients.NetworkingV1().NetworkPolicies("default")
	const subset = `NetworkPolicy.networking.k8s.io "web" is invalid: spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of ` + "`cidr`"
	if _, err := c.Create(t.Context(), policyFrom("web", "10.0.0.0/8", "11.0.0.0/16"), metav1.CreateOptions{}); !apierrors.IsInvalid(err) || err.Error() != subset {
		t.Errorf("%v", err)
	}
	six, err := c.Create(t.Context(), policyFrom("web", "2001:db8::/32"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`spec.ingress[0].from[0].ipBlock.cidr: pods have IPv4 addresses here: "2001:db8::/32" matches nobody`}
	if said := ears.take(); !slices.Equal(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
	six.Labels = map[string]string{"a": "b"}
	if _, err = c.Update(t.Context(), six, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if said := ears.take(); !slices.Equal(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
	if _, err = c.Patch(t.Context(), "web", types.JSONPatchType, []byte(`[{"op":"add","path":"/spec/policyTypes/-","value":"Both"}]`), metav1.PatchOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `spec.policyTypes[1]: Unsupported value: "Both": supported values: "Ingress", "Egress"`) {
		t.Errorf("%v", err)
	}
}

// Clients find the kind by its short name and read what its fields mean; its table is kubectl's.
func TestNetworkPoliciesAreFound(t *testing.T) {
	h := open(t)
	if _, err := h.client().NetworkingV1().NetworkPolicies("default").Create(t.Context(), policyFrom("web", "10.0.0.0/8"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	list, err := h.client().Discovery().ServerResourcesForGroupVersion("networking.k8s.io/v1")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == "networkpolicies" })
	if i < 0 || !slices.Equal(list.APIResources[i].ShortNames, []string{"netpol"}) || !list.APIResources[i].Namespaced || list.APIResources[i].SingularName != "networkpolicy" {
		t.Errorf("%+v", list.APIResources)
	}
	for path, want := range map[string]string{
		"/openapi/v3/apis/networking.k8s.io/v1":                             "NetworkPolicyPeer describes a peer to allow traffic to/from.",
		"/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/web": `"cells":["web","\u003cnone\u003e",`,
	} {
		accept := "application/json"
		if strings.HasSuffix(path, "/web") {
			accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
		}
		if code, body, _ := h.raw(path, accept); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, no %s in %.2000s", path, code, want, body)
		}
	}
}

// Whoever may edit a namespace may write its policies, who may view it may read them, and a quota counts them.
func TestNetworkPoliciesAreRationed(t *testing.T) {
	h := open(t)
	h.binds("default", "view", "ann")
	h.binds("default", "edit", "eva")
	const counted = corev1.ResourceName("count/networkpolicies.networking.k8s.io")
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{counted: resource.MustParse("1")}}}
	if _, err := h.client().CoreV1().ResourceQuotas("default").Create(t.Context(), quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ann, eva := h.user("ann").NetworkingV1().NetworkPolicies("default"), h.user("eva").NetworkingV1().NetworkPolicies("default")
	if _, err := ann.Create(t.Context(), policyFrom("a", "10.0.0.0/8"), metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("who may look alone: %v", err)
	}
	if _, err := eva.Create(t.Context(), policyFrom("a", "10.0.0.0/8"), metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := eva.Create(t.Context(), policyFrom("b", "10.0.0.0/8"), metav1.CreateOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "exceeded quota: q, requested: "+string(counted)+"=1, used: "+string(counted)+"=1, limited: "+string(counted)+"=1") {
		t.Errorf("%v", err)
	}
	if l, err := ann.List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) != 1 {
		t.Errorf("%+v, %v", l, err)
	}
}
