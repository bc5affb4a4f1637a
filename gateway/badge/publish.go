package badge

import "fmt"

// KeysPath is where, below the issuer, the keys are that tokens are checked with.
const KeysPath = "/openid/v1/jwks"

// Provider is what an OpenID provider says of itself, as far as somebody wants to
// know who only checks tokens (OpenID Connect Discovery 1.0).
type Provider struct {
	Issuer     string   `json:"issuer"`
	Keys       string   `json:"jwks_uri"`
	Responses  []string `json:"response_types_supported"`
	Subjects   []string `json:"subject_types_supported"`
	Algorithms []string `json:"id_token_signing_alg_values_supported"`
}

// Provider is what these keys' issuer says of itself.
func (k *Keys) Provider() Provider {
	return Provider{Issuer: k.Issuer, Keys: k.Issuer + KeysPath, Responses: []string{"id_token"}, Subjects: []string{"public"}, Algorithms: []string{algorithm}}
}

// Published is the public key as OpenID providers publish theirs, so that others
// can check tokens by themselves.
type Published struct {
	Type      string `json:"kty"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	ID        string `json:"kid"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	Y         string `json:"y"`
}

// Publish is the key for others.
func (k *Keys) Publish() (Published, error) {
	point, err := k.key.PublicKey.Bytes()
	if err != nil {
		return Published{}, fmt.Errorf("encode the key of tokens: %w", err)
	}
	const half = scalar // of an uncompressed point, behind one byte that says so
	return Published{Type: "EC", Use: "sig", Algorithm: algorithm, ID: k.id, Curve: "P-256",
		X: text.EncodeToString(point[1 : 1+half]), Y: text.EncodeToString(point[1+half:])}, nil
}
