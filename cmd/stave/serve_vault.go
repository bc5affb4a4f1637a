package main

import (
	"context"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/badge"
	"github.com/stave-run/stave/gateway/vault"
	"github.com/stave-run/stave/projections"
)

// sweepEvery is how often keys are looked at that may be of no use any more.
const sweepEvery = 10 * time.Minute

// openVault opens the key store, and destroys from now on the keys that are of no
// use any more.
func (c *cluster) openVault(_ context.Context, up *upCmd, _ func(string, ...any)) error {
	v, err := vault.Open(c.layout.keys())
	if err != nil {
		return err
	}
	c.vault = v
	c.background("sweep keys", func(ctx context.Context) error {
		var a age
		for {
			now := time.Now()
			by := a.by(now)
			if err := v.Sweep(c.view.Durable(), now, func(since time.Time) bool { return by.Sub(since) > up.UndoWindow }, c.shredded(ctx)); err != nil {
				c.logger.Warn("sweep keys", "err", err) // the next one may do better
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(sweepEvery):
			}
		}
	})
	return nil
}

// openTokens opens the key that signs what pods come in with, where they can.
func (c *cluster) openTokens(_ context.Context, up *upCmd, say func(string, ...any)) (err error) {
	if !up.Kube {
		return nil
	}
	c.tokens, err = badge.Open(c.layout.credentials(), c.view.Durable().Cluster().Domain, time.Now)
	if _, known := c.view.Durable().Get(projections.RootKey); err == nil && known && c.tokens.Made {
		say("the key of tokens was not there, and a new one is made: what pods have to show the API is void until it is renewed; 'stave rollout restart' has it renewed at once")
	}
	return err
}

// shredded tells whether a Secret's newest end was to take its values along.
func (c *cluster) shredded(ctx context.Context) func(events.Key) bool {
	return func(k events.Key) bool {
		log, shred := c.server.Log(), false
		seqs, err := log.About(ctx, k)
		if err != nil {
			return false // the next sweep asks again
		}
		err = log.At(ctx, seqs, func(e events.Envelope) error {
			if e.Type.Verb() == events.VerbRemoved {
				b, err := events.Decode[events.Removed](e)
				shred = err == nil && b.Shred
			}
			return nil
		})
		return err == nil && shred
	}
}
