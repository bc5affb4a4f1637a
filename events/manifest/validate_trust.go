package manifest

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
)

// maxTrustBundle is how many bytes a bundle may have, as in Kubernetes.
const maxTrustBundle = 1 << 20

// trustName is the rule for the names of a signer's bundles: they say whose they are, so that to find one by its name is
// to know who vouches for it.
func trustName(signer string) rule {
	return func(name string) []string {
		if signer == "" {
			if strings.Contains(name, ":") {
				return []string{`ClusterTrustBundle without signer name must not have ":" in its name`}
			}
			return validation.IsDNS1123Subdomain(name)
		}
		prefix := strings.ReplaceAll(signer, "/", ":") + ":"
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			return []string{"ClusterTrustBundle for signerName " + signer + " must be named with prefix " + prefix}
		}
		return validation.IsDNS1123Subdomain(rest)
	}
}

func validateTrustBundle(o *certificatesv1.ClusterTrustBundle) field.ErrorList {
	at := field.NewPath("spec")
	var errs field.ErrorList
	if o.Spec.SignerName != "" {
		errs = validateSigner(o.Spec.SignerName, at.Child("signerName"))
	}
	return append(errs, validateAnchors(o.Spec.TrustBundle, at.Child("trustBundle"))...)
}

// validateAnchors wants certificates of authorities and nothing else, each once.
func validateAnchors(text string, at *field.Path) field.ErrorList {
	if len(text) > maxTrustBundle {
		return field.ErrorList{field.TooLong(at, "", maxTrustBundle)}
	}
	var errs field.ErrorList
	bad := func(format string, args ...any) {
		errs = append(errs, field.Invalid(at, "<value omitted>", fmt.Sprintf(format, args...)))
	}
	seen, order := map[string][]int{}, []string{}
	rest := []byte(text)
	for i := 0; ; i++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if wrong := wrongAnchor(block); wrong != "" {
			bad("entry %d %s", i, wrong)
			continue
		}
		anchor := string(block.Bytes)
		if len(seen[anchor]) == 0 {
			order = append(order, anchor)
		}
		seen[anchor] = append(seen[anchor], i)
	}
	switch {
	case len(errs) > 0:
	case len(order) == 0:
		bad("at least one trust anchor must be provided")
	}
	for _, anchor := range order {
		if len(errs) == 0 && len(seen[anchor]) > 1 {
			bad("duplicate trust anchor (indices %v)", seen[anchor])
		}
	}
	return errs
}

// wrongAnchor says why a block vouches for nothing; empty when it does.
func wrongAnchor(block *pem.Block) string {
	if block.Type != "CERTIFICATE" {
		return "has bad block type: " + block.Type
	}
	if len(block.Headers) > 0 {
		return "has PEM block headers"
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return "does not parse as X.509"
	case !cert.IsCA:
		return "does not have the CA bit set"
	case !cert.BasicConstraintsValid:
		return "has invalid basic constraints"
	}
	return ""
}

// updateTrustBundle keeps whose a bundle is.
func updateTrustBundle(old, next events.Object) field.ErrorList {
	was, ok := old.(*certificatesv1.ClusterTrustBundle)
	is, same := next.(*certificatesv1.ClusterTrustBundle)
	if !ok || !same {
		return nil
	}
	return unchanged(nil, field.NewPath("spec", "signerName"), was.Spec.SignerName, is.Spec.SignerName)
}

func validateTrustSource(c *corev1.ClusterTrustBundleProjection, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case c.Name != nil && c.SignerName != nil:
		errs = append(errs, field.Invalid(at, c, "only one of name and signerName may be used"))
	case c.Name != nil:
		errs = append(errs, validateTrustNamed(*c.Name, at.Child("name"))...)
		if c.LabelSelector != nil {
			errs = append(errs, field.Invalid(at.Child("labelSelector"), c.LabelSelector, "labelSelector must be unset if name is specified"))
		}
	case c.SignerName != nil:
		errs = append(errs, validateSigner(*c.SignerName, at.Child("signerName"))...)
		errs = append(errs, validatePicks(c.LabelSelector, at.Child("labelSelector"))...)
	default:
		errs = append(errs, field.Required(at, "either name or signerName must be specified"))
	}
	return validatePath(errs, at.Child("path"), c.Path)
}

// validateTrustNamed wants a name that a bundle can have: the part before the last colon is its signer's.
func validateTrustNamed(name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "must be a valid object name")}
	}
	signer := ""
	if i := strings.LastIndex(name, ":"); i >= 0 {
		signer = strings.ReplaceAll(name[:i], ":", "/")
	}
	var errs field.ErrorList
	for _, wrong := range trustName(signer)(name) {
		errs = append(errs, field.Invalid(at, name, "not a valid clustertrustbundlename: "+wrong))
	}
	return errs
}
