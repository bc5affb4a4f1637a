package kube

import (
	"errors"
	"net/http"
	"strings"

	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/stave-run/stave/gateway/badge"
)

// bearer is the token that a request shows.
func bearer(r *http.Request) (string, bool) {
	scheme, given, ok := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	given = strings.TrimSpace(given)
	return given, ok && strings.EqualFold(scheme, "bearer") && given != ""
}

// believed is what a token says, if it is good now.
func (s *Server) believed(given string) (badge.Claims, error) {
	if s.Tokens == nil {
		return badge.Claims{}, errors.New("this cluster gives out no tokens")
	}
	c, err := s.Tokens.Read(given)
	if err != nil {
		return c, err
	}
	return c, badge.Current(s.Views.Durable(), c)
}

// The keys under which a token's user says what it is bound to, as in Kubernetes.
const (
	extraID       = "authentication.kubernetes.io/credential-id"
	extraPod      = "authentication.kubernetes.io/pod-name"
	extraPodUID   = "authentication.kubernetes.io/pod-uid"
	extraNode     = "authentication.kubernetes.io/node-name"
	extraNodeUID  = "authentication.kubernetes.io/node-uid"
	credentialJTI = "JTI="
)

// accountUser is a ServiceAccount as a user.
func accountUser(c badge.Claims) user.Info {
	extra := map[string][]string{extraID: {credentialJTI + c.ID}}
	if p := c.Bound.Pod; p != nil {
		extra[extraPod], extra[extraPodUID] = []string{p.Name}, []string{string(p.UID)}
	}
	if n := c.Bound.Node; n != nil {
		extra[extraNode], extra[extraNodeUID] = []string{n.Name}, []string{string(n.UID)}
	}
	return &user.DefaultInfo{Name: c.Subject, UID: string(c.Bound.Account.UID), Extra: extra,
		Groups: append(badge.Groups(c.Bound.Namespace), user.AllAuthenticated)}
}
