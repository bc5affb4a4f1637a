package kube

import (
	"context"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/stave-run/stave/events"
)

// masters is the group that may do everything. There are no roles yet, so
// nobody else may do anything.
const masters = user.SystemPrivilegedGroup

// public paths are for everybody who reaches the address, as in Kubernetes.
var public = []string{"/version", "/healthz", "/livez", "/readyz"}

// whoIs reads the user from the request's token, or else from the client's
// certificate.
func (s *Server) whoIs(r *http.Request) (user.Info, error) {
	if given, ok := bearer(r); ok {
		c, err := s.believed(given)
		if err != nil || len(s.Tokens.For(c, nil)) == 0 {
			return nil, apierrors.NewUnauthorized("Unauthorized")
		}
		return accountUser(c), nil
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, apierrors.NewUnauthorized("Unauthorized")
	}
	if err := s.Authority.Verify(r.TLS.PeerCertificates); err != nil {
		return nil, apierrors.NewUnauthorized("Unauthorized")
	}
	name := r.TLS.PeerCertificates[0].Subject
	return &user.DefaultInfo{Name: name.CommonName, Groups: append(slices.Clone(name.Organization), user.AllAuthenticated)}, nil
}

// mayAll refuses everybody who is not in the group of masters.
func mayAll(u user.Info, i *request.RequestInfo) error {
	if slices.Contains(u.GetGroups(), masters) {
		return nil
	}
	if !i.IsResourceRequest {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
			Message: "forbidden: User \"" + u.GetName() + "\" cannot " + i.Verb + " path \"" + i.Path + "\"", Details: &metav1.StatusDetails{}}}
	}
	where := "at the cluster scope"
	if i.Namespace != "" {
		where = "in the namespace \"" + i.Namespace + "\""
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: i.APIGroup, Resource: i.Resource}, i.Name, words(
		"User \""+u.GetName()+"\" cannot "+i.Verb+" resource \""+i.Resource+"\" in API group \""+i.APIGroup+"\" "+where))
}

// asked is the authorizer of the handlers: mayAll has been asked at the door.
// The library's own brings clients for webhooks along.
type asked struct{}

// Authorize implements authorizer.UnconditionalAuthorizer.
func (asked) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	return authorizer.DecisionAllow, "", nil
}

// words are an error in Kubernetes' own words.
type words string

// Error implements error.
func (w words) Error() string { return string(w) }

// actorOf is how the log names a request's user.
func actorOf(u user.Info) events.Actor { return events.User(u.GetName()) }
