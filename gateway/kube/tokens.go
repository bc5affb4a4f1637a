package kube

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/badge"
	"github.com/stave-run/stave/projections"
)

// tokens is the subresource of a ServiceAccount by which people get its tokens.
type tokens struct{ of *objects }

var (
	_ rest.NamedCreater             = tokens{}
	_ rest.GroupVersionKindProvider = tokens{}
)

// New implements rest.Storage.
func (tokens) New() runtime.Object {
	return &authenticationv1.TokenRequest{TypeMeta: metav1.TypeMeta{Kind: "TokenRequest", APIVersion: "authentication.k8s.io/v1"}}
}

// Destroy implements rest.Storage.
func (tokens) Destroy() {}

// GroupVersionKind implements rest.GroupVersionKindProvider.
func (tokens) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind {
	return authenticationv1.SchemeGroupVersion.WithKind("TokenRequest")
}

// defaultLife is how long a token lasts for which nobody says so, in seconds.
const defaultLife = 60 * 60

// Create implements rest.NamedCreater.
func (t tokens) Create(ctx context.Context, name string, o runtime.Object, _ rest.ValidateObjectFunc, opts *metav1.CreateOptions) (runtime.Object, error) {
	s := t.of.Server
	req, ok := o.(*authenticationv1.TokenRequest)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a TokenRequest: %T", o))
	}
	k := t.of.key(ctx, name)
	account, there := s.Views.Durable().Get(k)
	if !there {
		return nil, apierrors.NewNotFound(t.of.resource(), name)
	}
	if s.Tokens == nil {
		return nil, apierrors.NewServiceUnavailable("this cluster gives out no tokens")
	}
	req.Name, req.Namespace, req.CreationTimestamp = k.Name, k.Namespace, metav1.NewTime(s.Now().Truncate(time.Second))
	req.SetManagedFields(nil)
	if req.Spec.ExpirationSeconds == nil {
		life := int64(defaultLife)
		req.Spec.ExpirationSeconds = &life
	}
	if errs := manifest.ValidateTokenLife(*req.Spec.ExpirationSeconds, field.NewPath("spec", "expirationSeconds")); len(errs) > 0 {
		return nil, apierrors.NewInvalid(authenticationv1.SchemeGroupVersion.WithKind("TokenRequest").GroupKind(), name, errs)
	}
	if len(req.Spec.Audiences) == 0 {
		req.Spec.Audiences = []string{s.Tokens.Issuer}
	}
	bound := badge.Bound{Namespace: k.Namespace, Account: badge.Named{Name: k.Name, UID: account.UID}}
	if err := bind(s.Views.Durable(), &bound, req.Spec.BoundObjectRef); err != nil {
		return nil, err
	}
	if len(opts.DryRun) > 0 {
		return req, nil
	}
	text, claims, err := s.Tokens.Issue(bound, req.Spec.Audiences, time.Duration(*req.Spec.ExpirationSeconds)*time.Second)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	req.Status = authenticationv1.TokenRequestStatus{Token: text, ExpirationTimestamp: metav1.NewTime(time.Unix(claims.Expires, 0))}
	return req, nil
}

// bindable are the kinds that a token can be bound to.
var bindable = map[string]events.Resource{"Pod": events.Pods, "Secret": events.Secrets, "Node": events.Nodes}

// bind binds a token to what its request names.
func bind(v projections.State, b *badge.Bound, ref *authenticationv1.BoundObjectReference) error {
	if ref == nil {
		return nil
	}
	resource, ok := bindable[ref.Kind]
	if !ok || ref.APIVersion != "v1" {
		return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s", schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)))
	}
	k := events.Key{Resource: resource, Namespace: b.Namespace, Name: ref.Name}
	if resource == events.Nodes {
		k.Namespace = ""
	}
	o, there := v.Get(k)
	if !there {
		return apierrors.NewNotFound(schema.GroupResource{Resource: string(resource)}, ref.Name)
	}
	if ref.UID != "" && string(ref.UID) != string(o.UID) {
		return apierrors.NewConflict(schema.GroupResource{Resource: string(resource)}, ref.Name,
			words(fmt.Sprintf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID)))
	}
	named := &badge.Named{Name: ref.Name, UID: o.UID}
	switch resource {
	case events.Secrets:
		b.Secret = named
	case events.Nodes:
		b.Node = named
	case events.Pods:
		if own := projections.AccountOf(o.PodSpec()); own != b.Account.Name {
			return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token for serviceaccount %q to pod running with different serviceaccount name.", b.Account.Name))
		}
		whole, err := badge.BindPod(v, o)
		if err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
		b.Pod, b.Node = whole.Pod, whole.Node
	}
	return nil
}

// reviewToken says for others whose token this is.
func (s *Server) reviewToken(_ context.Context, r *authenticationv1.TokenReview) error {
	if r.Spec.Token == "" {
		return apierrors.NewBadRequest("token is required for TokenReview in authentication")
	}
	c, err := s.believed(r.Spec.Token)
	if err != nil {
		r.Status = authenticationv1.TokenReviewStatus{Error: "invalid bearer token: " + err.Error()}
		return nil
	}
	audiences := s.Tokens.For(c, r.Spec.Audiences)
	if len(audiences) == 0 {
		r.Status = authenticationv1.TokenReviewStatus{Error: fmt.Sprintf("token audiences %q is invalid for the target audiences %q", c.Audience, r.Spec.Audiences)}
		return nil
	}
	r.Status = authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: audiences, User: infoOf(accountUser(c))}
	return nil
}
