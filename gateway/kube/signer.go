package kube

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// signAgain is when a request is looked at again that could not be signed.
const signAgain = 5 * time.Second

// signer signs what was approved: the authority's key is known to this room alone, and
// the certificate is an event.
type signer struct {
	*Server

	mu    sync.Mutex
	moved map[events.Key]bool // requests to look at
}

// sign signs until the context ends.
func (s *Server) sign(ctx context.Context) {
	g := &signer{Server: s, moved: map[events.Key]bool{}}
	s.tend(ctx, chore{of: events.CertRequests, look: g.look, work: g.signAll, again: signAgain})
}

// look remembers to look at a request.
func (g *signer) look(k events.Key) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.moved[k] = true
}

func (g *signer) take() map[events.Key]bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	moved := g.moved
	g.moved = map[events.Key]bool{}
	return moved
}

// signAll signs what waits for it on the durable state, so that no power cut takes an
// approval back that was acted on; false when something could not be signed.
func (g *signer) signAll(ctx context.Context) bool {
	done := true
	for k := range g.take() {
		v := g.Views.Durable()
		o, ok := v.Get(k)
		if !ok {
			continue
		}
		c, ok := v.ObjectOf(o, g.Now()).(*certificatesv1.CertificateSigningRequest)
		if !ok || o.Deletion != nil || !waitsForUs(c) {
			continue
		}
		if err := g.signOne(ctx, o, c); err != nil && ctx.Err() == nil {
			g.Logger.Warn("sign a certificate", "request", c.Name, "error", err)
			g.look(k)
			done = false
		}
	}
	return done
}

// waitsForUs tells whether a request was approved that is this cluster's to sign.
func waitsForUs(c *certificatesv1.CertificateSigningRequest) bool {
	approved := false
	for _, x := range c.Status.Conditions {
		if x.Type == certificatesv1.CertificateDenied || x.Type == certificatesv1.CertificateFailed {
			return false
		}
		approved = approved || x.Type == certificatesv1.CertificateApproved && x.Status == corev1.ConditionTrue
	}
	return approved && len(c.Status.Certificate) == 0 && c.Spec.SignerName == certificatesv1.KubeAPIServerClientSignerName
}

// signOne appends the certificate, or why there is none.
func (s *Server) signOne(ctx context.Context, o *projections.Object, c *certificatesv1.CertificateSigningRequest) error {
	status := c.Status.DeepCopy()
	if cert, err := s.certificate(c); err == nil {
		status.Certificate = cert
	} else {
		at := metav1.NewTime(s.Now().Truncate(time.Second))
		status.Conditions = append(status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue,
			Reason: "SignerValidationFailure", Message: err.Error(), LastUpdateTime: at, LastTransitionTime: at})
	}
	id, err := newID()
	if err != nil {
		return err
	}
	_, err = s.Writer.Submit(ctx, Wish{Actor: events.Controller("signer"), ID: id, Key: o.Key, Message: "signed as approved",
		Decide: func(v projections.State, _ time.Time) ([]reconcilers.Draft, error) {
			now, ok := v.Get(o.Key)
			if !ok || now.UID != o.UID || now.Deletion != nil || !bytes.Equal(now.Status, o.Status) {
				return nil, nil // whoever changed it rings again
			}
			return []reconcilers.Draft{reconcilers.WriteStatus(now, events.StatusWritten{Status: events.MustBody(status), Over: now.Over})}, nil
		}})
	return err
}

// clientUsages are what a client's certificate can be good for beside being one's.
var clientUsages = map[certificatesv1.KeyUsage]x509.KeyUsage{
	certificatesv1.UsageClientAuth: 0, certificatesv1.UsageDigitalSignature: x509.KeyUsageDigitalSignature, certificatesv1.UsageKeyEncipherment: x509.KeyUsageKeyEncipherment,
}

// certificate is what a request asks for, signed by the cluster's authority. What
// admission refuses is refused here again: the log may hold what an older one let in.
func (s *Server) certificate(c *certificatesv1.CertificateSigningRequest) ([]byte, error) {
	r, err := manifest.CertificateRequest(c.Spec.Request)
	if err != nil {
		return nil, fmt.Errorf("unable to parse csr: %w", err)
	}
	var usage x509.KeyUsage
	for _, u := range c.Spec.Usages {
		bit, ok := clientUsages[u]
		if !ok {
			return nil, fmt.Errorf("invalid usage for client certificate: %s", u)
		}
		usage |= bit
	}
	if !slices.Contains(c.Spec.Usages, certificatesv1.UsageClientAuth) {
		return nil, fmt.Errorf("missing required usage for client certificate: %s", certificatesv1.UsageClientAuth)
	}
	if slices.Contains(r.Subject.Organization, admit.Masters) {
		return nil, fmt.Errorf("use of %s signer with %s group is not allowed", c.Spec.SignerName, admit.Masters)
	}
	var life time.Duration
	if c.Spec.ExpirationSeconds != nil {
		life = time.Duration(*c.Spec.ExpirationSeconds) * time.Second
	}
	raw, err := s.Authority.Client(r, usage, life)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), nil
}
