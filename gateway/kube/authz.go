package kube

import (
	"context"
	"errors"
	"net/http"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/policy"
	"github.com/stave-run/stave/gateway/rbac"
	"github.com/stave-run/stave/projections"
)

// whatOf is a request as the rules know one.
func whatOf(i *request.RequestInfo) rbac.What {
	if !i.IsResourceRequest {
		return rbac.What{Verb: i.Verb, Path: i.Path}
	}
	return rbac.What{Verb: i.Verb, Group: i.APIGroup, Resource: i.Resource, Subresource: i.Subresource, Name: i.Name, Namespace: i.Namespace}
}

// asWritten are the parts of pods that change what runs there, whichever method a
// client's protocol wants: who may only read must not come in by a GET.
var asWritten = map[string]bool{"exec": true, "attach": true, "portforward": true}

// may refuses who may not.
func (s *Server) may(u user.Info, i *request.RequestInfo) error {
	what := whatOf(i)
	if err := s.mayDo(u, what); err != nil {
		if finer := finerOf(what, i); finer != "" {
			fine := what
			if fine.Subresource = finer; s.mayDo(u, fine) == nil {
				return nil
			}
		}
		return err
	}
	if what.Verb == "get" && what.Resource == "pods" && asWritten[what.Subresource] {
		what.Verb = "create"
		return s.mayDo(u, what)
	}
	return nil
}

func (s *Server) mayDo(u user.Info, what rbac.What) error {
	if ok, _ := rbac.Allowed(s.Views.Durable(), policy.WhoOf(u), what); ok {
		return nil
	}
	return refused(u, what)
}

// refused is the error of who may not, in Kubernetes' words.
func refused(u user.Info, what rbac.What) error {
	whose := "User \"" + u.GetName() + "\" cannot " + what.Verb
	if what.Path != "" {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
			Message: "forbidden: " + whose + " path \"" + what.Path + "\"", Details: &metav1.StatusDetails{}}}
	}
	resource, where := what.Resource, "at the cluster scope"
	if what.Subresource != "" {
		resource += "/" + what.Subresource
	}
	if what.Namespace != "" {
		where = "in the namespace \"" + what.Namespace + "\""
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: what.Group, Resource: what.Resource}, what.Name,
		words(whose+" resource \""+resource+"\" in API group \""+what.Group+"\" "+where))
}

// escalating asks, on the writer's own view, whether who writes a role or binding
// has all that it gives; and whether who approves a certificate, signs one, or says
// what a signer is trusted by, may.
func (o *objects) escalating(ctx context.Context, old, next events.Object) func(projections.State) error {
	u, ok := request.UserFrom(ctx)
	if !ok {
		return nil
	}
	return func(v projections.State) error {
		if err := rbac.MayWrite(v, policy.WhoOf(u), old, next); err != nil {
			return o.escalation(next.GetName(), err)
		}
		if err := o.mayAttest(v, u, old, next); err != nil {
			return err
		}
		return o.maySettle(v, u, old, next)
	}
}

// escalation is what MayWrite says as an answer.
func (o *objects) escalation(name string, err error) error {
	var none *rbac.NoRoleError
	if errors.As(err, &none) {
		return apierrors.NewNotFound(schema.GroupResource{Group: rbacv1.GroupName, Resource: none.Resource}, none.Name)
	}
	return apierrors.NewForbidden(o.resource(), name, err)
}
