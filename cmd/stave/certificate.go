package main

import (
	"context"
	"errors"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// certificateCmd is `stave certificate`.
type certificateCmd struct {
	Approve approveCmd `cmd:"" help:"Let requests for certificates be signed."`
	Deny    denyCmd    `cmd:"" help:"Refuse requests for certificates."`
}

// settleFlags say which requests for certificates are settled.
type settleFlags struct {
	changeFlags
	files
	Names []string `arg:"" optional:"" help:"NAME…"`
}

// approveCmd is `stave certificate approve`.
type approveCmd struct{ settleFlags }

// Help implements kong's detailed help.
func (approveCmd) Help() string {
	return `Whoever has the key gets in as the user whom the request names, with its groups, until the certificate ends:
nobody can take it back before. Look at who asks, and for whom: stave describe csr ann

Examples:
  stave certificate approve ann -m "she begins on Monday"`
}

// Run approves.
func (c *approveCmd) Run(ctx context.Context, s *session) error {
	return c.settle(ctx, s, certificatesv1.CertificateApproved, "approved", "StaveApprove")
}

// denyCmd is `stave certificate deny`.
type denyCmd struct{ settleFlags }

// Help implements kong's detailed help.
func (denyCmd) Help() string {
	return `Examples:
  stave certificate deny ann -m "nobody knows her"`
}

// Run denies.
func (c *denyCmd) Run(ctx context.Context, s *session) error {
	return c.settle(ctx, s, certificatesv1.CertificateDenied, "denied", "StaveDeny")
}

func (c *settleFlags) settle(ctx context.Context, s *session, how certificatesv1.RequestConditionType, word, reason string) error {
	if len(c.Names) == 0 && len(c.Filename) == 0 {
		return errors.New("a name or -f FILE is required\nhelp: stave get csr")
	}
	var what []string
	if len(c.Names) > 0 {
		what = append([]string{"csr"}, c.Names...)
	}
	items, err := s.items(ctx, c.files, what)
	if err != nil {
		return err
	}
	why := c.Message
	if why == "" {
		why = "This request was " + word + " by stave certificate."
	}
	said := certificatesv1.CertificateSigningRequestCondition{Type: how, Status: corev1.ConditionTrue, Reason: reason, Message: why,
		LastUpdateTime: metav1.NewTime(time.Now().UTC().Truncate(time.Second))}
	w := rewriting{changeFlags: c.changeFlags, done: word, same: "already " + word, approval: true}
	return w.each(ctx, s, items, func(k events.Key, object tree) error {
		return typed(func(r *certificatesv1.CertificateSigningRequest) error {
			for _, x := range r.Status.Conditions {
				if x.Type == how {
					return nil
				}
			}
			r.Status.Conditions = append(r.Status.Conditions, said)
			return nil
		})(k, object)
	})
}
