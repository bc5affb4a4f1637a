// Package certificate takes away requests for certificates that are settled, or that
// nobody settles, after the times that Kubernetes gives them; those of pods too.
package certificate

import (
	"crypto/x509"
	"encoding/pem"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// How long requests stay: one that is settled, and one that waits for somebody.
const (
	settled = time.Hour
	pending = 24 * time.Hour
	// ofPods is how long any request for a pod's certificate stays: its node has asked again long before.
	ofPods = 15 * time.Minute
)

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct{}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "certificate" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 1 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return []events.Resource{events.CertRequests, events.PodCertRequests}
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return []events.Type{events.TypeOf(events.CertRequests, events.VerbRemoved), events.TypeOf(events.CertRequests, events.VerbDeletionRequested),
		events.TypeOf(events.PodCertRequests, events.VerbRemoved), events.TypeOf(events.PodCertRequests, events.VerbDeletionRequested)}
}

// Keys implements reconcilers.Reconciler.
func (Reconciler) Keys(_ reconcilers.View, c projections.Change) []events.Key {
	if c.Key.Resource != events.CertRequests && c.Key.Resource != events.PodCertRequests || c.After == nil {
		return nil
	}
	return []events.Key{c.Key}
}

// Decide implements reconcilers.Reconciler.
func (Reconciler) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok || o.Deletion != nil {
		return reconcilers.Decision{}
	}
	end := o.Created.Time.Add(ofPods)
	if c, ok := v.ObjectOf(o, now).(*certificatesv1.CertificateSigningRequest); ok {
		end = endOf(c, o.Created.Time)
	}
	if end.IsZero() || now.Before(end) {
		return reconcilers.Decision{WakeAt: end}
	}
	return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.Leave(o)}}
}

// endOf is when a request goes that was made then: an hour after it was denied, failed or signed, a day after it was
// approved if nobody signs it, a day after it was made if nobody says anything; and when its certificate ends. The zero
// time is never: somebody works on it whose words mean nothing here.
func endOf(c *certificatesv1.CertificateSigningRequest, made time.Time) time.Time {
	var end time.Time
	if len(c.Status.Conditions) == 0 {
		end = made.Add(pending)
	}
	for _, x := range c.Status.Conditions {
		lasts := settled
		if x.Type == certificatesv1.CertificateApproved && len(c.Status.Certificate) == 0 {
			lasts = pending
		}
		switch x.Type {
		case certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed:
			if !x.LastUpdateTime.IsZero() {
				end = reconcilers.Sooner(end, x.LastUpdateTime.Add(lasts))
			}
		}
	}
	if block, _ := pem.Decode(c.Status.Certificate); block != nil {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			end = reconcilers.Sooner(end, cert.NotAfter)
		}
	}
	return end
}
