package main

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// setAccountCmd is `stave set serviceaccount`.
type setAccountCmd struct{ setting }

// Help implements kong's detailed help.
func (setAccountCmd) Help() string {
	return `Examples:
  stave set serviceaccount deployment/web builder
  stave set sa deploy web builder`
}

// Run sets the account; the last argument names it.
func (c *setAccountCmd) Run(ctx context.Context, s *session) error {
	last := len(c.What) - 1
	if last < 1 && len(c.Filename) == 0 {
		return errors.New("serviceaccount is required\nhelp: stave set serviceaccount deployment/web NAME")
	}
	return c.rewriteSpecs(ctx, s, slices.Clone(c.What[:last]), "serviceaccount updated", func(spec *corev1.PodSpec) error {
		spec.ServiceAccountName, spec.DeprecatedServiceAccount = c.What[last], c.What[last]
		return nil
	})
}
