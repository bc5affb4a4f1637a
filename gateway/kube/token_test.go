package kube_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func(context.Context) bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if holds(t.Context()) {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// with is a client that shows a token.
func (h *house) with(token string) *kubernetes.Clientset {
	h.Helper()
	config := rest.AnonymousClientConfig(h.config)
	config.BearerToken, config.QPS = token, -1
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		h.Fatal(err)
	}
	return c
}

// robot makes a ServiceAccount and a token of it.
func (h *house) robot(namespace, name string, spec authenticationv1.TokenRequestSpec) string {
	h.Helper()
	accounts := h.client().CoreV1().ServiceAccounts(namespace)
	if _, err := accounts.Create(h.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		h.Fatal(err)
	}
	out, err := accounts.CreateToken(h.Context(), name, &authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		h.Fatal(err)
	}
	return out.Status.Token
}

func TestTokensComeIn(t *testing.T) {
	h := open(t)
	c := h.client()
	eventually(t, "each namespace has an account", func(ctx context.Context) bool {
		_, err := c.CoreV1().ServiceAccounts("kube-public").Get(ctx, "default", metav1.GetOptions{})
		return err == nil
	})
	token := h.robot("default", "robot", authenticationv1.TokenRequestSpec{})
	_, err := h.with(token).CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "system:serviceaccount:default:robot" cannot list resource "pods"`) {
		t.Errorf("its token: %v", err)
	}
	for what, bad := range map[string]string{
		"one for others": h.robot("default", "robot", authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}}),
		"a broken one":   token[:len(token)-8], "none of ours": "abc",
	} {
		if _, err := h.with(bad).CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := c.CoreV1().ServiceAccounts("default").Delete(t.Context(), "robot", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.with(token).CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("after its account: %v", err)
	}
}

func TestTokenRequests(t *testing.T) {
	h := open(t)
	accounts := h.client().CoreV1().ServiceAccounts("default")
	h.robot("default", "robot", authenticationv1.TokenRequestSpec{})
	pods := h.client().CoreV1().Pods("default")
	pod, err := pods.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{ServiceAccountName: "robot", Containers: []corev1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(name string, spec authenticationv1.TokenRequestSpec) (*authenticationv1.TokenRequest, error) {
		return accounts.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
	}
	short, life := int64(60), int64(1200)
	toPod := &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: "p", UID: pod.UID}
	for what, c := range map[string]struct {
		name string
		spec authenticationv1.TokenRequestSpec
		is   func(error) bool
	}{
		"no such account":    {"nobody", authenticationv1.TokenRequestSpec{}, apierrors.IsNotFound},
		"too short":          {"robot", authenticationv1.TokenRequestSpec{ExpirationSeconds: &short}, apierrors.IsInvalid},
		"another pod's":      {"default", authenticationv1.TokenRequestSpec{BoundObjectRef: toPod}, apierrors.IsBadRequest},
		"no such pod":        {"robot", authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: "q"}}, apierrors.IsNotFound},
		"another life of it": {"robot", authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "x"}}, apierrors.IsConflict},
		"nothing to bind to": {"robot", authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Service", Name: "p"}}, apierrors.IsBadRequest},
	} {
		eventually(t, "the default account", func(ctx context.Context) bool {
			_, err := accounts.Get(ctx, "default", metav1.GetOptions{})
			return err == nil
		})
		if _, err := ask(c.name, c.spec); !c.is(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	got, err := ask("robot", authenticationv1.TokenRequestSpec{ExpirationSeconds: &life, BoundObjectRef: toPod})
	if err != nil || time.Until(got.Status.ExpirationTimestamp.Time) > 20*time.Minute {
		t.Fatalf("%+v, %v", got, err)
	}
	review := func(token string, audiences ...string) authenticationv1.TokenReviewStatus {
		r, err := h.client().AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Status
	}
	s := review(got.Status.Token)
	if !s.Authenticated || s.User.Username != "system:serviceaccount:default:robot" || !slices.Contains(s.User.Groups, "system:serviceaccounts:default") ||
		s.User.Extra["authentication.kubernetes.io/pod-name"][0] != "p" {
		t.Errorf("reviewed: %+v", s)
	}
	if s := review(got.Status.Token, "vault"); s.Authenticated || s.Error == "" {
		t.Errorf("for others: %+v", s)
	}
	grace := int64(0)
	if err := pods.Delete(t.Context(), "p", metav1.DeleteOptions{GracePeriodSeconds: &grace}); err != nil {
		t.Fatal(err)
	}
	if s := review(got.Status.Token); s.Authenticated || !strings.Contains(s.Error, `pods "p"`) || strings.Contains(s.Error, got.Status.Token) {
		t.Errorf("after the pod: %+v", s)
	}
}
