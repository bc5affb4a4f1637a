package kube_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/url"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"

	"github.com/stave-run/stave/gateway/badge"
)

// TestOthersCheckTokens: any ServiceAccount may read what is said of the issuer, and with nothing else tokens can be checked.
func TestOthersCheckTokens(t *testing.T) {
	h := open(t)
	token := h.robot("default", "checker", authenticationv1.TokenRequestSpec{})
	robot := h.with(token).Discovery().RESTClient()
	stranger, err := kubernetes.NewForConfig(h.as("stranger"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Discovery().RESTClient().Get().AbsPath("/.well-known/openid-configuration").DoRaw(t.Context()); !apierrors.IsForbidden(err) {
		t.Fatalf("a stranger: %v", err)
	}
	get := func(path string, into any) {
		t.Helper()
		raw, err := robot.Get().AbsPath(path).DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	}
	part := func(n int, into any) (raw []byte) {
		raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[n])
		if err != nil || into != nil && json.Unmarshal(raw, into) != nil {
			t.Fatalf("part %d: %q, %v", n, raw, err)
		}
		return raw
	}
	var head struct{ Alg, Kid string }
	var claims struct{ Iss string }
	part(0, &head)
	part(1, &claims)
	var said badge.Provider
	get("/.well-known/openid-configuration", &said)
	at, err := url.Parse(said.Keys)
	if err != nil || said.Issuer != claims.Iss || len(said.Algorithms) != 1 || said.Algorithms[0] != head.Alg || !strings.HasPrefix(said.Keys, said.Issuer) {
		t.Fatalf("%+v of %+v, %v", said, claims, err)
	}
	var set struct{ Keys []badge.Published }
	get(at.Path, &set)
	if len(set.Keys) != 1 || set.Keys[0].ID != head.Kid || set.Keys[0].Algorithm != head.Alg {
		t.Fatalf("%+v for %+v", set, head)
	}
	number := func(s string) *big.Int {
		raw, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return new(big.Int).SetBytes(raw)
	}
	key := &ecdsa.PublicKey{Curve: elliptic.P256(), X: number(set.Keys[0].X), Y: number(set.Keys[0].Y)}
	sum, sig := sha256.Sum256([]byte(token[:strings.LastIndex(token, ".")])), part(2, nil)
	if !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		t.Error("the token is not signed by the key that is published")
	}
}
