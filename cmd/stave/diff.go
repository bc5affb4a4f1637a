package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
)

// diffCmd is `stave diff`.
type diffCmd struct {
	files
	between
}

// Help implements kong's detailed help.
func (diffCmd) Help() string {
	return `Exits with 0 when nothing would change, 1 when something would, 2 when that cannot be said.

Examples:
  stave diff -f web.yaml
  stave diff --at 412 --at 500 deploy/web
  stave diff --at 10m -n shop
  KUBECTL_EXTERNAL_DIFF="diff -N -u --color" stave diff -f manifests/ -R

A case: what changed between two events.
  $ stave diff --at 11 --at 25 cm/settings
  diff -u -N AT-11/configmap.shop.settings AT-25/configmap.shop.settings
  --- AT-11/configmap.shop.settings	2026-11-28 22:10:03.401480868 +0000
  +++ AT-25/configmap.shop.settings	2026-11-28 22:10:03.405480868 +0000
  @@ -1,6 +1,6 @@
   apiVersion: v1
   data:
  -  tea: "3"
  +  tea: "4"
   kind: ConfigMap
   metadata:
     name: settings`
}

// exitTrouble is the code of a diff that failed; 1 means differences.
const exitTrouble = 2

// Run compares what is there with what an apply would make of it.
func (c *diffCmd) Run(ctx context.Context, s *session) error {
	differ, err := c.run(ctx, s)
	switch {
	case err != nil:
		return &exitError{exitTrouble, err}
	case differ:
		return &exitError{code: exitFailed}
	}
	return nil
}

func (c *diffCmd) run(ctx context.Context, s *session) (bool, error) {
	switch {
	case len(c.At) > 0 && len(c.Filename) > 0:
		return false, errors.New("compare either manifests (-f) or moments (--at)")
	case len(c.At) > 0:
		return c.between.run(ctx, s)
	case len(c.What) > 0 || c.AllNamespaces:
		return false, errors.New("say which moment to compare with\nhelp: stave diff --at 10m TYPE/NAME")
	}
	if len(c.Filename) == 0 {
		return false, errors.New("must specify -f with manifests to compare\nhelp: stave diff -f FILE")
	}
	docs, err := c.load(s)
	if err != nil {
		return false, err
	}
	ch := changing{op: wire.Apply, dryRun: dryRunServer}
	if err := ch.place(ctx, s, docs); err != nil {
		return false, err
	}
	req := wire.ChangeRequest{Operation: wire.Apply, DryRun: true, Whole: true}
	for _, d := range docs {
		req.Items = append(req.Items, wire.Item{Object: d.JSON()})
	}
	results, err := s.change(ctx, req)
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "stave-diff-")
	if err != nil {
		return false, fmt.Errorf("make a directory to compare in: %w", err)
	}
	defer os.RemoveAll(dir)
	both, err := c.gather(ctx, s, ch, docs, results)
	names := []string{"LIVE", "MERGED"}
	if err := errors.Join(err, lay(dir, names, both)); err != nil {
		return false, err
	}
	return compare(ctx, s, dir, names[0], names[1])
}

// side is one side of a comparison: objects by the name of their file.
type side map[string]tree

// gather reads both sides of every object: as it is, if it is, and as it would be.
func (c *diffCmd) gather(ctx context.Context, s *session, ch changing, docs []manifest.Doc, results []wire.Result) (both [2]side, err error) {
	both = [2]side{{}, {}}
	var errs []error
	for i, r := range results {
		if r.Error != nil {
			errs = append(errs, ch.placed(docs[i], r.Error))
			continue
		}
		if r.Outcome == "" {
			continue // a refusal beside it keeps it from being
		}
		name := strings.Join([]string{docs[i].Kind.Printed(), r.Key.Namespace, r.Key.Name}, ".")
		reply, err := s.read(ctx, wire.ReadRequest{Resource: r.Key.Resource, Namespace: r.Key.Namespace, Names: []string{r.Key.Name}})
		if err == nil && len(reply.Objects) > 0 {
			both[0][name], err = decodeTree(reply.Objects[0])
		}
		if err == nil {
			both[1][name], err = decodeTree(r.Object)
		}
		errs = append(errs, err)
	}
	return both, errors.Join(errs...)
}

// lay writes both sides into folders of dir. Of a Secret's values it says only which
// differ, as kubectl does.
func lay(dir string, names []string, both [2]side) error {
	for name, o := range both[0] {
		if o["kind"] == "Secret" {
			mask(under(o, "data"), under(both[1][name], "data"))
		}
	}
	for name, o := range both[1] {
		if _, there := both[0][name]; !there && o["kind"] == "Secret" {
			mask(nil, under(o, "data"))
		}
	}
	for i, objects := range both {
		if err := os.Mkdir(filepath.Join(dir, names[i]), 0o700); err != nil {
			return fmt.Errorf("make a directory to compare in: %w", err)
		}
		for name, o := range objects {
			if err := layOne(filepath.Join(dir, names[i], name), o); err != nil {
				return err
			}
		}
	}
	return nil
}

// masked stands for a Secret's value, as it does with kubectl.
const masked = "***"

// mask hides values, and says on which side they are where they differ.
func mask(before, after tree) {
	for k, is := range after {
		switch was, there := before[k]; {
		case there && is == was:
			before[k], after[k] = masked, masked
		case there:
			before[k], after[k] = masked+" (before)", masked+" (after)"
		default:
			after[k] = masked
		}
	}
	for k := range before {
		if _, stays := after[k]; !stays {
			before[k] = masked
		}
	}
}

// layOne writes what people have a say in: not status, nor what the log knows.
func layOne(path string, o tree) error {
	delete(o, "status")
	for _, ours := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"} {
		delete(under(o, "metadata"), ours)
	}
	text, err := yaml.Marshal(o)
	if err != nil {
		return fmt.Errorf("print %s: %w", filepath.Base(path), err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// compare runs the person's diff, or the system's, on two folders of dir.
func compare(ctx context.Context, s *session, dir, left, right string) (bool, error) {
	tool := os.Getenv("KUBECTL_EXTERNAL_DIFF")
	if tool == "" {
		tool = "diff -u -N"
	}
	words := append(strings.Fields(tool), left, right)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, s.plainOut(), s.err
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("run %q: %w", tool, err)
	}
	return false, nil
}
