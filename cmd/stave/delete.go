package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/alecthomas/kong"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// cascade is --cascade: bare means background, and kubectl's older true and
// false are understood.
type cascade string

// Decode implements kong.MapperValue.
func (c *cascade) Decode(ctx *kong.DecodeContext) error {
	v := "background"
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		v = fmt.Sprint(ctx.Scan.Pop().Value)
	}
	switch v {
	case "true":
		v = "background"
	case "false":
		v = "orphan"
	case "background", "foreground", "orphan":
	default:
		return fmt.Errorf("invalid cascade value (%s). Must be \"background\", \"foreground\", or \"orphan\"", v)
	}
	*c = cascade(v)
	return nil
}

// IsBool lets the flag stand without a value.
func (c *cascade) IsBool() bool { return true }

// deleteCmd is `stave delete`.
type deleteCmd struct {
	files
	Selector       string        `short:"l" help:"Label selector: delete what matches." placeholder:"SELECTOR"`
	FieldSelector  string        `help:"Field selector: delete what matches." placeholder:"SELECTOR"`
	All            bool          `help:"Delete all objects of the type in the namespace."`
	AllNamespaces  bool          `short:"A" help:"With -l or --all: in all namespaces."`
	Grace          *int64        `name:"grace-period" help:"Seconds that a pod gets to stop; its own when not given." placeholder:"SECONDS"`
	Now            bool          `help:"The same as --grace-period=1."`
	Force          bool          `help:"Do not wait for the node to say that the pod stopped."`
	Shred          bool          `help:"A Secret only: destroy its key, so that no undo and no look at the past brings its values back."`
	Cascade        cascade       `help:"What becomes of children: background, foreground or orphan." default:"background" placeholder:"HOW"`
	DryRun         dryRun        `name:"dry-run" help:"Only say what would happen: client or server." placeholder:"MODE"`
	Output         format        `short:"o" help:"name: print only the names; json or yaml: what became of each." placeholder:"FORMAT"`
	IgnoreNotFound bool          `help:"An object that is not there is no error; always so with -l and --all."`
	Wait           bool          `help:"Wait until the objects are gone." default:"true" negatable:""`
	Timeout        time.Duration `help:"How long to wait; 0 waits as long as it takes." default:"0s"`
	Message        string        `short:"m" help:"Why; kept with the events." placeholder:"TEXT"`
	What           []string      `arg:"" optional:"" help:"TYPE NAME…, TYPE/NAME…, or TYPE with -l or --all."`
}

// Help implements kong's detailed help.
func (deleteCmd) Help() string {
	return `Examples:
  stave delete pod web-1
  stave delete -f web.yaml
  stave delete pods -l app=web --now
  stave delete deploy/web --cascade=orphan
  stave delete pod web-1 --grace-period=0 --force
  stave delete deploy --all --dry-run=server
  stave delete namespace blue --no-wait
  stave delete secret db --shred`
}

// Run deletes and, unless told otherwise, waits until all of it is gone.
func (c *deleteCmd) Run(ctx context.Context, s *session) error {
	if !slices.Contains([]format{formatTable, formatName, formatJSON, formatYAML}, c.Output) {
		return fmt.Errorf("unexpected -o output mode: %s. We only support '-o name', json and yaml", c.Output)
	}
	c.DryRun = c.DryRun.settled(s)
	items, err := c.find(ctx, s)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		fmt.Fprintln(s.out, "No resources found")
		return nil
	}
	if c.Force && c.DryRun == "" {
		fmt.Fprintln(s.err, "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely.")
	}
	results, err := s.change(ctx, wire.ChangeRequest{Operation: wire.Delete, Items: items, DryRun: c.DryRun != "", Grace: c.grace(), Cascade: string(c.Cascade), Force: c.Force, Shred: c.Shred, Message: c.Message})
	if err != nil {
		return err
	}
	deleted, err := c.print(s, results)
	if !c.Wait || c.DryRun != "" {
		return err
	}
	return errors.Join(err, s.waitGone(ctx, deleted, c.Timeout))
}

func (c *deleteCmd) grace() *int64 {
	one := int64(1)
	if c.Now {
		return &one
	}
	if c.Force && c.Grace == nil {
		zero := int64(0)
		return &zero
	}
	return c.Grace
}

// print says what was deleted, in kubectl's words.
func (c *deleteCmd) print(s *session, results []wire.Result) ([]wire.Result, error) {
	var gone []wire.Result
	var errs []error
	var last events.Seq
	how := " deleted"
	if c.Force {
		how = " force deleted"
	}
	for _, r := range results {
		if wentAlong(r, gone) {
			r.Error = nil
		}
		if r.Error != nil {
			if c.IgnoreNotFound && r.Error.Reason == "NotFound" {
				continue
			}
			errs = append(errs, refused(r.Error))
			continue
		}
		gone = append(gone, r)
		if c.Output == formatName {
			fmt.Fprintln(s.out, printedName(r.Key))
		}
		if c.Output != formatTable {
			continue
		}
		kind, _ := kindOf(r.Key.Resource)
		in := ""
		if kind.Namespaced {
			in = " from " + r.Key.Namespace + " namespace"
		}
		fmt.Fprintf(s.out, "%s %q%s%s%s\n", kind.Printed(), r.Key.Name, how, in, c.DryRun.suffix())
		last = max(last, r.Seq)
	}
	s.sayWhere(last)
	if c.Output == formatJSON || c.Output == formatYAML {
		errs = append(errs, s.printOutcomes(c.Output, gone))
	}
	return gone, errors.Join(errs...)
}

// wentAlong tells whether endpoints that are not found went with the service of their name, which the same command deleted.
func wentAlong(r wire.Result, gone []wire.Result) bool {
	return r.Error != nil && r.Error.Reason == metav1.StatusReasonNotFound && r.Key.Resource == events.Endpoints && slices.ContainsFunc(gone, func(g wire.Result) bool {
		return g.Key == events.Key{Resource: events.Services, Namespace: r.Key.Namespace, Name: r.Key.Name}
	})
}

// find names the objects to delete.
func (c *deleteCmd) find(ctx context.Context, s *session) ([]wire.Item, error) {
	switch {
	case len(c.Filename) == 0 && len(c.What) == 0:
		return nil, errors.New("must specify -f, or what to delete\nhelp: stave delete pod NAME")
	case c.Selector != "" || c.FieldSelector != "" || c.All:
		return c.matching(ctx, s)
	}
	items, err := s.items(ctx, c.files, c.What)
	if errors.Is(err, errNoName) {
		err = fmt.Errorf("%w; -l deletes what matches, --all all of them", err)
	}
	return items, err
}

func (c *deleteCmd) matching(ctx context.Context, s *session) ([]wire.Item, error) {
	targets, err := parseTargets(c.What)
	if err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	c.IgnoreNotFound = true // nobody named it: what is gone since the list is as wished
	var items []wire.Item
	for _, t := range targets {
		if len(t.names) > 0 {
			return nil, errors.New("a name cannot be given together with -l or --all")
		}
		req := wire.ReadRequest{Resource: t.kind.Resource, Namespace: s.key(t.kind, "").Namespace, LabelSelector: c.Selector, FieldSelector: c.FieldSelector}
		if c.AllNamespaces {
			req.Namespace = ""
		}
		reply, err := s.read(ctx, req)
		if err != nil {
			return nil, err
		}
		for _, raw := range reply.Objects {
			k, err := identify(raw)
			if err != nil {
				return nil, err
			}
			items = append(items, wire.Item{Key: k})
		}
	}
	return items, nil
}
