package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// labelling is what label and annotate share: pairs in an object's metadata.
type labelling struct {
	changeFlags
	files
	Overwrite bool     `help:"Change values that are there already."`
	Selector  string   `short:"l" help:"Label selector: change what matches." placeholder:"SELECTOR"`
	All       bool     `help:"All objects of the type in the namespace."`
	List      bool     `help:"Print what is there, or what would be; change nothing."`
	What      []string `arg:"" help:"TYPE/NAME… or TYPE NAME…, then KEY=VALUE to set and KEY- to take away."`
}

// labelCmd is `stave label`.
type labelCmd struct{ labelling }

// Help implements kong's detailed help.
func (labelCmd) Help() string {
	return `Examples:
  stave label pod web-1 tier=front
  stave label pod/web-1 tier=back --overwrite
  stave label pods --all tier-`
}

// Run labels.
func (c *labelCmd) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, "labels", "labeled", func(key, value string) error {
		if bad := validation.IsValidLabelValue(value); len(bad) > 0 {
			return fmt.Errorf("invalid label value: %q: %s", key+"="+value, strings.Join(bad, "; "))
		}
		return nil
	})
}

// annotateCmd is `stave annotate`.
type annotateCmd struct{ labelling }

// Help implements kong's detailed help.
func (annotateCmd) Help() string {
	return `Examples:
  stave annotate deployment/web kubernetes.io/change-cause='a newer nginx'
  stave annotate deployment/web kubernetes.io/change-cause-`
}

// Run annotates.
func (c *annotateCmd) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, "annotations", "annotated", func(_, _ string) error { return nil })
}

// pair is KEY=VALUE of a command line.
type pair struct{ key, value string }

// pairs reads KEY=VALUE and KEY-.
func pairs(args []string) (set []pair, unset []string, err error) {
	for _, a := range args {
		key, value, ok := strings.Cut(a, "=")
		gone, taken := strings.CutSuffix(a, "-")
		switch {
		case ok && key != "":
			set = append(set, pair{key, value})
		case !ok && taken && gone != "":
			unset = append(unset, gone)
		default:
			return nil, nil, fmt.Errorf("%q: want KEY=VALUE, or KEY- to take it away", a)
		}
	}
	for _, p := range set {
		if slices.Contains(unset, p.key) {
			return nil, nil, fmt.Errorf("can not both modify and remove %q in the same command", p.key)
		}
	}
	return set, unset, nil
}

func (c *labelling) run(ctx context.Context, s *session, field, done string, valid func(key, value string) error) error {
	i := slices.IndexFunc(c.What, func(a string) bool { return strings.Contains(a, "=") || strings.HasSuffix(a, "-") })
	if i < 0 {
		i = len(c.What)
	}
	set, unset, err := pairs(c.What[i:])
	if err != nil {
		return err
	}
	if len(set)+len(unset) == 0 && !c.List {
		return fmt.Errorf("at least one of %s is required: KEY=VALUE, or KEY- to take it away", field)
	}
	for _, p := range set {
		if bad := validation.IsQualifiedName(p.key); len(bad) > 0 {
			return fmt.Errorf("name part of %q is not valid: %s", p.key, strings.Join(bad, "; "))
		}
		if err := valid(p.key, p.value); err != nil {
			return err
		}
	}
	items, err := c.items(ctx, s, c.What[:i])
	if err != nil {
		return err
	}
	change := func(_ events.Key, object tree) error {
		return c.change(s, under(object, "metadata"), field, set, unset)
	}
	if c.List {
		return c.list(ctx, s, items, field, change)
	}
	w := rewriting{changeFlags: c.changeFlags, done: done, same: "not " + done}
	if len(set) == 0 && field == "labels" {
		w.done = "unlabeled"
	}
	return w.each(ctx, s, items, change)
}

func (c *labelling) items(ctx context.Context, s *session, what []string) ([]wire.Item, error) {
	return s.selected(ctx, c.files, c.Selector, c.All, what)
}

// change writes the pairs; without --overwrite no value that is there is lost.
func (c *labelling) change(s *session, meta tree, field string, set []pair, unset []string) error {
	has, _ := meta[field].(tree)
	next := tree{}
	maps.Copy(next, has)
	var errs []error
	for _, p := range set {
		if old, ok := next[p.key]; ok && old != p.value && !c.Overwrite {
			errs = append(errs, fmt.Errorf("'%s' already has a value (%v), and --overwrite is false", p.key, old))
		}
		next[p.key] = p.value
	}
	for _, key := range unset {
		if _, ok := next[key]; !ok {
			fmt.Fprintf(s.out, "%s %q not found.\n", strings.TrimSuffix(field, "s"), key)
		}
		delete(next, key)
	}
	if meta[field] = next; len(next) == 0 {
		delete(meta, field)
	}
	return errors.Join(errs...)
}

// list prints the pairs of each object as they would be: of one alone, of several below a line that names them.
func (c *labelling) list(ctx context.Context, s *session, items []wire.Item, field string, change func(events.Key, tree) error) error {
	for _, it := range items {
		object, err := s.readTree(ctx, it.Key)
		if err == nil {
			err = change(it.Key, object)
		}
		if err != nil {
			return err
		}
		indent := ""
		if len(items) > 1 {
			fmt.Fprintf(s.out, "Listing %s for %s:\n", field, printedName(it.Key))
			indent = " "
		}
		values := under(object, "metadata", field)
		for _, key := range slices.Sorted(maps.Keys(values)) {
			fmt.Fprintf(s.out, "%s%s=%v\n", indent, key, values[key])
		}
	}
	return nil
}
