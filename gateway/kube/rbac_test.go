package kube_test

import (
	"context"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/stave-run/stave/events"
)

// binds gives a user a role of the cluster in a namespace.
func (h *house) binds(namespace, role, user string) {
	h.Helper()
	b := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user + "-" + role}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: role}, Subjects: []rbacv1.Subject{{Kind: "User", Name: user}}}
	if _, err := h.client().RbacV1().RoleBindings(namespace).Create(h.Context(), b, metav1.CreateOptions{}); err != nil {
		h.Fatal(err)
	}
}

// user is a client in the name of somebody who has no certificate: impersonated by
// one who may.
func (h *house) user(name string, groups ...string) *kubernetes.Clientset {
	h.Helper()
	config := *h.config
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: groups}
	c, err := kubernetes.NewForConfig(&config)
	if err != nil {
		h.Fatal(err)
	}
	return c
}

func TestRolesAreEnforced(t *testing.T) {
	h := open(t)
	h.binds("default", "view", "ann")
	h.binds("default", "edit", "eva")
	ann, eva := h.user("ann"), h.user("eva")
	ctx := t.Context()
	if _, err := ann.CoreV1().Pods("default").List(ctx, metav1.ListOptions{}); err != nil {
		t.Errorf("who may look: %v", err)
	}
	conf := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"}}
	for what, c := range map[string]struct {
		do   func() error
		want string
	}{
		"a write": {func() error {
			_, err := ann.CoreV1().ConfigMaps("default").Create(ctx, conf, metav1.CreateOptions{})
			return err
		},
			`configmaps is forbidden: User "ann" cannot create resource "configmaps" in API group "" in the namespace "default"`},
		"a Secret": {func() error { _, err := ann.CoreV1().Secrets("default").Get(ctx, "s", metav1.GetOptions{}); return err },
			`secrets "s" is forbidden: User "ann" cannot get resource "secrets" in API group "" in the namespace "default"`},
		"elsewhere": {func() error { _, err := eva.AppsV1().Deployments("other").List(ctx, metav1.ListOptions{}); return err },
			`deployments.apps is forbidden: User "eva" cannot list resource "deployments" in API group "apps" in the namespace "other"`},
		"everywhere": {func() error { _, err := ann.CoreV1().Pods("").List(ctx, metav1.ListOptions{}); return err },
			`pods is forbidden: User "ann" cannot list resource "pods" in API group "" at the cluster scope`},
		"a path": {func() error { return ann.RESTClient().Get().AbsPath("/metrics").Do(ctx).Error() }, `forbidden: User "ann" cannot get path "/metrics"`},
		"exec by GET": {func() error {
			return ann.CoreV1().RESTClient().Get().AbsPath("/api/v1/namespaces/default/pods/p/exec").Do(ctx).Error()
		}, `pods "p" is forbidden: User "ann" cannot get resource "pods/exec" in API group "" in the namespace "default"`},
		"to make by a patch": {func() error {
			_, err := h.user("pat").CoreV1().ConfigMaps("default").Patch(ctx, "new", types.ApplyPatchType, []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new"}}`), metav1.PatchOptions{FieldManager: "x"})
			return err
		}, `configmaps "new" is forbidden: User "pat" cannot create resource "configmaps" in API group "" in the namespace "default"`},
	} {
		if what == "to make by a patch" {
			_, err := h.client().RbacV1().Roles("default").Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "patcher"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"patch", "get"}, APIGroups: []string{""}, Resources: []string{"configmaps"}}}}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			b := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "patchers"}, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "patcher"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "pat"}}}
			if _, err := h.client().RbacV1().RoleBindings("default").Create(ctx, b, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.do(); !apierrors.IsForbidden(err) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %s", what, err, c.want)
		}
	}
	if _, err := eva.CoreV1().ConfigMaps("default").Create(ctx, conf, metav1.CreateOptions{}); err != nil {
		t.Errorf("who may write: %v", err)
	}
}

// A token of an account that is bound comes in, and goes when the binding does.
func TestAccountsHaveRoles(t *testing.T) {
	h := open(t)
	token := h.robot("default", "robot", authenticationv1.TokenRequestSpec{})
	bindings := h.client().RbacV1().RoleBindings("default")
	b := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "view"}, Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "robot", Namespace: "default"}}}
	if _, err := bindings.Create(t.Context(), b, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	list := func() error {
		_, err := h.with(token).CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		return err
	}
	if err := list(); err != nil {
		t.Error(err)
	}
	if err := bindings.Delete(t.Context(), "b", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := list(); !apierrors.IsForbidden(err) {
		t.Errorf("without its binding: %v", err)
	}
}

func TestEscalationIsRefused(t *testing.T) {
	h := open(t)
	h.binds("default", "admin", "ada")
	ada := h.user("ada").RbacV1()
	role := func(name string, resources ...string) *rbacv1.Role {
		return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: resources}}}
	}
	if _, err := ada.Roles("default").Create(t.Context(), role("ok", "pods"), metav1.CreateOptions{}); err != nil {
		t.Errorf("what she has: %v", err)
	}
	_, err := ada.Roles("default").Create(t.Context(), role("more", "nodes"), metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `roles.rbac.authorization.k8s.io "more" is forbidden: user "ada" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:`) {
		t.Errorf("more: %v", err)
	}
	_, err = ada.Roles("default").Patch(t.Context(), "ok", types.JSONPatchType, []byte(`[{"op":"add","path":"/rules/0/resources/-","value":"nodes"}]`), metav1.PatchOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("more by a patch: %v", err)
	}
	if _, err = ada.Roles("default").Patch(t.Context(), "ok", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{}); err != nil {
		t.Errorf("a label: %v", err)
	}
	b := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "cluster-admin"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "ada"}}}
	if _, err = ada.RoleBindings("default").Create(t.Context(), b, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("all to herself: %v", err)
	}
	b.RoleRef.Name = "of-tomorrow"
	if _, err = ada.RoleBindings("default").Create(t.Context(), b, metav1.CreateOptions{}); !apierrors.IsNotFound(err) || err.Error() != `clusterrole.rbac.authorization.k8s.io "of-tomorrow" not found` {
		t.Errorf("what a role will once allow: %v", err)
	}
}

func TestImpersonation(t *testing.T) {
	h := open(t)
	whoami := func(c *kubernetes.Clientset) (authenticationv1.UserInfo, error) {
		r, err := c.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			return authenticationv1.UserInfo{}, err
		}
		return r.Status.UserInfo, nil
	}
	for _, c := range []struct {
		who    string
		groups []string
		want   string
	}{
		{"ann", nil, "ann [system:authenticated]"}, {"ann", []string{"team"}, "ann [team system:authenticated]"},
		{"system:serviceaccount:shop:robot:x", nil, "system:serviceaccount:shop:robot:x [system:authenticated]"}, // no account has that name
		{"system:serviceaccount:shop:robot", nil, "system:serviceaccount:shop:robot [system:serviceaccounts system:serviceaccounts:shop system:authenticated]"},
	} {
		u, err := whoami(h.user(c.who, c.groups...))
		if got := u.Username + " [" + strings.Join(u.Groups, " ") + "]"; err != nil || got != c.want {
			t.Errorf("%s, %v, want %s", got, err, c.want)
		}
	}
	for who, groups := range map[string][]string{"system:anonymous": nil, "ann": {"system:unauthenticated"}} { // nobody who is known: not even this may they ask
		if _, err := whoami(h.user(who, groups...)); !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", who, err)
		}
	}
	mallory := h.as("mallory")
	mallory.Impersonate = rest.ImpersonationConfig{UserName: "admin", Groups: []string{"system:masters"}}
	c, err := kubernetes.NewForConfig(mallory)
	if err != nil {
		t.Fatal(err)
	}
	_, err = whoami(c)
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `users "admin" is forbidden: User "mallory" cannot impersonate resource "users" in API group "" at the cluster scope`) {
		t.Errorf("one who may not: %v", err)
	}
	// The log names both.
	if _, err := h.user("root", "system:masters").CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "made"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	o, _ := h.view.Durable().Get(events.Key{Resource: events.ConfigMaps, Namespace: "default", Name: "made"})
	var made events.Envelope
	if err := h.log.Read(t.Context(), o.Created.Seq, func(e events.Envelope) error { made = e; return context.Canceled }); err != nil && made.Seq == 0 {
		t.Fatal(err)
	}
	if made.Actor != "user:root" || !strings.Contains(made.Message, "sent by admin") {
		t.Errorf("%s says %q", made.Actor, made.Message)
	}
}

func TestAccessReviews(t *testing.T) {
	h := open(t)
	h.binds("default", "view", "ann")
	ann, z := h.user("ann").AuthorizationV1(), h.client().AuthorizationV1()
	ctx := t.Context()
	for what, want := range map[[2]string]bool{{"list", "pods"}: true, {"delete", "pods"}: false, {"get", "secrets"}: false} {
		a := &authorizationv1.ResourceAttributes{Namespace: "default", Verb: what[0], Resource: what[1]}
		own, err := ann.SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: a}}, metav1.CreateOptions{})
		if err != nil || own.Status.Allowed != want {
			t.Errorf("%v of herself: %+v, %v", what, own, err)
		}
		of, err := z.SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "ann", ResourceAttributes: a}}, metav1.CreateOptions{})
		if err != nil || of.Status.Allowed != want {
			t.Errorf("%v of her: %+v, %v", what, of, err)
		}
		local, err := z.LocalSubjectAccessReviews("default").Create(ctx, &authorizationv1.LocalSubjectAccessReview{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}, Spec: authorizationv1.SubjectAccessReviewSpec{User: "ann", ResourceAttributes: a}}, metav1.CreateOptions{})
		if err != nil || local.Status.Allowed != want {
			t.Errorf("%v of her here: %+v, %v", what, local, err)
		}
	}
	if _, err := ann.SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{}, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("about others: %v", err)
	}
	if _, err := z.SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{}, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "at least one of user or group must be specified") || !strings.Contains(err.Error(), "exactly one of") {
		t.Errorf("about nobody: %v", err)
	}
	rules, err := ann.SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "default"}}, metav1.CreateOptions{})
	if err != nil || len(rules.Status.ResourceRules) < 5 || len(rules.Status.NonResourceRules) == 0 {
		t.Errorf("%+v, %v", rules, err)
	}
	admin, err := h.client().RbacV1().ClusterRoles().Get(ctx, "admin", metav1.GetOptions{})
	if err != nil || len(admin.Rules) < 10 {
		t.Errorf("admin shows %d rules, %v", len(admin.Rules), err)
	}
}
