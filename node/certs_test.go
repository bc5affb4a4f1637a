package node

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// chainOf is a certificate of a key, as a signer writes it.
func chainOf(t *testing.T, key crypto.PublicKey) string {
	t.Helper()
	_, own, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, c, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, SerialNumber: big.NewInt(2)}, key, own)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"said": "by somebody"}, Bytes: raw}))
}

// A key and its certificate make a pair that TLS takes, for every type of key that a pod can ask for; nothing but blocks is in
// it. A certificate of another key makes none.
func TestKeysAndTheirCertificates(t *testing.T) {
	for _, kind := range []string{"RSA3072", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"} {
		key, err := newKey(kind)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := pairOf(key, "words\n"+chainOf(t, key.Public())+"more words\n"+chainOf(t, key.Public()))
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if both, err := tls.X509KeyPair(pair.Chain, pair.Key); err != nil || len(both.Certificate) != 2 {
			t.Errorf("%s: %v", kind, err)
		}
		if bytes.Contains(pair.Chain, []byte("words")) || bytes.Contains(pair.Chain, []byte("said")) || !bytes.HasPrefix(pair.Key, []byte("-----BEGIN PRIVATE KEY-----")) {
			t.Errorf("%s: %s", kind, pair.Chain)
		}
	}
	key, err := newKey("ED25519")
	if err != nil {
		t.Fatal(err)
	}
	other, err := newKey("ED25519")
	if err != nil {
		t.Fatal(err)
	}
	for chain, want := range map[string]string{"": "no certificate was issued", chainOf(t, other.Public()): "of another key",
		"-----BEGIN CERTIFICATE-----\neA==\n-----END CERTIFICATE-----\n": "read the certificate that was issued"} {
		if _, err := pairOf(key, chain); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := pairOf(nil, chainOf(t, key.Public())); err == nil {
		t.Error("a pair without a key")
	}
	if _, err := newKey("RSA1024"); err == nil {
		t.Error("a key that nobody may ask for")
	}
}
