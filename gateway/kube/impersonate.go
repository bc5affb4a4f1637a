package kube

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/stave-run/stave/gateway/badge"
	"github.com/stave-run/stave/gateway/rbac"
)

// wished is whom a request wants to be taken for.
type wished struct {
	name, uid string
	groups    []string
	extra     map[string][]string
}

// impersonated is who a request is taken for: somebody else, when it says so and
// its user may. The headers are taken away, so that nothing behind looks at them.
func (s *Server) impersonated(r *http.Request, u user.Info) (user.Info, error) {
	w, any, err := wishOf(r.Header)
	if err != nil || !any {
		return u, err
	}
	for _, what := range w.asked() {
		if err := s.mayDo(u, what); err != nil {
			return nil, err
		}
	}
	if namespace, _, ok := badge.AccountOf(w.name); ok && len(w.groups) == 0 {
		w.groups = badge.Groups(namespace)
	}
	return &user.DefaultInfo{Name: w.name, UID: w.uid, Groups: w.known(), Extra: w.extra}, nil
}

// known are the groups with the one of everybody who is known, or of those who are not.
func (w wished) known() []string {
	all := user.AllAuthenticated
	if w.name == user.Anonymous {
		all = user.AllUnauthenticated
	}
	if slices.Contains(w.groups, all) || slices.Contains(w.groups, user.AllUnauthenticated) {
		return w.groups
	}
	return append(w.groups, all)
}

func wishOf(h http.Header) (w wished, any bool, err error) {
	w = wished{name: h.Get(authenticationv1.ImpersonateUserHeader), uid: h.Get(authenticationv1.ImpersonateUIDHeader),
		groups: slices.Clone(h.Values(authenticationv1.ImpersonateGroupHeader)), extra: map[string][]string{}}
	for name, values := range h {
		if !strings.HasPrefix(name, authenticationv1.ImpersonateUserExtraHeaderPrefix) {
			continue
		}
		key := strings.ToLower(name[len(authenticationv1.ImpersonateUserExtraHeaderPrefix):])
		if plain, err := url.PathUnescape(key); err == nil {
			key = plain
		}
		w.extra[key] = slices.Clone(values)
		h.Del(name)
	}
	for _, name := range []string{authenticationv1.ImpersonateUserHeader, authenticationv1.ImpersonateUIDHeader, authenticationv1.ImpersonateGroupHeader} {
		h.Del(name)
	}
	if w.name == "" && (w.uid != "" || len(w.groups)+len(w.extra) > 0) {
		return w, true, apierrors.NewInternalError(errors.New("impersonation of groups, a uid or extra values without a user"))
	}
	return w, w.name != "", nil
}

// asked is what the request's user must be allowed, thing by thing.
func (w wished) asked() []rbac.What {
	const verb = "impersonate"
	var out []rbac.What
	if namespace, name, ok := badge.AccountOf(w.name); ok {
		out = append(out, rbac.What{Verb: verb, Resource: "serviceaccounts", Namespace: namespace, Name: name})
	} else {
		out = append(out, rbac.What{Verb: verb, Resource: "users", Name: w.name})
	}
	for _, g := range w.groups {
		out = append(out, rbac.What{Verb: verb, Resource: "groups", Name: g})
	}
	if w.uid != "" {
		out = append(out, rbac.What{Verb: verb, Group: authenticationv1.GroupName, Resource: "uids", Name: w.uid})
	}
	for key, values := range w.extra {
		for _, v := range values {
			out = append(out, rbac.What{Verb: verb, Group: authenticationv1.GroupName, Resource: "userextras", Subresource: key, Name: v})
		}
	}
	return out
}
