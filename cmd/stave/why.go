package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/stave-run/stave/gateway/wire"
)

// whyCmd is `stave why`.
type whyCmd struct {
	then
	Output format   `short:"o" help:"json or yaml." placeholder:"FORMAT"`
	What   []string `arg:"" optional:"" help:"TYPE/NAME or TYPE NAME."`
}

// Help implements kong's detailed help.
func (whyCmd) Help() string {
	return `Examples:
  stave why pod/web-7d9c6b8f4-x2k9p
  stave why deployment web
  stave why pod/web-1 -o json
  stave why pod/web-1 --at 412

A case: a pod that does not stay up.
  $ stave why pod/crash
  pod/crash CrashLoopBackOff: container c does not stay up
    c, run 3: exit code 1 (Error)
    its last words:
      exec /hello: no such file or directory
  waits for: try 4 of container c in 16s
  fix: stave logs crash -c c --previous
  because:
      90  3s   node:vm              c: CrashLoopBackOff back-off 20s restarting failed container=c pod=crash_shop(7237f37a-4e50-8e83-a989-dcb4ff38b112)
    ← 42  14s  reconciler:schedule  assigned pod/crash to vm
    ← 41  14s  user:admin           created pod/crash (stave apply -f crash.yaml)`
}

// Run explains each object: what is seen, back to who asked.
func (c *whyCmd) Run(ctx context.Context, s *session) error {
	items, err := s.items(ctx, files{}, c.What)
	if err != nil {
		return err
	}
	var errs []error
	for i, it := range items {
		reply, err := ask[wire.TextReply](ctx, s, wire.VerbWhy, wire.WhyRequest{At: c.At.Moment, Key: it.Key, Home: s.namespace})
		defer s.tellHorizon(reply.Horizon)
		if err == nil {
			err = refused(reply.Error)
		}
		if errs = append(errs, err); err != nil {
			continue
		}
		if c.Output != formatTable {
			errs = append(errs, s.printDocument(c.Output, reply.JSON))
			continue
		}
		if i > 0 {
			fmt.Fprintln(s.out)
		}
		fmt.Fprint(s.out, reply.Text)
	}
	return errors.Join(errs...)
}
