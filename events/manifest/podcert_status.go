package manifest

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Times around a pod's certificate, as in Kubernetes: how far its beginning may be from now, and how far from either end of
// its life another one may be asked for.
const (
	certClockSkew = 5 * time.Minute
	refreshMargin = 10 * time.Minute
)

// Settled is how a request for a pod's certificate ended: Issued, Denied or Failed; empty while it waits.
func Settled(s *certificatesv1.PodCertificateRequestStatus) (metav1.Condition, bool) {
	for _, c := range s.Conditions {
		switch c.Type {
		case certificatesv1.PodCertificateRequestConditionTypeIssued, certificatesv1.PodCertificateRequestConditionTypeDenied, certificatesv1.PodCertificateRequestConditionTypeFailed:
			if c.Status == metav1.ConditionTrue {
				return c, true
			}
		}
	}
	return metav1.Condition{}, false
}

// PodCertStatus says what is wrong with a status of a request for a pod's certificate that takes the place of another one:
// it is written once, whole, with one word on how it ended, and a certificate of the key that was asked with.
func PodCertStatus(old, next *certificatesv1.PodCertificateRequest, now time.Time) field.ErrorList {
	at := field.NewPath("status")
	if errs := validatePodCertConditions(next.Status.Conditions, at.Child("conditions")); len(errs) > 0 {
		return errs
	}
	_, was := Settled(&old.Status)
	is, settled := Settled(&next.Status)
	switch {
	case was && !same(old.Status, next.Status):
		return field.ErrorList{field.Invalid(at, field.OmitValueType{}, "immutable after PodCertificateRequest is issued, denied, or failed")}
	case was:
		return nil
	case !settled && !same(old.Status, next.Status):
		return field.ErrorList{field.Invalid(at, field.OmitValueType{}, `status is immutable unless transitioning to "Issued", "Denied", or "Failed"`)}
	case !settled:
		return nil
	case is.Type == certificatesv1.PodCertificateRequestConditionTypeIssued:
		return validateIssued(next, at, now)
	case !same(next.Status, certificatesv1.PodCertificateRequestStatus{Conditions: next.Status.Conditions}):
		return field.ErrorList{field.Invalid(at, field.OmitValueType{}, "non-condition status fields must be empty when denying or failing the PodCertificateRequest")}
	}
	return nil
}

func validatePodCertConditions(list []metav1.Condition, at *field.Path) field.ErrorList {
	kinds := []string{certificatesv1.PodCertificateRequestConditionTypeIssued, certificatesv1.PodCertificateRequestConditionTypeDenied, certificatesv1.PodCertificateRequestConditionTypeFailed}
	var errs field.ErrorList
	for i, c := range list {
		here := at.Index(i)
		errs = oneOf(errs, here.Child("type"), c.Type, kinds...)
		errs = oneOf(errs, here.Child("status"), c.Status, metav1.ConditionTrue)
		if i > 0 {
			errs = append(errs, field.Invalid(here.Child("type"), c.Type, `There may be at most one condition with type "Issued", "Denied", or "Failed"`))
		}
		if c.Reason == "" {
			errs = append(errs, field.Required(here.Child("reason"), ""))
		}
		if c.LastTransitionTime.IsZero() {
			errs = append(errs, field.Required(here.Child("lastTransitionTime"), ""))
		}
	}
	return errs
}

func validateIssued(r *certificatesv1.PodCertificateRequest, at *field.Path, now time.Time) field.ErrorList {
	chain := at.Child("certificateChain")
	bad := func(at *field.Path, value any, words string) field.ErrorList {
		return field.ErrorList{field.Invalid(at, value, words)}
	}
	if len(r.Status.CertificateChain) > maxCertChain {
		return field.ErrorList{field.TooLong(chain, "", maxCertChain)}
	}
	leaf, wrong := readChain(r.Status.CertificateChain)
	if wrong != "" {
		return bad(chain, "<omitted>", wrong)
	}
	if errs := validateLeafNames(leaf, chain); len(errs) > 0 {
		return errs
	}
	if key, wrong := StubRequest(r.Spec.StubPKCS10Request); wrong != "" {
		return bad(field.NewPath("spec", "stubPKCS10Request"), "<omitted>", wrong)
	} else if !OfKey(leaf, key) {
		return bad(chain, "<omitted>", "leaf certificate was not issued to the requested public key")
	}
	return validateCertTimes(r, leaf, at, now)
}

func validateCertTimes(r *certificatesv1.PodCertificateRequest, leaf *x509.Certificate, at *field.Path, now time.Time) field.ErrorList {
	s, life := &r.Status, leaf.NotAfter.Sub(leaf.NotBefore)
	var errs field.ErrorList
	for _, x := range []struct {
		name string
		t    *metav1.Time
	}{{"notBefore", s.NotBefore}, {"notAfter", s.NotAfter}, {"beginRefreshAt", s.BeginRefreshAt}} {
		if x.t == nil {
			errs = append(errs, field.Required(at.Child(x.name), "must be present and consistent with the issued certificate"))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	for _, c := range []struct {
		wrong bool
		field string
		value any
		words string
	}{
		{!s.NotBefore.Time.Equal(leaf.NotBefore), "notBefore", s.NotBefore.Time, "must be set to the NotBefore time encoded in the leaf certificate"},
		{now.Sub(s.NotBefore.Time).Abs() > certClockSkew, "notBefore", s.NotBefore.Time, "must be set to within 5 minutes of kube-apiserver's current time"},
		{!s.NotAfter.Time.Equal(leaf.NotAfter), "notAfter", s.NotAfter.Time, "must be set to the NotAfter time encoded in the leaf certificate"},
		{life < shortestPodCert*time.Second, "certificateChain", life.String(), "leaf certificate lifetime must be >= 1 hour"},
		{r.Spec.MaxExpirationSeconds == nil || life > time.Duration(*r.Spec.MaxExpirationSeconds)*time.Second, "certificateChain", life.String(),
			fmt.Sprintf("leaf certificate lifetime must be <= spec.maxExpirationSeconds (%v)", secondsOf(r.Spec.MaxExpirationSeconds))},
		{s.BeginRefreshAt.Time.Before(s.NotBefore.Add(refreshMargin)), "beginRefreshAt", s.BeginRefreshAt.Time, "must be at least 10 minutes after status.notBefore"},
		{s.BeginRefreshAt.Time.After(s.NotAfter.Add(-refreshMargin)), "beginRefreshAt", s.BeginRefreshAt.Time, "must be at least 10 minutes before status.notAfter"},
	} {
		if c.wrong {
			return field.ErrorList{field.Invalid(at.Child(c.field), c.value, c.words)}
		}
	}
	return nil
}

func secondsOf(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}

// readChain is the first of a chain of certificates, or what is wrong with the chain.
func readChain(text string) (leaf *x509.Certificate, wrong string) {
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks"
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil && leaf == nil:
			return nil, "leaf certificate does not parse as valid X.509"
		case err != nil:
			return nil, "intermediate certificate does not parse as valid X.509"
		case leaf == nil:
			leaf = cert
		}
	}
	if leaf == nil {
		return nil, "issued certificate chain must contain at least one certificate"
	}
	return leaf, ""
}

func validateLeafNames(leaf *x509.Certificate, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, name := range leaf.DNSNames {
		if name == "" {
			errs = append(errs, field.Invalid(at, name, "leaf certificate should not contain empty DNSName"))
		}
		if strings.Contains(name, "..") {
			errs = append(errs, field.Invalid(at, name, "leaf certificate's DNSName should not contain '..'"))
		}
		if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
			errs = append(errs, field.Invalid(at, name, "leaf certificate's DNSName should not start or end with '.'"))
		}
	}
	for _, address := range leaf.EmailAddresses {
		if who, where, ok := strings.Cut(address, "@"); !ok || who == "" || where == "" || strings.ContainsAny(address, " \t\r\n<>,;") || strings.Contains(where, "@") {
			errs = append(errs, field.Invalid(at, address, "leaf certificate should not contain invalid EmailAddress"))
		}
	}
	return errs
}
