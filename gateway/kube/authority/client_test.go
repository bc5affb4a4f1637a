package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"
)

// TestClientsEndInTime: a certificate lasts as long as was asked for, and longer than a year, or than the authority, nothing lasts.
func TestClientsEndInTime(t *testing.T) {
	born := time.Now().Truncate(time.Second)
	now := born
	a, err := Open(t.TempDir(), "test", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// What makes an authority is asked for in vain.
	extra := pkix.Extension{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}
	raw, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "ann"}, ExtraExtensions: []pkix.Extension{extra}}, key)
	if err != nil {
		t.Fatal(err)
	}
	asks, err := x509.ParseCertificateRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ at, life, want time.Duration }{
		{0, 10 * time.Minute, 10 * time.Minute},
		{0, 24 * time.Hour, 24*time.Hour - clockSkew},
		{0, 0, leafLife - clockSkew},
		{0, 3 * leafLife, leafLife - clockSkew},
		{authorityLife - time.Hour, 24 * time.Hour, time.Hour},
	} {
		now = born.Add(c.at)
		raw, err := a.Client(asks, x509.KeyUsageDigitalSignature, c.life)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := cert.NotAfter.Sub(now); got != c.want || cert.IsCA || cert.KeyUsage != x509.KeyUsageDigitalSignature || !cert.NotBefore.Equal(now.Add(-clockSkew)) {
			t.Errorf("%+v: lasts %s: %+v", c, got, cert)
		}
		if err := a.Verify([]*x509.Certificate{cert}); err != nil {
			t.Error(err)
		}
		if _, err = cert.Verify(x509.VerifyOptions{Roots: roots(a), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err == nil {
			t.Error("it vouches for a server")
		}
	}
	now = born.Add(authorityLife)
	if _, err := a.Client(asks, 0, time.Hour); err == nil {
		t.Error("an authority that has ended signs")
	}
}

func roots(a *CA) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}
