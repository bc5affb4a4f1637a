package authority

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// leaf is the certificate of a person of an authority.
func leaf(t *testing.T, a *CA) *x509.Certificate {
	t.Helper()
	p, err := a.Person("ann", "staff")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

// TestWhoWasVerifiedIsStillAsked: that a signature was good before saves the arithmetic, and nothing else: the time of a certificate is
// looked at each time, and whoever shows another one is looked at anew.
func TestWhoWasVerifiedIsStillAsked(t *testing.T) {
	now := time.Now()
	open := func() *CA {
		a, err := Open(t.TempDir(), "test", func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a, other := open(), open()
	ann := leaf(t, a)
	for range 2 {
		if err := a.Verify([]*x509.Certificate{ann}); err != nil {
			t.Fatal(err)
		}
		if err := a.Verify([]*x509.Certificate{leaf(t, other)}); err == nil {
			t.Fatal("another authority's person came in")
		}
	}
	forged := *ann
	forged.Raw = append([]byte(nil), ann.Raw...)
	forged.Raw[len(forged.Raw)-1]++
	forged.Signature = append([]byte(nil), ann.Signature...)
	forged.Signature[len(forged.Signature)-1]++
	if err := a.Verify([]*x509.Certificate{&forged}); err == nil {
		t.Error("a forged certificate came in")
	}
	for _, at := range []time.Time{ann.NotAfter.Add(time.Second), ann.NotBefore.Add(-time.Second)} {
		now = at
		if err := a.Verify([]*x509.Certificate{ann}); err == nil {
			t.Errorf("at %s, out of its time, it came in", at)
		}
	}
}

// A machine that began hours ahead of the time is not locked out of its cluster when it is told, neither at once nor at its next start.
func TestClockThatWasAhead(t *testing.T) {
	now, dir := time.Now(), t.TempDir()
	clock := func() time.Time { return now }
	a, err := Open(dir, "test", clock)
	if err != nil {
		t.Fatal(err)
	}
	ann := leaf(t, a)
	door, err := a.Server("cluster.local")
	if err != nil {
		t.Fatal(err)
	}
	api, err := x509.ParseCertificate(door.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(-13 * time.Hour)
	if err := a.Verify([]*x509.Certificate{ann}); err != nil {
		t.Error(err)
	}
	if _, err := api.Verify(x509.VerifyOptions{Roots: roots(a), CurrentTime: now, DNSName: "localhost"}); err != nil {
		t.Error(err)
	}
	if again := leaf(t, a); !again.Equal(ann) {
		t.Error("a certificate that is good was made anew")
	}
	now = now.Add(3 * 24 * time.Hour)
	later, err := Open(t.TempDir(), "test", clock)
	if err != nil {
		t.Fatal(err)
	}
	before := leaf(t, later)
	now = now.Add(-2 * 24 * time.Hour)
	if again := leaf(t, later); !good(again, now) || again.Equal(before) {
		t.Errorf("it begins at %s, and it is %s", again.NotBefore, now)
	}
}

// What was lost of an authority is made anew as far as it can be; what is damaged is named, with what to do.
func TestDamagedAuthority(t *testing.T) {
	kinds := map[string]func(path string) error{
		"cut": func(p string) error { return os.Truncate(p, 100) }, "gone": os.Remove,
		"open":        func(p string) error { return os.Chmod(p, 0o644) },
		"a directory": func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
	}
	for _, c := range []struct{ file, how, said string }{
		{"kube-ca.key", "cut", "to have another authority made"},
		{"kube-ca.key", "open", "chmod 600 it"},
		{"kube-ca.key", "a directory", "is a directory: remove it"},
		{"kube-ca.key", "gone", ""},
		{"kube-ca.crt", "cut", "to have it made anew from its key"},
		{"kube-ca.crt", "open", ""},
		{"kube-ca.crt", "a directory", "to have it made anew from its key"},
		{"kube-ca.crt", "gone", ""},
	} {
		t.Run(c.file+" "+c.how, func(t *testing.T) {
			dir := t.TempDir()
			a, err := Open(dir, "test", time.Now)
			if err != nil || !a.Made {
				t.Fatal(err)
			}
			ann, file := leaf(t, a), filepath.Join(dir, c.file)
			if err := kinds[c.how](file); err != nil {
				t.Fatal(err)
			}
			again, err := Open(dir, "test", time.Now)
			if c.said != "" {
				if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), c.said) {
					t.Errorf("%v", err)
				}
				return
			}
			if lost := c.file == "kube-ca.key" && c.how == "gone"; err != nil || again.Made != lost {
				t.Fatalf("%+v, %v", again, err)
			} else if bad := again.Verify([]*x509.Certificate{ann}); (bad != nil) != lost {
				t.Errorf("whom it signed before: %v", bad)
			}
			if err := again.Verify([]*x509.Certificate{leaf(t, again)}); err != nil {
				t.Error(err)
			}
		})
	}
}

// BenchmarkVerify is what each request of a person costs before anything is looked at.
func BenchmarkVerify(b *testing.B) {
	a, err := Open(b.TempDir(), "test", time.Now)
	if err != nil {
		b.Fatal(err)
	}
	p, err := a.Person("ann")
	if err != nil {
		b.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
	if err != nil {
		b.Fatal(err)
	}
	chain := []*x509.Certificate{pair.Leaf}
	for b.Loop() {
		if err := a.Verify(chain); err != nil {
			b.Fatal(err)
		}
	}
}
