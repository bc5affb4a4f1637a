// Package authority keeps a cluster's certificate authority and what it vouches
// for: the API's own certificate and people's. All files lie with the cluster's
// other credentials and are for their owner alone.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/utils/lru"
)

// How long certificates last. A person's is made anew at a start of the cluster
// when it would end within renewBefore; the API's own at every start.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	renewBefore   = 90 * 24 * time.Hour
	clockSkew     = 5 * time.Minute
	// ownSkew is how long before now the authority's own certificate begins, and those that only it and this cluster's people show:
	// a machine whose clock was hours ahead, until somebody told it the time, is not locked out of itself.
	ownSkew = 24 * time.Hour
)

// CA signs a cluster's certificates.
type CA struct {
	dir  string
	word string // before the names of its files
	Made bool   // its key is new
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time
	// signed are leaves that were found to be signed by the authority itself, by their digest: a client shows the same one with each request.
	signed *lru.Cache
}

// remembered is how many of them: some for each person and program that has a certificate.
const remembered = 1024

// Pair is where a person's certificate and key are.
type Pair struct{ Certificate, Key string }

// Open reads the authority that lies in dir, or makes one.
func Open(dir, cluster string, now func() time.Time) (*CA, error) {
	return open(dir, "", "stave-"+cluster, now)
}

// open reads the authority whose files begin with a word, or makes one of that name.
func open(dir, word, name string, now func() time.Time) (*CA, error) {
	a := &CA{dir: dir, word: word, now: now, signed: lru.New(remembered)}
	crt, of := a.path("ca.crt"), a.path("ca.key")
	if err := guarded(of); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the cluster's authority: %w", err)
	}
	cert, key, err := read(crt, of)
	switch {
	case err == nil:
		a.cert, a.key = cert, key
		return a, nil
	case errors.Is(err, fs.ErrNotExist):
		if a.key, err = readKey(of); err == nil || errors.Is(err, fs.ErrNotExist) {
			return a, a.create(name)
		}
	case !damaged(of):
		return nil, fmt.Errorf("read the cluster's authority: %w; remove %s to have it made anew from its key", err, crt)
	}
	return nil, fmt.Errorf("read the cluster's authority: %w; put %s back from a copy, or remove it to have another authority made: kubeconfig files elsewhere need its certificate then", err, of)
}

// damaged tells whether there is no key to be had of a file that is there.
func damaged(keyFile string) bool {
	_, err := readKey(keyFile)
	return err != nil
}

func (a *CA) path(name string) string { return filepath.Join(a.dir, "kube-"+a.word+name) }

// File is the authority's own certificate, for clients to check the API's with.
func (a *CA) File() string { return a.path("ca.crt") }

// KeyFile is the authority's key.
func (a *CA) KeyFile() string { return a.path("ca.key") }

// create makes the authority's own certificate, and its key if there is none: with the same key, what it signed stays good, and
// so do the copies of its certificate that clients have.
func (a *CA) create(name string) error {
	key := a.key
	if key == nil {
		made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return fmt.Errorf("make the authority's key: %w", err)
		}
		key, a.Made = made, true
	}
	t, err := a.template(pkix.Name{CommonName: name}, authorityLife, ownSkew)
	if err != nil {
		return err
	}
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	raw, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("make the authority: %w", err)
	}
	if a.cert, err = x509.ParseCertificate(raw); err != nil {
		return fmt.Errorf("read the new authority: %w", err)
	}
	a.key = key
	return write(Pair{a.path("ca.crt"), a.path("ca.key")}, raw, key)
}

// template is what every certificate has. It begins by skew before now.
func (a *CA) template(name pkix.Name, life, skew time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	now := a.now()
	return &x509.Certificate{SerialNumber: serial, Subject: name, NotBefore: now.Add(-skew), NotAfter: now.Add(life)}, nil
}

func (a *CA) sign(t *x509.Certificate) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	raw, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign for %s: %w", t.Subject.CommonName, err)
	}
	return raw, key, nil
}

// FrontProxy reads the authority, or makes it, that vouches for this door to API servers beside it. It is one of its own: whoever
// shows a certificate of it is believed to speak for anybody, and no person's certificate must be such a one, nor this one a person's.
func FrontProxy(dir, cluster string, now func() time.Time) (*CA, error) {
	return open(dir, "front-proxy-", "stave-front-proxy-"+cluster, now)
}

// Root is the authority's own certificate, as PEM.
func (a *CA) Root() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// Server is the API's certificate, for loopback and the names and addresses that
// pods use. It lives in memory only.
func (a *CA) Server(domain string, more ...net.IP) (tls.Certificate, error) {
	t, err := a.template(pkix.Name{CommonName: "kube-apiserver"}, authorityLife, ownSkew)
	if err != nil {
		return tls.Certificate{}, err
	}
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	t.IPAddresses = append([]net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, more...)
	t.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain}
	raw, key, err := a.sign(t)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, err
}

// Person makes sure that a user has a certificate which lasts a while. The
// groups are its organisations, as Kubernetes has it.
func (a *CA) Person(user string, groups ...string) (Pair, error) {
	p := Pair{a.path(user + ".crt"), a.path(user + ".key")}
	cert, _, err := read(p.Certificate, p.Key)
	if err == nil && a.lasts(cert) && cert.CheckSignatureFrom(a.cert) == nil {
		return p, nil
	}
	raw, key, err := a.person(user, groups)
	if err != nil {
		return p, err
	}
	return p, write(p, raw, key)
}

// lasts tells whether a certificate is good now, and for a while; one is not that was made under a clock which was ahead.
func (a *CA) lasts(c *x509.Certificate) bool {
	return good(c, a.now()) && good(c, a.now().Add(renewBefore))
}

func (a *CA) person(user string, groups []string) ([]byte, *ecdsa.PrivateKey, error) {
	t, err := a.template(pkix.Name{CommonName: user, Organization: groups}, leafLife, ownSkew)
	if err != nil {
		return nil, nil, err
	}
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.sign(t)
}

// Passing is a person's certificate that lives in memory only; it is made anew when it would end soon.
func (a *CA) Passing(user string, have *tls.Certificate) (*tls.Certificate, error) {
	if have != nil && a.lasts(have.Leaf) {
		return have, nil
	}
	raw, key, err := a.person(user, nil)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("read the new certificate of %s: %w", user, err)
	}
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}, nil
}

// Verify says whether a client's certificate is one of ours and still good.
func (a *CA) Verify(chain []*x509.Certificate) error {
	digest := sha256.Sum256(chain[0].Raw)
	if _, ok := a.signed.Get(digest); ok && good(a.cert, a.now()) && good(chain[0], a.now()) {
		return nil
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(a.cert)
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	chains, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: a.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return fmt.Errorf("verify certificate of %s: %w", chain[0].Subject.CommonName, err)
	}
	if len(chains[0]) == 2 { // nobody between them, whose time could be over
		a.signed.Add(digest, nil)
	}
	return nil
}

// good says that a moment is within a certificate's time.
func good(c *x509.Certificate, at time.Time) bool {
	return !at.Before(c.NotBefore) && !at.After(c.NotAfter)
}

// read reads a certificate and its key.
func read(certFile, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := readKey(keyFile)
	if err != nil {
		return nil, nil, err
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read certificate %s: %w", certFile, err)
	}
	return pair.Leaf, key, nil
}

// guarded says what is wrong with a key that others than its owner may read.
func guarded(path string) error {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("look at key: %w", err)
	case st.IsDir():
		return fmt.Errorf("key %s is a directory: remove it, and put the key back from a copy or have one made", path)
	case st.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("key %s has mode %04o: others can read it; chmod 600 it", path, st.Mode().Perm())
	}
	return nil
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	if err := guarded(path); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("key %s holds none", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	own, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key %s is none on an elliptic curve", path)
	}
	return own, nil
}

// write stores a pair, the key first: a certificate without its key is made anew.
func write(p Pair, cert []byte, key *ecdsa.PrivateKey) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	for _, f := range []struct {
		path, kind string
		raw        []byte
	}{{p.Key, "PRIVATE KEY", raw}, {p.Certificate, "CERTIFICATE", cert}} {
		if err := replace(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.raw})); err != nil {
			return fmt.Errorf("write %s: %w", f.path, err)
		}
	}
	return nil
}

// replace writes a file whole or not at all, for its owner alone.
func replace(path string, raw []byte) error {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return errors.New("it is a directory: remove it")
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(raw)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
