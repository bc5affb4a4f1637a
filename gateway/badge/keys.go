package badge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Keys sign a cluster's tokens, and know them again.
type Keys struct {
	// Issuer is who the tokens say made them: where pods find the API. It is also
	// the audience of those that are for the API.
	Issuer string

	// Made says that the key is new.
	Made bool
	key  *ecdsa.PrivateKey
	id   string
	now  func() time.Time
}

// keyFile is where the key is, in the directory of the cluster's credentials.
const keyFile = "kube-accounts.key"

// Open reads the key in dir, or makes one. domain is that of the cluster's names.
func Open(dir, domain string, now func() time.Time) (*Keys, error) {
	path := filepath.Join(dir, keyFile)
	key, err := read(path)
	made := errors.Is(err, fs.ErrNotExist)
	if made {
		key, err = create(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the key of tokens: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encode the key of tokens: %w", err)
	}
	sum := sha256.Sum256(public)
	return &Keys{Issuer: "https://kubernetes.default.svc." + domain, Made: made, key: key, id: hex.EncodeToString(sum[:8]), now: now}, nil
}

// remedy is what comes of it that there is no key.
const remedy = " to have one made: tokens that are out are then void"

func read(path string) (*ecdsa.PrivateKey, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case st.IsDir():
		return nil, fmt.Errorf("%s is a directory: remove it"+remedy, path)
	case st.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s has mode %04o: others can read it; chmod 600 it", path, st.Mode().Perm())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s holds no key; put it back from a copy, or remove it"+remedy, path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; put it back from a copy, or remove it"+remedy, path, err)
	}
	own, ok := key.(*ecdsa.PrivateKey)
	if !ok || own.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s is not a key on the curve P-256; put it back from a copy, or remove it"+remedy, path)
	}
	return own, nil
}

// create writes a key whole or not at all, for its owner alone.
func create(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	err = pem.Encode(tmp, &pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, err
	}
	return key, os.Rename(tmp.Name(), path)
}
