package kube

import (
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/stave-run/stave/events"
)

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
	if name.CommonName == "" {
		return nil, apierrors.NewUnauthorized("Unauthorized") // it names nobody
	}
	return &user.DefaultInfo{Name: name.CommonName, Groups: append(slices.Clone(name.Organization), user.AllAuthenticated)}, nil
}

// words are an error in Kubernetes' own words.
type words string

// Error implements error.
func (w words) Error() string { return string(w) }

// actorOf is how the log names a request's user.
func actorOf(u user.Info) events.Actor { return events.User(u.GetName()) }
