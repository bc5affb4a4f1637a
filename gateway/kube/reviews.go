package kube

import (
	"context"
	"errors"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/stave-run/stave/gateway/policy"
	"github.com/stave-run/stave/gateway/rbac"
)

// userOf is who asks; the door has let nobody in without one.
func userOf(ctx context.Context) (user.Info, error) {
	if u, ok := request.UserFrom(ctx); ok {
		return u, nil
	}
	return nil, apierrors.NewInternalError(errors.New("no user present on request"))
}

// allowed answers whether somebody may do what a review of a kind names: one of a resource
// and a path. wrong is what else is wrong with the review.
func (s *Server) allowed(kind string, who rbac.Who, r *authorizationv1.ResourceAttributes, n *authorizationv1.NonResourceAttributes, wrong field.ErrorList) (authorizationv1.SubjectAccessReviewStatus, error) {
	var what rbac.What
	switch {
	case (r == nil) == (n == nil):
		wrong = append(wrong, field.Invalid(field.NewPath("spec"), n, "exactly one of nonResourceAttributes or resourceAttributes must be specified"))
	case r != nil:
		what = rbac.What{Verb: r.Verb, Group: r.Group, Resource: r.Resource, Subresource: r.Subresource, Name: r.Name, Namespace: r.Namespace}
	default:
		what = rbac.What{Verb: n.Verb, Path: n.Path}
	}
	if len(wrong) > 0 {
		return authorizationv1.SubjectAccessReviewStatus{}, apierrors.NewInvalid(authorizationv1.SchemeGroupVersion.WithKind(kind).GroupKind(), "", wrong)
	}
	ok, reason := rbac.Allowed(s.Views.Durable(), who, what)
	return authorizationv1.SubjectAccessReviewStatus{Allowed: ok, Reason: reason}, nil
}

func (s *Server) reviewOwnAccess(ctx context.Context, r *authorizationv1.SelfSubjectAccessReview) error {
	u, err := userOf(ctx)
	if err == nil {
		r.Status, err = s.allowed("SelfSubjectAccessReview", policy.WhoOf(u), r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes, nil)
	}
	return err
}

// nobody is what is wrong with a review about nobody.
func nobody(s *authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	if s.User != "" || len(s.Groups) > 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("spec", "user"), s.User, "at least one of user or group must be specified")}
}

func (s *Server) reviewAccess(_ context.Context, r *authorizationv1.SubjectAccessReview) (err error) {
	r.Status, err = s.allowed("SubjectAccessReview", rbac.Who{Name: r.Spec.User, Groups: r.Spec.Groups}, r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes, nobody(&r.Spec))
	return err
}

func (s *Server) reviewLocalAccess(ctx context.Context, r *authorizationv1.LocalSubjectAccessReview) (err error) {
	wrong := nobody(&r.Spec)
	if a := r.Spec.ResourceAttributes; a != nil && a.Namespace != request.NamespaceValue(ctx) {
		wrong = append(wrong, field.Invalid(field.NewPath("spec.resourceAttributes.namespace"), a.Namespace, "must match metadata.namespace"))
	}
	if n := r.Spec.NonResourceAttributes; n != nil {
		wrong = append(wrong, field.Invalid(field.NewPath("spec.nonResourceAttributes"), n, "disallowed on this kind of request"))
	}
	r.Status, err = s.allowed("LocalSubjectAccessReview", rbac.Who{Name: r.Spec.User, Groups: r.Spec.Groups}, r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes, wrong)
	return err
}

// reviewOwnRules lists what the asker may do in a namespace.
func (s *Server) reviewOwnRules(ctx context.Context, r *authorizationv1.SelfSubjectRulesReview) error {
	if r.Spec.Namespace == "" {
		return apierrors.NewBadRequest("no namespace on request")
	}
	u, err := userOf(ctx)
	if err != nil {
		return err
	}
	r.Status = authorizationv1.SubjectRulesReviewStatus{ResourceRules: []authorizationv1.ResourceRule{}, NonResourceRules: []authorizationv1.NonResourceRule{}}
	for _, rule := range rbac.Rules(s.Views.Durable(), policy.WhoOf(u), r.Spec.Namespace) {
		if len(rule.NonResourceURLs) > 0 {
			r.Status.NonResourceRules = append(r.Status.NonResourceRules, authorizationv1.NonResourceRule{Verbs: rule.Verbs, NonResourceURLs: rule.NonResourceURLs})
			continue
		}
		r.Status.ResourceRules = append(r.Status.ResourceRules,
			authorizationv1.ResourceRule{Verbs: rule.Verbs, APIGroups: rule.APIGroups, Resources: rule.Resources, ResourceNames: rule.ResourceNames})
	}
	return nil
}

// reviewSelf says who the asker is.
func (s *Server) reviewSelf(ctx context.Context, r *authenticationv1.SelfSubjectReview) error {
	u, err := userOf(ctx)
	if err == nil {
		r.Status.UserInfo = infoOf(u)
	}
	return err
}

// infoOf is a user as answers name one.
func infoOf(u user.Info) authenticationv1.UserInfo {
	out := authenticationv1.UserInfo{Username: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups()}
	for k, values := range u.GetExtra() {
		if out.Extra == nil {
			out.Extra = map[string]authenticationv1.ExtraValue{}
		}
		out.Extra[k] = values
	}
	return out
}
