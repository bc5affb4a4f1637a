package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// between is the other half of diff: two moments instead of manifests.
type between struct {
	At            []moment `sep:"none" help:"Compare with this moment: a sequence, a time, or so long ago; given twice, compare the two." placeholder:"MOMENT"`
	AllNamespaces bool     `short:"A" help:"With --at: all objects of all namespaces, and those of none."`
	What          []string `arg:"" optional:"" help:"With --at: TYPE, TYPE NAME…, or TYPE/NAME…; all of the namespace when not given."`
}

// run compares two moments, an earlier and a later one; the later one is now
// when only one is given.
func (c *between) run(ctx context.Context, s *session) (bool, error) {
	if len(c.At) > 2 {
		return false, errors.New("two moments can be compared, not more")
	}
	targets, err := c.targets(ctx, s)
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "stave-diff-")
	if err != nil {
		return false, fmt.Errorf("make a directory to compare in: %w", err)
	}
	defer os.RemoveAll(dir)
	sides := []wire.Moment{c.At[0].Moment, {}}
	if len(c.At) == 2 {
		sides[1] = c.At[1].Moment
	}
	names := []string{"AT-" + sides[0].String(), "AT-" + sides[1].String()}
	if names[0] == names[1] {
		return false, nil
	}
	var both [2]side
	for i, at := range sides {
		if both[i], err = c.gather(ctx, s, targets, at); err != nil {
			return false, err
		}
	}
	if err := lay(dir, names, both); err != nil {
		return false, err
	}
	return compare(ctx, s, dir, names[0], names[1])
}

// targets are what was named; nil when nothing was.
func (c *between) targets(ctx context.Context, s *session) ([]target, error) {
	if len(c.What) > 0 {
		return s.targets(ctx, files{}, c.What)
	}
	return nil, s.connect(ctx)
}

// everything is all that people and reconcilers write.
func (c *between) everything(kinds events.Catalogue) []target {
	var out []target
	for _, k := range kinds.All() {
		if !k.Derived && (k.Namespaced || c.AllNamespaces) {
			out = append(out, target{kind: k})
		}
	}
	return out
}

// gather reads the objects of one moment, of the kinds that there were then. Pods and replica sets follow from others:
// they are compared when they are named.
func (c *between) gather(ctx context.Context, s *session, targets []target, at wire.Moment) (side, error) {
	done := s.longAgo(at) // what is read after it is made already
	reply, err := ask[wire.KindsReply](ctx, s, wire.VerbKinds, wire.KindsRequest{At: at})
	if done(); err == nil {
		err = refused(reply.Error)
	}
	if err != nil {
		return nil, err
	}
	kinds, out := reply.Catalogue(), side{}
	if targets == nil {
		targets = c.everything(kinds)
	}
	for _, t := range targets {
		if _, there := kinds.Of(t.kind.Resource); !there {
			continue
		}
		req := wire.ReadRequest{Resource: t.kind.Resource, Names: t.names, At: at, Namespace: s.key(t.kind, "").Namespace}
		if c.AllNamespaces {
			req.Namespace = ""
		}
		reply, err := s.read(ctx, req)
		if err != nil {
			return nil, err
		}
		for _, raw := range reply.Objects {
			if len(c.What) == 0 && follows(raw) {
				continue
			}
			k, err := identify(raw)
			if err != nil {
				return nil, err
			}
			parts := slices.DeleteFunc([]string{t.kind.Printed(), k.Namespace, k.Name}, func(p string) bool { return p == "" })
			if out[strings.Join(parts, ".")], err = decodeTree(raw); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// follows tells whether an object has an owner.
func follows(raw []byte) bool {
	o, err := decodeObject(raw)
	return err == nil && len(o.GetOwnerReferences()) > 0
}
