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
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/policy"
	"github.com/stave-run/stave/gateway/rbac"
	"github.com/stave-run/stave/projections"
)

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
	if was, ok := old.(*certificatesv1.PodCertificateRequest); ok {
		return o.mayIssue(v, u, was, next)
	}
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
	if !maySigner(v, u, verb, was.Spec.SignerName) {
		return apierrors.NewForbidden(o.resource(), was.Name, fmt.Errorf("user not permitted to %s requests with signerName %q", verb, was.Spec.SignerName))
	}
	return nil
}

// mayIssue refuses who settles requests for certificates of pods without the right to sign for their signer.
func (o *objects) mayIssue(v projections.State, u user.Info, was *certificatesv1.PodCertificateRequest, next events.Object) error {
	is, ok := next.(*certificatesv1.PodCertificateRequest)
	if !ok || o.part != statusPart || equality.Semantic.DeepEqual(was.Status, is.Status) || maySigner(v, u, "sign", was.Spec.SignerName) {
		return nil
	}
	return apierrors.NewForbidden(o.resource(), was.Name, words(fmt.Sprintf("User %q is not permitted to \"sign\" for signer %q", u.GetName(), was.Spec.SignerName)))
}

// maySigner tells whether somebody may do something in a signer's name, or in that of all of its domain.
func maySigner(v projections.State, u user.Info, verb, signer string) bool {
	domain, _, _ := strings.Cut(signer, "/")
	for _, name := range []string{signer, domain + "/*"} {
		if ok, _ := rbac.Allowed(v, policy.WhoOf(u), rbac.What{Verb: verb, Group: certificatesv1.GroupName, Resource: "signers", Name: name}); ok {
			return true
		}
	}
	return false
}

// mayAttest refuses who says what to trust a signer by without the right to: whoever trusts its bundles trusts the signer,
// not everybody who may write bundles. Whoever only takes a finalizer or an owner away says nothing.
func (o *objects) mayAttest(v projections.State, u user.Info, old, next events.Object) error {
	is, ok := next.(*certificatesv1.ClusterTrustBundle)
	if !ok || is.Spec.SignerName == "" {
		return nil
	}
	if was, same := old.(*certificatesv1.ClusterTrustBundle); same {
		rest := is.DeepCopy()
		rest.OwnerReferences, rest.Finalizers, rest.ManagedFields, rest.ResourceVersion = was.OwnerReferences, was.Finalizers, was.ManagedFields, was.ResourceVersion
		if equality.Semantic.DeepEqual(was, rest) {
			return nil
		}
	}
	if !maySigner(v, u, "attest", is.Spec.SignerName) {
		return apierrors.NewForbidden(o.resource(), is.Name, fmt.Errorf("user not permitted to attest for signerName %q", is.Spec.SignerName))
	}
	return nil
}
