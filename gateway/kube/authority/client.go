package authority

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// What a key has to be that we vouch for.
const (
	weakestRSA  = 2048 // bits
	longestName = 256  // characters of a user's name
)

// shortLife is up to when a certificate ends as late as was asked for, although it begins a little before now for the
// sake of clocks that go wrong: of a longer one that is a part of its life. As in Kubernetes.
const shortLife = 8 * time.Hour

// Client is a certificate for whoever a request names, for the key that it was signed with and for these usages. It
// lasts as long as is asked for, at most a year and never longer than the authority; 0 asks for that.
func (a *CA) Client(r *x509.CertificateRequest, usage x509.KeyUsage, life time.Duration) ([]byte, error) {
	if err := errors.Join(named(r), strong(r.PublicKey)); err != nil {
		return nil, err
	}
	if !a.now().Before(a.cert.NotAfter) {
		return nil, fmt.Errorf("the cluster's authority has ended at %s", a.cert.NotAfter.UTC().Format(time.RFC3339))
	}
	if life <= 0 || life > leafLife {
		life = leafLife
	}
	if life >= shortLife {
		life -= clockSkew
	}
	t, err := a.template(r.Subject, life, clockSkew)
	if err != nil {
		return nil, err
	}
	if t.NotAfter.After(a.cert.NotAfter) {
		t.NotAfter = a.cert.NotAfter
	}
	// Nothing but this of what is asked for: no extension makes an authority of it.
	t.KeyUsage, t.ExtKeyUsage, t.BasicConstraintsValid = usage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, true
	t.DNSNames, t.IPAddresses, t.EmailAddresses, t.URIs = r.DNSNames, r.IPAddresses, r.EmailAddresses, r.URIs
	raw, err := x509.CreateCertificate(rand.Reader, t, a.cert, r.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign for %s: %w", t.Subject.CommonName, err)
	}
	return raw, nil
}

// named wants a user's name that logs and headers can hold, and groups like it.
func named(r *x509.CertificateRequest) error {
	switch {
	case r.Subject.CommonName == "":
		return errors.New("the subject has no common name, so that it would be nobody's")
	case len(r.Subject.CommonName) > longestName:
		return fmt.Errorf("the common name has %d characters; at most %d are signed", len(r.Subject.CommonName), longestName)
	}
	for _, name := range append([]string{r.Subject.CommonName}, r.Subject.Organization...) {
		if strings.ContainsFunc(name, unicode.IsControl) || strings.TrimSpace(name) != name {
			return fmt.Errorf("the subject has control characters, or spaces around a name: %q", name)
		}
	}
	return nil
}

// strong refuses keys that others can guess, and kinds that no client of TLS has.
func strong(key any) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < weakestRSA {
			return fmt.Errorf("the RSA key has %d bits; at least %d are needed", n, weakestRSA)
		}
		return nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			return errors.New("the key is of the curve P-224; P-256, P-384 and P-521 are signed")
		}
		return nil
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("keys of the kind %T are not signed; RSA, ECDSA and Ed25519 are", key)
}
