package kube

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/stave-run/stave/events"
)

// question is a resource that is only ever created: what is created is a question,
// and its status the answer. None is kept.
type question struct {
	events.Kind
	answer func(ctx context.Context, s *Server, o runtime.Object) error // into the object's status
}

// questions are all of them.
var questions = []question{
	{events.Kind{Resource: "tokenreviews.authentication.k8s.io", Group: "authentication.k8s.io", Version: "v1", Name: "TokenReview", Singular: "tokenreview",
		New: func() events.Object { return &authenticationv1.TokenReview{} }}, answering((*Server).reviewToken)},
	{events.Kind{Resource: "selfsubjectreviews.authentication.k8s.io", Group: "authentication.k8s.io", Version: "v1", Name: "SelfSubjectReview", Singular: "selfsubjectreview",
		New: func() events.Object { return &authenticationv1.SelfSubjectReview{} }}, answering((*Server).reviewSelf)},
	{events.Kind{Resource: "localsubjectaccessreviews.authorization.k8s.io", Group: "authorization.k8s.io", Version: "v1", Name: "LocalSubjectAccessReview", Singular: "localsubjectaccessreview",
		Namespaced: true, New: func() events.Object { return &authorizationv1.LocalSubjectAccessReview{} }}, answering((*Server).reviewLocalAccess)},
	{events.Kind{Resource: "selfsubjectaccessreviews.authorization.k8s.io", Group: "authorization.k8s.io", Version: "v1", Name: "SelfSubjectAccessReview", Singular: "selfsubjectaccessreview",
		New: func() events.Object { return &authorizationv1.SelfSubjectAccessReview{} }}, answering((*Server).reviewOwnAccess)},
	{events.Kind{Resource: "selfsubjectrulesreviews.authorization.k8s.io", Group: "authorization.k8s.io", Version: "v1", Name: "SelfSubjectRulesReview", Singular: "selfsubjectrulesreview",
		New: func() events.Object { return &authorizationv1.SelfSubjectRulesReview{} }}, answering((*Server).reviewOwnRules)},
	{events.Kind{Resource: "subjectaccessreviews.authorization.k8s.io", Group: "authorization.k8s.io", Version: "v1", Name: "SubjectAccessReview", Singular: "subjectaccessreview",
		New: func() events.Object { return &authorizationv1.SubjectAccessReview{} }}, answering((*Server).reviewAccess)},
}

// answering makes an answer to a question of one type.
func answering[T runtime.Object](f func(*Server, context.Context, T) error) func(context.Context, *Server, runtime.Object) error {
	return func(ctx context.Context, s *Server, o runtime.Object) error {
		q, ok := o.(T)
		if !ok {
			return apierrors.NewBadRequest(fmt.Sprintf("not what was to be asked: %T", o))
		}
		return f(s, ctx, q)
	}
}

// served are the kinds of all resources, questions too.
func served() []events.Kind {
	var out []events.Kind
	for _, k := range events.Kinds {
		out = append(out, k)
		for _, older := range events.OlderKinds { // beside it, so that its group is one
			if older.Resource == k.Resource {
				out = append(out, older)
			}
		}
	}
	out = append(slices.Concat(out, events.NoteKinds, measuredKinds), bindingKind)
	for _, q := range questions {
		out = append(out, q.Kind)
	}
	return out
}

// isQuestion tells whether things of a kind are only ever created, and never there.
func isQuestion(k events.Kind) bool {
	return k.Resource == bindingKind.Resource || slices.ContainsFunc(questions, func(q question) bool { return q.Resource == k.Resource })
}

// asking is the storage of a question that the handlers work on.
type asking struct {
	*Server
	question
}

var _ rest.Creater = &asking{}

// New implements rest.Storage.
func (a *asking) New() runtime.Object {
	o := a.question.New()
	o.GetObjectKind().SetGroupVersionKind(a.GVK())
	return o
}

// Destroy implements rest.Storage.
func (a *asking) Destroy() {}

// Create implements rest.Creater.
func (a *asking) Create(ctx context.Context, o runtime.Object, _ rest.ValidateObjectFunc, _ *metav1.CreateOptions) (runtime.Object, error) {
	if m, ok := o.(metav1.Object); ok {
		m.SetManagedFields(nil)
	}
	return o, a.answer(ctx, a.Server, o)
}

// addQuestions serves them. An answer is no table: whoever asks for one gets 406.
func (v *verbs) addQuestions() error {
	for _, q := range questions {
		scope, err := v.scope(q.Kind, q.GVK(), "", nil, managedfields.NewDeducedTypeConverter())
		if err != nil {
			return fmt.Errorf("serve %s: %w", q.Resource, err)
		}
		v.set(q.Kind, "", "create", fresh(func() http.HandlerFunc { return handlers.CreateResource(&asking{v.server, q}, scope, nil) }))
	}
	return nil
}
