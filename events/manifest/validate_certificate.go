package manifest

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// shortestCertificate is how many seconds a certificate may be asked for at least.
const shortestCertificate = 600

// longestKey is how many bits an RSA key may have whose signature is checked.
const longestKey = 16384

// usages are what a certificate can be good for.
var usages = []certificatesv1.KeyUsage{certificatesv1.UsageSigning, certificatesv1.UsageDigitalSignature, certificatesv1.UsageContentCommitment, certificatesv1.UsageKeyEncipherment,
	certificatesv1.UsageKeyAgreement, certificatesv1.UsageDataEncipherment, certificatesv1.UsageCertSign, certificatesv1.UsageCRLSign, certificatesv1.UsageEncipherOnly,
	certificatesv1.UsageDecipherOnly, certificatesv1.UsageAny, certificatesv1.UsageServerAuth, certificatesv1.UsageClientAuth, certificatesv1.UsageCodeSigning,
	certificatesv1.UsageEmailProtection, certificatesv1.UsageSMIME, certificatesv1.UsageIPsecEndSystem, certificatesv1.UsageIPsecTunnel, certificatesv1.UsageIPsecUser,
	certificatesv1.UsageTimestamping, certificatesv1.UsageOCSPSigning, certificatesv1.UsageMicrosoftSGC, certificatesv1.UsageNetscapeSGC}

// CertificateRequest reads what a certificate is asked for with, and checks that who
// asks has the key.
func CertificateRequest(request []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	// Admission is one after the other: a key of a million bits would hold everybody up.
	if key, ok := r.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > longestKey {
		return nil, fmt.Errorf("the RSA key has %d bits; at most %d are taken", key.N.BitLen(), longestKey)
	}
	return r, r.CheckSignature()
}

func validateCertRequest(c *certificatesv1.CertificateSigningRequest) field.ErrorList {
	at := field.NewPath("spec")
	var errs field.ErrorList
	if _, err := CertificateRequest(c.Spec.Request); err != nil {
		errs = append(errs, field.Invalid(at.Child("request"), "<request data>", err.Error()))
	}
	if len(c.Spec.Usages) == 0 {
		errs = append(errs, field.Required(at.Child("usages"), ""))
	}
	for i, u := range c.Spec.Usages {
		errs = oneOf(errs, at.Child("usages").Index(i), u, usages...)
		if slices.Contains(c.Spec.Usages[:i], u) {
			errs = append(errs, field.Duplicate(at.Child("usages").Index(i), u))
		}
	}
	if s := c.Spec.ExpirationSeconds; s != nil && *s < shortestCertificate {
		errs = append(errs, field.Invalid(at.Child("expirationSeconds"), *s, "may not specify a duration less than 600 seconds (10 minutes)"))
	}
	return append(errs, validateSigner(c.Spec.SignerName, at.Child("signerName"))...)
}

func validateSigner(name string, at *field.Path) field.ErrorList {
	const legacy = "kubernetes.io/legacy-unknown"
	domain, path, ok := strings.Cut(name, "/")
	switch {
	case name == "":
		return field.ErrorList{field.Required(at, "")}
	case name == legacy:
		return field.ErrorList{field.Invalid(at, name, "the legacy signerName is not allowed via this API version")}
	case !ok || strings.Contains(path, "/"):
		return field.ErrorList{field.Invalid(at, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")}
	case !strings.Contains(domain, "."):
		return field.ErrorList{field.Invalid(at, domain, "should be a domain with at least two segments separated by dots")}
	}
	return invalid(invalid(nil, at, domain, validation.IsDNS1123Subdomain(domain)), at, path, validation.IsDNS1123Subdomain(path))
}

// CertStatus says what is wrong with a status of a request for a certificate that takes
// the place of another one. Whether it is approved is said by the door for that alone.
func CertStatus(old, next *certificatesv1.CertificateSigningRequest, approving bool) field.ErrorList {
	at := field.NewPath("status", "conditions")
	errs := validateCertConditions(next.Status.Conditions, at)
	if err := certificates(next.Status.Certificate); err != nil {
		errs = append(errs, field.Invalid(field.NewPath("status", "certificate"), "<certificate data>", err.Error()))
	}
	for _, t := range []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed} {
		was, is := conditionsOf(old, t), conditionsOf(next, t)
		settled := !approving && t != certificatesv1.CertificateFailed
		switch {
		case len(is) < len(was):
			errs = append(errs, field.Forbidden(at, fmt.Sprintf("updates may not remove a condition of type %q", t)))
		case settled && len(is) > len(was):
			errs = append(errs, field.Forbidden(at, fmt.Sprintf("updates may not add a condition of type %q", t)))
		case settled && !same(was, is):
			errs = append(errs, field.Forbidden(at, fmt.Sprintf("updates may not modify a condition of type %q", t)))
		}
	}
	if had := old.Status.Certificate; len(had) > 0 && string(had) != string(next.Status.Certificate) {
		errs = append(errs, field.Forbidden(field.NewPath("status", "certificate"), "updates may not modify existing certificate content"))
	}
	return errs
}

func conditionsOf(c *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType) []certificatesv1.CertificateSigningRequestCondition {
	var out []certificatesv1.CertificateSigningRequestCondition
	for _, x := range c.Status.Conditions {
		if x.Type == t {
			out = append(out, x)
		}
	}
	return out
}

func validateCertConditions(list []certificatesv1.CertificateSigningRequestCondition, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[certificatesv1.RequestConditionType]bool{}
	for i, c := range list {
		here, all := at.Index(i), []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown}
		switch c.Type {
		case "":
			errs = append(errs, field.Required(here.Child("type"), ""))
		case certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed:
			all = all[:1]
		}
		if c.Status == "" {
			errs = append(errs, field.Required(here.Child("status"), ""))
		}
		errs = oneOf(errs, here.Child("status"), c.Status, all...)
		if seen[c.Type] {
			errs = append(errs, field.Duplicate(here.Child("type"), c.Type))
		}
		seen[c.Type] = true
	}
	if seen[certificatesv1.CertificateApproved] && seen[certificatesv1.CertificateDenied] {
		errs = append(errs, field.Invalid(at, "Approved", "Approved and Denied conditions are mutually exclusive"))
	}
	return errs
}

// certificates wants nothing, or certificates and nothing else.
func certificates(raw []byte) error {
	for n := 0; len(raw) > 0; n++ {
		block, rest := pem.Decode(raw)
		switch {
		case block == nil && n > 0:
			return nil
		case block == nil:
			return errors.New("must contain at least one CERTIFICATE PEM block")
		case block.Type != "CERTIFICATE":
			return fmt.Errorf("only CERTIFICATE PEM blocks are allowed, found %q", block.Type)
		case len(block.Headers) > 0:
			return errors.New("no PEM block headers are permitted")
		}
		if _, err := x509.ParseCertificates(block.Bytes); err != nil {
			return err
		}
		raw = rest
	}
	return nil
}
