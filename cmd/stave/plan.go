package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
	"github.com/stave-run/stave/projections/why"
)

// The exit codes of plan, and of apply when its plan is out of date.
const (
	exitChanges = 1
	exitMoved   = 3
	exitNoPlan  = 255
)

// planCmd is `stave plan`.
type planCmd struct {
	foresight
	Output string `short:"o" help:"A file to keep the plan in, for apply --plan; or json or yaml: what would become of the pods." placeholder:"FILE"`
	Set    string `help:"Plan for this set of manifests." placeholder:"NAME"`
	Prune  bool   `help:"Plan also that the members of the set that these manifests no longer hold go."`
}

// Help implements kong's detailed help.
func (planCmd) Help() string {
	return `What apply would change, the pods that would be made and where they would land,
and those that would go: decided by the cluster's own code on a fork of its log.
The log does not grow. Nodes of the fork run at once whatever they are given:
whether an image can be had, and whether a program stays up, it cannot know.
Webhooks and policies are asked, as for a dry run; about the past (--at) they are not.

A plan that was kept with -o FILE is carried out by apply --plan FILE, unless
something that it rests on has changed since: the objects and their namespaces,
the pods that would go, a node, a webhook or policy.

Exit code 0 when nothing would change, 1 when something would, 255 on trouble.

Examples:
  stave plan -f web.yaml
  stave plan -f web.yaml -o web.plan
  stave plan -f shop/ --set shop --prune
  stave plan -f web.yaml --at 10m -o json

A case: a shop that is not there yet, and its plan, a change too late.
  $ stave plan -f shop.yaml -o shop.plan
  namespace/shop created (not done)
  configmap/settings created (not done)
  deployment.apps/web created (not done)
  deployments.apps/shop/web: 2 made (vm 2)
    + web-5b9855bb9f-4wzbf  vm
    + web-5b9855bb9f-smm2r  vm
  $ stave apply --plan shop.plan
  error: the plan was made at 9, and what it rests on has changed since; nothing was applied
    namespace/shop: at 10, 0s ago, user:admin created namespace/shop (the shop opens)`
}

// Run prints the plan, and keeps it.
func (c *planCmd) Run(ctx context.Context, s *session) error {
	changes, err := c.plan(ctx, s)
	switch {
	case err != nil:
		return &exitError{code: exitNoPlan, err: err}
	case changes:
		return &exitError{code: exitChanges}
	}
	return nil
}

func (c *planCmd) plan(ctx context.Context, s *session) (changes bool, err error) {
	if len(c.Filename) == 0 {
		return false, errors.New("must specify -f with manifests to plan\nhelp: stave plan -f FILE")
	}
	if c.Prune && c.Set == "" {
		return false, errors.New("--prune needs the name of a set\nhelp: stave plan -f DIR --set NAME --prune")
	}
	docs, reply, err := c.ask(ctx, s, wire.ForeseeRequest{Set: c.Set, Prune: c.Prune})
	if err != nil {
		return false, err
	}
	output, file := formatTable, c.Output
	if f := format(c.Output); f == formatJSON || f == formatYAML {
		output, file = f, ""
	}
	if err := c.print(s, output, docs, reply); err != nil {
		return false, err
	}
	if file != "" {
		err = c.keep(ctx, s, file, docs, reply)
	}
	return changesAnything(reply), err
}

func changesAnything(reply wire.ForeseeReply) bool {
	for _, r := range reply.Results {
		if r.Outcome != admit.Unchanged {
			return true
		}
	}
	for _, r := range reply.Pruned {
		if r.Outcome == admit.Pruned {
			return true
		}
	}
	return reply.Moves
}

// plannedChange is the file that a plan is kept in.
type plannedChange struct {
	Version   int               `json:"stavePlan"`
	Cluster   string            `json:"cluster"`
	Seq       events.Seq        `json:"seq"` // of the state that it was made on
	Time      time.Time         `json:"time"`
	Line      string            `json:"line"` // the command that made it
	Set       string            `json:"set,omitempty"`
	Prune     bool              `json:"prune,omitempty"`
	Would     string            `json:"would"` // what would become of the pods, for people
	Reads     []wire.Read       `json:"reads"`
	Documents []json.RawMessage `json:"documents"`
}

// planVersion is the version of the file's form.
const planVersion = 1

func (c *planCmd) keep(ctx context.Context, s *session, path string, docs []manifest.Doc, reply wire.ForeseeReply) error {
	if !c.At.IsZero() {
		return errors.New("a plan for the past cannot be kept: there is nothing to apply it to")
	}
	cluster, err := ask[wire.ClusterReply](ctx, s, wire.VerbCluster, wire.ClusterRequest{})
	if err != nil {
		return err
	}
	p := plannedChange{Version: planVersion, Cluster: cluster.Name, Seq: reply.Seq, Time: time.Now().UTC(), Line: ownLine(),
		Set: c.Set, Prune: c.Prune, Would: reply.Text, Reads: reply.Reads}
	for _, d := range docs {
		p.Documents = append(p.Documents, d.JSON())
	}
	raw, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("encode plan: %w", err)
	}
	if err := os.WriteFile(path, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep the plan: %w", err)
	}
	if s.tty {
		fmt.Fprintf(s.err, "kept; carry it out with 'stave apply --plan %s'\n", path)
	}
	return nil
}

// readPlan reads a kept plan and its documents.
func readPlan(path string) (p plannedChange, docs []manifest.Doc, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return p, nil, fmt.Errorf("read the plan: %w", err)
	}
	if err := json.Unmarshal(raw, &p); err != nil || p.Version != planVersion || len(p.Documents) == 0 {
		return p, nil, fmt.Errorf("%s is no plan of this version of stave\nhelp: stave plan -f FILE -o %s makes one", path, path)
	}
	texts := make([]text, len(p.Documents))
	for i, d := range p.Documents {
		texts[i] = text{path, d}
	}
	docs, problems := decodeTexts(texts)
	return p, docs, errors.Join(problems...)
}

// carryOut applies a kept plan, if nothing that it rests on has moved.
func (c *applyCmd) carryOut(ctx context.Context, s *session) ([]wire.Result, error) {
	if len(c.Filename) > 0 || c.Set != "" || c.Prune || c.Partial {
		return nil, errors.New("--plan holds the manifests and their set: give it alone")
	}
	p, docs, err := readPlan(c.Plan)
	if err != nil {
		return nil, err
	}
	cluster, err := ask[wire.ClusterReply](ctx, s, wire.VerbCluster, wire.ClusterRequest{})
	switch {
	case err != nil:
		return nil, err
	case cluster.Name != p.Cluster:
		return nil, fmt.Errorf("the plan is for the cluster %q, and this is %q\nhelp: choose it with --context", p.Cluster, cluster.Name)
	}
	ch := changing{op: wire.Apply, dryRun: c.DryRun.settled(s), output: c.Output, message: c.Message, whole: true, set: p.Set, prune: p.Prune, unmoved: p.Reads, later: c.Wait}
	if ch.dryRun == dryRunClient {
		ch.dryRun = dryRunServer // only the server knows what has moved
	}
	results, err := ch.send(ctx, s, docs)
	var moved *movedError
	if errors.As(err, &moved) {
		return nil, &exitError{code: exitMoved, err: fmt.Errorf("the plan was made at %d, and what it rests on has changed since; nothing was applied\n%w\nhelp: make it again: %s", p.Seq, moved, p.Line)}
	}
	return results, err
}

// movedError names what changed since a plan was made.
type movedError struct{ moved []wire.Moved }

// Error implements error.
func (e *movedError) Error() string {
	lines := make([]string, len(e.moved))
	for i, m := range e.moved {
		lines[i] = fmt.Sprintf("  %s: at %d, %s ago, %s %s", why.Spelled(m.Key, ""), m.Now, table.Age(time.Since(m.Time)), m.Actor, m.What)
		if m.Message != "" {
			lines[i] += " (" + m.Message + ")"
		}
	}
	return strings.Join(lines, "\n")
}
