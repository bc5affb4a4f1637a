package policy

import (
	"context"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/stave-run/stave/gateway/rbac"
	"github.com/stave-run/stave/projections"
)

// Rights answers what handlers and expressions ask beside a request itself, by
// the roles of a state: may a patch of what is not there make it, may somebody
// use what a policy guards?
type Rights func() projections.State

// WhoOf is a user as the roles know one.
func WhoOf(u user.Info) rbac.Who { return rbac.Who{Name: u.GetName(), Groups: u.GetGroups()} }

// Authorize implements authorizer.UnconditionalAuthorizer.
func (r Rights) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	what := rbac.What{Verb: a.GetVerb(), Path: a.GetPath()}
	if a.IsResourceRequest() {
		what = rbac.What{Verb: a.GetVerb(), Group: a.GetAPIGroup(), Resource: a.GetResource(), Subresource: a.GetSubresource(), Name: a.GetName(), Namespace: a.GetNamespace()}
	}
	if ok, reason := rbac.Allowed(r(), WhoOf(a.GetUser()), what); ok {
		return authorizer.DecisionAllow, reason, nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}
