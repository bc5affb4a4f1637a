package node

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
)

// refreshSpread is how much later than its signer says a certificate may be renewed, so that the pods of a node, or of a
// deployment, do not all ask at once.
const refreshSpread = 5 * time.Minute

// askCertificate makes a key and asks for its certificate. The key stays in this process's memory until its certificate
// came, and goes from there into the pod's volume in memory, and nowhere else.
func (w *worker) askCertificate(ctx context.Context, row *projections.DesiredPod, at projections.CertPlace) error {
	name, key, err := w.request(ctx, row, at)
	if err != nil {
		w.log().Warn("ask for a certificate", "volume", at.Volume, "error", err)
		w.update(func(o plan.Observed) plan.Observed {
			return o.Certify(at, func(c *plan.Cert) { c.Asked, c.Retry = "", c.Retry.FailedMount(w.a.now(), err.Error()) })
		})
		return nil
	}
	w.asked[name] = key
	w.update(func(o plan.Observed) plan.Observed {
		return o.Certify(at, func(c *plan.Cert) {
			delete(w.asked, c.Asked)
			c.Asked, c.Since, c.Retry = name, w.a.now(), plan.Retry{}
		})
	})
	return nil
}

func (w *worker) request(ctx context.Context, row *projections.DesiredPod, at projections.CertPlace) (name string, key crypto.Signer, err error) {
	src := projections.CertSource(&row.Pod.Spec, at)
	if src == nil {
		return "", nil, errors.New("the pod has no such source")
	}
	if key, err = newKey(src.KeyType); err != nil {
		return "", nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return "", nil, fmt.Errorf("make a request: %w", err)
	}
	var reply wire.CertifyReply
	err = w.a.ask(ctx, wire.VerbCertify, wire.CertifyRequest{Node: w.a.o.Name, Volume: at.Volume, Source: at.Source, Request: der,
		Pod: events.Ref{Key: events.Key{Resource: events.Pods, Namespace: row.Pod.Namespace, Name: row.Pod.Name}, UID: row.UID}}, &reply)
	if err == nil && reply.Error != nil {
		err = errors.New(reply.Error.Message)
	}
	return reply.Name, key, err
}

// newKey makes a key of a type, under Kubernetes' names for them.
func newKey(kind string) (crypto.Signer, error) {
	switch kind {
	case "RSA3072":
		return rsa.GenerateKey(rand.Reader, 3072)
	case "RSA4096":
		return rsa.GenerateKey(rand.Reader, 4096)
	case "ECDSAP256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ECDSAP384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ECDSAP521":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "ED25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("unknown key type %q", kind)
}

// takeCertificate takes what became of a request. A certificate of another key is none, whoever let it through.
func (w *worker) takeCertificate(row *projections.DesiredPod, op plan.TakeCertificate) {
	d, key := row.Certificates[op.Request], w.asked[op.Request]
	delete(w.asked, op.Request)
	refusal := plan.Refusal(d)
	var pair projections.KeyPair
	if refusal == "" {
		var err error
		if pair, err = pairOf(key, d.Chain); err != nil {
			refusal = err.Error()
		}
	}
	if refusal == "" {
		w.keys[op.Place] = pair
	} else {
		w.log().Warn("there is no certificate", "volume", op.Place.Volume, "request", op.Request, "reason", refusal)
	}
	later := d.RefreshAt.Add(mathrand.N(refreshSpread)) //nolint:gosec // it spreads load, and protects nothing
	w.update(func(o plan.Observed) plan.Observed {
		return o.Certify(op.Place, func(c *plan.Cert) {
			if c.Asked, c.Refused = "", refusal; refusal == "" {
				c.Have, c.RefreshAt = op.Request, later
			}
		})
	})
}

// pairOf is a key and its certificates as they are written: blocks of certificates, and nothing between them.
func pairOf(key crypto.Signer, chain string) (projections.KeyPair, error) {
	if key == nil {
		return projections.KeyPair{}, errors.New("the key of the request is lost")
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return projections.KeyPair{}, fmt.Errorf("encode key: %w", err)
	}
	var out bytes.Buffer
	rest := []byte(chain)
	for first := true; ; first = false {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return projections.KeyPair{}, fmt.Errorf("read the certificate that was issued: %w", err)
		}
		if first && !manifest.OfKey(cert, key.Public()) {
			return projections.KeyPair{}, errors.New("the certificate that was issued is of another key")
		}
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}))
	}
	if out.Len() == 0 {
		return projections.KeyPair{}, errors.New("no certificate was issued")
	}
	return projections.KeyPair{Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), Chain: out.Bytes()}, nil
}

// withKeys is the row with the pod's certificates and their keys.
func (w *worker) withKeys(row *projections.DesiredPod) *projections.DesiredPod {
	if len(w.keys) == 0 {
		return row
	}
	next := *row
	next.Keys = w.keys
	return &next
}
