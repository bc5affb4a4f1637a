// Package badge makes and reads the tokens with which pods come in at the
// Kubernetes API: JSON web tokens, signed by a key that lies with the cluster's
// other credentials. A token names the ServiceAccount that it is for and what it is
// bound to; when one of these is gone, so is the token. None is ever kept.
package badge

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/stave-run/stave/events"
)

// Named is an object that a token names.
type Named struct {
	Name string     `json:"name"`
	UID  events.UID `json:"uid"`
}

// Bound is whom a token is for, and what has to be there for it to be good: beside
// the account any of the others.
type Bound struct {
	Namespace string `json:"namespace"`
	Account   Named  `json:"serviceaccount"`
	Pod       *Named `json:"pod,omitempty"`
	Secret    *Named `json:"secret,omitempty"`
	Node      *Named `json:"node,omitempty"`
}

// Claims are what a token says, in the words of Kubernetes' own.
type Claims struct {
	Audience  []string `json:"aud"`
	Expires   int64    `json:"exp"` // seconds since 1970, as the two below
	Issued    int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	Issuer    string   `json:"iss"`
	ID        string   `json:"jti"`
	Subject   string   `json:"sub"`
	Bound     Bound    `json:"kubernetes.io"`
}

// Group and user names of ServiceAccounts, as Kubernetes has them.
const (
	userPrefix = "system:serviceaccount:"
	AllGroup   = "system:serviceaccounts" // everybody's that is a ServiceAccount
)

// User is the name of a ServiceAccount as a user.
func User(namespace, name string) string { return userPrefix + namespace + ":" + name }

// Groups are those of the ServiceAccounts of a namespace.
func Groups(namespace string) []string { return []string{AllGroup, AllGroup + ":" + namespace} }

// header is the same for all tokens of a key.
type header struct {
	Algorithm string `json:"alg"`
	Key       string `json:"kid"`
}

// algorithm is ECDSA on P-256 with SHA-256, the only one that is believed.
const algorithm = "ES256"

// scalar is how many bytes each half of a signature has.
const scalar = 32

var text = base64.RawURLEncoding

// Issue makes a token for some audiences, this API's own when there are none.
func (k *Keys) Issue(b Bound, audiences []string, life time.Duration) (string, Claims, error) {
	if len(audiences) == 0 {
		audiences = []string{k.Issuer}
	}
	now := k.now()
	c := Claims{Audience: audiences, Expires: now.Add(life).Unix(), Issued: now.Unix(), NotBefore: now.Unix(), Issuer: k.Issuer,
		ID: rand.Text(), Subject: User(b.Namespace, b.Account.Name), Bound: b}
	said := text.EncodeToString(events.MustBody(header{algorithm, k.id})) + "." + text.EncodeToString(events.MustBody(c))
	sum := sha256.Sum256([]byte(said))
	r, s, err := ecdsa.Sign(rand.Reader, k.key, sum[:])
	if err != nil {
		return "", c, fmt.Errorf("sign token: %w", err)
	}
	var sig [2 * scalar]byte
	r.FillBytes(sig[:scalar])
	s.FillBytes(sig[scalar:])
	return said + "." + text.EncodeToString(sig[:]), c, nil
}

// The reasons for which a token is not believed. None of them repeats it.
var (
	errForm    = errors.New("it is no token of this cluster")
	errExpired = errors.New("it has expired")
)

// Read believes a token that this cluster signed and whose time is now. What it is
// bound to is Current's to look at.
func (k *Keys) Read(token string) (Claims, error) {
	said, sig, ok := cutLast(token)
	head, body, both := strings.Cut(said, ".")
	raw, err := text.DecodeString(sig)
	if !ok || !both || err != nil || len(raw) != 2*scalar {
		return Claims{}, errForm
	}
	var h header
	if decode(head, &h) != nil || h.Algorithm != algorithm || h.Key != k.id {
		return Claims{}, errForm
	}
	sum := sha256.Sum256([]byte(said))
	if !ecdsa.Verify(&k.key.PublicKey, sum[:], new(big.Int).SetBytes(raw[:scalar]), new(big.Int).SetBytes(raw[scalar:])) {
		return Claims{}, errForm
	}
	var c Claims
	if decode(body, &c) != nil || c.Issuer != k.Issuer {
		return Claims{}, errForm
	}
	// When it begins is for others to look at: what this key has signed was valid at once, and when it lies ahead the clock was set back since.
	if k.now().Unix() >= c.Expires {
		return Claims{}, errExpired
	}
	return c, nil
}

func decode(part string, v any) error {
	raw, err := text.DecodeString(part)
	if err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return json.Unmarshal(raw, v)
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// For says which of some audiences a token is for; none means this API.
func (k *Keys) For(c Claims, audiences []string) []string {
	if len(audiences) == 0 {
		audiences = []string{k.Issuer}
	}
	var out []string
	for _, a := range audiences {
		if slices.Contains(c.Audience, a) {
			out = append(out, a)
		}
	}
	return out
}

// AccountOf is the ServiceAccount whose user name this is: one that there can be, and no name that only begins so.
func AccountOf(user string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(user, userPrefix)
	namespace, name, both := strings.Cut(rest, ":")
	return namespace, name, ok && both && len(validation.IsDNS1123Label(namespace)) == 0 && len(validation.IsDNS1123Subdomain(name)) == 0
}
