package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/policy"
	"github.com/stave-run/stave/gateway/rbac"
	"github.com/stave-run/stave/projections"
)

// statusParts are the subresources that write an object's status.
var statusParts = []string{statusPart, admit.PartApproval}

// addApproval adds the door through which requests for certificates are approved.
func (v *verbs) addApproval(k events.Kind, of *objects) error {
	part := &objects{Server: of.Server, kind: k, part: admit.PartApproval}
	scope, err := v.scope(k, k.GVK(), admit.PartApproval, part, v.types)
	if err != nil {
		return err
	}
	v.set(k, admit.PartApproval, "get", handlers.GetResource(part, scope))
	v.set(k, admit.PartApproval, "update", handlers.UpdateResource(part, scope, of.Server.Admission))
	v.set(k, admit.PartApproval, "patch", handlers.PatchResource(part, scope, of.Server.Admission, patchTypes))
	return nil
}

// asker is who makes a request.
func asker(ctx context.Context) admit.Asker {
	u, ok := request.UserFrom(ctx)
	if !ok {
		return admit.Asker{}
	}
	return admit.Asker{Name: u.GetName(), UID: u.GetUID(), Groups: slices.Clone(u.GetGroups()), Extra: u.GetExtra()}
}

// maySettle refuses who approves requests of a signer, or signs in its name, without the
// right to: the right to write them is not enough.
func (o *objects) maySettle(v projections.State, u user.Info, old, next events.Object) error {
	was, ok := old.(*certificatesv1.CertificateSigningRequest)
	is, same := next.(*certificatesv1.CertificateSigningRequest)
	if !ok || !same {
		return nil
	}
	verb := ""
	switch {
	case o.part == admit.PartApproval:
		verb = "approve"
	case o.part == statusPart && !equality.Semantic.DeepEqual(was.Status, is.Status):
		verb = "sign"
	default:
		return nil
	}
	domain, _, _ := strings.Cut(was.Spec.SignerName, "/")
	for _, name := range []string{was.Spec.SignerName, domain + "/*"} {
		if ok, _ := rbac.Allowed(v, policy.WhoOf(u), rbac.What{Verb: verb, Group: certificatesv1.GroupName, Resource: "signers", Name: name}); ok {
			return nil
		}
	}
	return apierrors.NewForbidden(o.resource(), was.Name, fmt.Errorf("user not permitted to %s requests with signerName %q", verb, was.Spec.SignerName))
}
