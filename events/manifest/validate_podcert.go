package manifest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds of the certificates of pods, as in Kubernetes: seconds, and bytes.
const (
	shortestPodCert  = 60 * 60
	longestPodCert   = 91 * 24 * 60 * 60
	longestReserved  = 24 * 60 * 60 // of signers of kubernetes.io
	maxStubRequest   = 10 << 10
	maxCertChain     = 100 << 10
	longestPodCertID = 128
)

// podKeyTypes are the keys that a node makes for a pod.
var podKeyTypes = []string{"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"}

// longestFor is how long a certificate of a signer may last.
func longestFor(signer string) int32 {
	domain, _, _ := strings.Cut(signer, "/")
	if domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io") {
		return longestReserved
	}
	return longestPodCert
}

func validatePodCertSource(c *corev1.PodCertificateProjection, at *field.Path) field.ErrorList {
	errs := validateSigner(c.SignerName, at.Child("signerName"))
	errs = append(errs, validateUserAnnotations(c.UserAnnotations, at.Child("userAnnotations"))...)
	errs = oneOf(errs, at.Child("keyType"), c.KeyType, podKeyTypes...)
	if n := c.MaxExpirationSeconds; n != nil && *n < shortestPodCert {
		errs = append(errs, field.Invalid(at.Child("maxExpirationSeconds"), *n, fmt.Sprintf("if provided, maxExpirationSeconds must be >= %d", shortestPodCert)))
	} else if most := longestFor(c.SignerName); n != nil && *n > most {
		errs = append(errs, field.Invalid(at.Child("maxExpirationSeconds"), *n, fmt.Sprintf("if provided, maxExpirationSeconds must be <= %d", most)))
	}
	before := len(errs)
	for _, p := range []struct{ name, path string }{{"credentialBundlePath", c.CredentialBundlePath}, {"keyPath", c.KeyPath}, {"certificateChainPath", c.CertificateChainPath}} {
		if p.path != "" {
			errs = validatePath(errs, at.Child(p.name), p.path)
		}
	}
	if len(errs) == before && c.CredentialBundlePath+c.KeyPath+c.CertificateChainPath == "" {
		errs = append(errs, field.Required(at, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"))
	}
	return errs
}

// validateUserAnnotations wants keys with a domain: a signer knows which are meant for it.
func validateUserAnnotations(all map[string]string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	total := 0
	for _, k := range keysOf(all) {
		total += len(k) + len(all[k])
		errs = append(errs, validation.IsDomainPrefixedKey(at, strings.ToLower(k))...)
	}
	if total > maxAnnotations {
		errs = append(errs, field.TooLong(at, "", maxAnnotations))
	}
	return errs
}

func validatePodCertRequest(s *certificatesv1.PodCertificateRequestSpec, at *field.Path) field.ErrorList {
	errs := validateSigner(s.SignerName, at.Child("signerName"))
	errs = append(errs, validateUserAnnotations(s.UnverifiedUserAnnotations, at.Child("unverifiedUserAnnotations"))...)
	for _, of := range []struct{ what, name, uid string }{{"pod", s.PodName, string(s.PodUID)},
		{"serviceAccount", s.ServiceAccountName, string(s.ServiceAccountUID)}, {"node", string(s.NodeName), string(s.NodeUID)}} {
		errs = invalid(errs, at.Child(of.what+"Name"), of.name, validation.IsDNS1123Subdomain(of.name))
		switch {
		case of.uid == "":
			errs = append(errs, field.Invalid(at.Child(of.what+"UID"), of.uid, "must not be empty"))
		case len(of.uid) > longestPodCertID:
			errs = append(errs, field.TooLong(at.Child(of.what+"UID"), of.uid, longestPodCertID))
		}
	}
	if s.MaxExpirationSeconds == nil {
		return append(errs, field.Required(at.Child("maxExpirationSeconds"), "must be set"))
	}
	if n, most := *s.MaxExpirationSeconds, longestFor(s.SignerName); n < shortestPodCert || n > most {
		errs = append(errs, field.Invalid(at.Child("maxExpirationSeconds"), n, fmt.Sprintf("must be in the range [%d, %d]", shortestPodCert, most)))
	}
	if _, wrong := StubRequest(s.StubPKCS10Request); wrong != "" {
		errs = append(errs, field.Invalid(at.Child("stubPKCS10Request"), "<omitted>", wrong))
	}
	return errs
}

// StubRequest reads the key that a node made for a pod, and says what is wrong with it, or with the proof that the node has
// it. What else the request says means nothing.
func StubRequest(raw []byte) (key crypto.PublicKey, wrong string) {
	if len(raw) == 0 || len(raw) > maxStubRequest {
		return nil, fmt.Sprintf("must have between 1 and %d bytes", maxStubRequest)
	}
	r, err := x509.ParseCertificateRequest(raw)
	if err != nil {
		return nil, "must be a valid PKCS#10 CSR"
	}
	switch pub := r.PublicKey.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if !slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, pub.Curve) {
			return nil, "elliptic public keys must use curve P256, P384, or P521"
		}
	case *rsa.PublicKey:
		if bits := pub.Size() * 8; bits != 3072 && bits != 4096 {
			return nil, "RSA keys must have modulus size 3072 or 4096"
		}
	default:
		return nil, "unknown public key type; supported types are Ed25519, ECDSA, and RSA"
	}
	if err := r.CheckSignature(); err != nil {
		return nil, "invalid signature"
	}
	return r.PublicKey, ""
}

// OfKey says whether a certificate is of a key.
func OfKey(cert *x509.Certificate, key crypto.PublicKey) bool {
	a, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
	b, bad := x509.MarshalPKIXPublicKey(key)
	return err == nil && bad == nil && bytes.Equal(a, b)
}
