package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
)

// applyCmd is `stave apply`.
type applyCmd struct {
	files
	DryRun  dryRun        `name:"dry-run" help:"Only say what would happen: client (do not ask the server) or server (let it decide, append nothing)." placeholder:"MODE"`
	Output  format        `short:"o" help:"Print the objects instead: yaml, json, name, jsonpath=…" placeholder:"FORMAT"`
	Wait    bool          `help:"Wait until what was applied is ready."`
	Timeout time.Duration `help:"How long --wait waits." default:"2m"`
	Message string        `short:"m" help:"Why; kept with the events." placeholder:"TEXT"`
	Partial bool          `help:"Let each object stand or fall alone, as kubectl does, instead of all or none."`
	Set     string        `help:"Name these manifests as a set; the objects become its members." placeholder:"NAME"`
	Prune   bool          `help:"Delete the members of the set that these manifests no longer hold."`
	Plan    string        `help:"Carry out what stave plan -o FILE kept; exit code 3 when something that it rests on has changed since." placeholder:"FILE"`
}

// Help implements kong's detailed help.
func (applyCmd) Help() string {
	return `All the objects of one apply change together or not at all: one object that is
refused keeps the others from being touched, and stave undo takes all of them
back. Namespaces go first, wherever they stand in the files.

Examples:
  stave apply -f web.yaml
  stave apply -f shop/ --set shop --prune -m "the old cart goes"
  stave apply -f shop/ --set shop --prune --dry-run=server
  stave apply --plan web.plan
  stave apply -f manifests/ -R --wait
  cat web.yaml | stave apply -f -
  stave apply -f web.yaml --dry-run=server -o yaml`
}

// Run sends the manifests, to stand or fall together.
func (c *applyCmd) Run(ctx context.Context, s *session) error {
	send := c.send
	if c.Plan != "" {
		send = c.carryOut
	}
	results, err := send(ctx, s)
	if err != nil || !c.Wait || c.DryRun != "" {
		return err
	}
	err = s.waitForAll(ctx, results, c.Timeout, c.Output != formatTable)
	if err != nil || c.Output == formatTable {
		return err
	}
	var keys []events.Key
	for _, r := range results {
		keys = append(keys, r.Key)
	}
	return s.printNow(ctx, c.Output, keys)
}

func (c *applyCmd) send(ctx context.Context, s *session) ([]wire.Result, error) {
	if len(c.Filename) == 0 {
		return nil, errors.New("must specify -f with manifests to apply\nhelp: stave apply -f FILE")
	}
	docs, err := c.load(s)
	if err != nil {
		return nil, err
	}
	if c.Prune && (c.Set == "" || c.Partial) {
		return nil, errors.New("--prune needs the name of the set that is applied, whole\nhelp: stave apply -f DIR --set NAME --prune")
	}
	ch := changing{op: wire.Apply, dryRun: c.DryRun.settled(s), output: c.Output, message: c.Message, whole: !c.Partial, set: c.Set, prune: c.Prune, later: c.Wait}
	if c.Prune && ch.dryRun == dryRunClient {
		ch.dryRun = dryRunServer // only the server knows the members
	}
	return ch.send(ctx, s, docs)
}

// changing is a change by manifests: what apply and create share.
type changing struct {
	op      wire.Operation
	dryRun  dryRun
	output  format
	message string
	whole   bool   // all or none
	set     string // that the objects become members of
	prune   bool
	later   bool        // the objects are printed when they are ready
	unmoved []wire.Read // only when none of it has moved
}

// send places the documents in their namespaces, asks, and prints the results.
// The error says which objects were refused. The others went through, or, of a
// whole change, none did.
func (c changing) send(ctx context.Context, s *session, docs []manifest.Doc) ([]wire.Result, error) {
	if err := c.place(ctx, s, docs); err != nil {
		return nil, err
	}
	if c.dryRun == dryRunClient {
		return nil, c.printClient(ctx, s, docs)
	}
	req := wire.ChangeRequest{Operation: c.op, DryRun: c.dryRun == dryRunServer, Message: c.message, Whole: c.whole, Set: c.set, Prune: c.prune, Unmoved: c.unmoved,
		Brief: c.output == formatTable || c.later}
	for _, d := range docs {
		object := d.JSON()
		if c.op == wire.Status {
			object = d.Whole()
		}
		req.Items = append(req.Items, wire.Item{Object: object})
	}
	reply, err := s.changeAll(ctx, req)
	switch {
	case err != nil:
		return nil, err
	case len(reply.Moved) > 0:
		return nil, &movedError{reply.Moved}
	}
	return reply.Results, c.print(s, docs, reply)
}

// place puts documents without a namespace into the one of the request and
// refuses those that name another than -n does.
func (c changing) place(ctx context.Context, s *session, docs []manifest.Doc) error {
	if c.dryRun != dryRunClient || c.op == wire.Apply {
		if err := s.connect(ctx); err != nil {
			return err
		}
	}
	var errs []error
	for _, d := range docs {
		kind := d.Kind
		switch ns := d.Object.GetNamespace(); {
		case !kind.Namespaced:
		case ns == "":
			d.Object.SetNamespace(s.inNamespace())
		case s.Namespace != "" && ns != s.Namespace:
			errs = append(errs, fmt.Errorf("%s: the namespace from the provided object %q does not match the namespace %q. You must pass '--namespace=%s' to perform this operation", d.Where("metadata.namespace"), ns, s.Namespace, ns))
		}
	}
	return errors.Join(errs...)
}

func (c changing) printClient(ctx context.Context, s *session, docs []manifest.Doc) error {
	if c.output != formatTable {
		objects := make([]json.RawMessage, 0, len(docs))
		for _, d := range docs {
			objects = append(objects, d.JSON())
		}
		return s.printObjects(c.output, objects, len(objects) == 1)
	}
	for _, d := range docs {
		past, err := c.past(ctx, s, d)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s/%s %s%s\n", d.Kind.Printed(), d.Object.GetName(), past, c.dryRun.suffix())
	}
	return nil
}

// past is what a client-side dry run says. Only apply asks what is there, as kubectl's.
func (c changing) past(ctx context.Context, s *session, d manifest.Doc) (string, error) {
	if c.op == wire.Apply && d.Object.GetName() != "" {
		reply, err := s.read(ctx, wire.ReadRequest{Resource: d.Kind.Resource, Namespace: d.Object.GetNamespace(), Names: []string{d.Object.GetName()}})
		if err != nil || len(reply.Objects) > 0 {
			return "configured", err
		}
	}
	return "created", nil
}

// print shows the outcome of each object, warnings first, errors last.
func (c changing) print(s *session, docs []manifest.Doc, reply wire.ChangeReply) error {
	var errs []error
	var objects []json.RawMessage
	var last events.Seq
	for i, r := range reply.Results {
		c.warn(s, r)
		if r.Error != nil {
			errs = append(errs, c.placed(docs[i], r.Error))
		}
		if r.Outcome == "" {
			continue
		}
		last = max(last, r.Seq)
		objects = append(objects, r.Object)
		c.line(s, r)
	}
	for _, r := range reply.Pruned {
		if c.warn(s, r); r.Error != nil {
			errs = append(errs, refused(r.Error))
		} else if r.Outcome != admit.Kept {
			last = max(last, r.Seq)
			c.line(s, r)
		}
	}
	if n := len(reply.Results); c.whole && len(errs) > 0 && len(objects) == 0 && n > 1 {
		errs = append(errs, fmt.Errorf("nothing was applied: %d of %d objects cannot be, and all are one change\nhelp: correct them, or apply the others alone with --partial", len(errs), n))
	}
	if c.output != formatTable && len(objects) > 0 && (!c.later || c.dryRun != "") {
		errs = append(errs, s.printObjects(c.output, objects, len(objects) == 1))
	}
	s.sayWhere(last)
	return errors.Join(errs...)
}

func (c changing) warn(s *session, r wire.Result) {
	for _, w := range r.Warnings {
		fmt.Fprintln(s.err, "Warning: "+w)
	}
}

func (c changing) line(s *session, r wire.Result) {
	if c.output == formatTable {
		fmt.Fprintf(s.out, "%s %s%s\n", printedName(r.Key), r.Outcome, c.dryRun.suffix())
	}
}

// sayWhere prints on a terminal where in the log a change stands, and how to
// take it back.
func (s *session) sayWhere(seq events.Seq) {
	if s.hints() && seq != 0 {
		fmt.Fprintf(s.err, "seq %d — follow: stave tail --cause %d · undo: stave undo %d\n", seq, seq, seq)
	}
}

// placed adds file, line and column to a refusal and to the fields that it
// names, and what can be done. An object that is from no file is told of in
// kubectl's words.
func (c changing) placed(d manifest.Doc, st *metav1.Status) error {
	file := strings.Contains(d.Where(""), ":")
	help := c.remedy(d, st)
	if !file || st.Details == nil || len(st.Details.Causes) == 0 {
		at := *st
		if file {
			doing := map[wire.Operation]string{wire.Apply: "applying", wire.Create: "creating", wire.Replace: "replacing", wire.Status: "replacing"}[c.op]
			at.Message = fmt.Sprintf("error when %s %q: %s", doing, d.Where(concerned(d, st)), st.Message)
		}
		return helped{refused(&at), help}
	}
	var out []error
	for _, cause := range st.Details.Causes {
		field := cause.Field + ": "
		if cause.Field == "" || cause.Field == "[]" { // it is about the whole object
			field = ""
		}
		out = append(out, fmt.Errorf("%s: %s/%s: %s%s", d.Where(cause.Field), d.Kind.Printed(), d.Object.GetName(), field, cause.Message))
	}
	last := len(out) - 1
	out[last] = helped{out[last], help}
	return errors.Join(out...)
}

// concerned is the field that a refusal without causes is about.
func concerned(d manifest.Doc, st *metav1.Status) string {
	switch {
	case missingNamespace(d, st):
		return "metadata.namespace"
	case st.Reason == metav1.StatusReasonConflict:
		return "metadata.resourceVersion"
	case st.Reason == metav1.StatusReasonAlreadyExists, st.Reason == metav1.StatusReasonNotFound:
		return "metadata.name"
	}
	return ""
}

func missingNamespace(d manifest.Doc, st *metav1.Status) bool {
	return st.Reason == metav1.StatusReasonNotFound && d.Kind.Resource != events.Namespaces &&
		st.Details != nil && st.Details.Kind == "namespaces"
}

// remedy is a command that helps after a refusal; empty when there is none.
func (c changing) remedy(d manifest.Doc, st *metav1.Status) string {
	object := d.Kind.Singular + "/" + d.Object.GetName()
	if ns := d.Object.GetNamespace(); ns != "" {
		object += " -n " + ns
	}
	switch {
	case missingNamespace(d, st):
		return "stave create namespace " + d.Object.GetNamespace()
	case st.Reason == metav1.StatusReasonAlreadyExists && strings.Contains(d.Where(""), ":"):
		return "'stave apply -f' changes what is there, 'stave replace -f' puts the manifest in its place"
	case st.Reason == metav1.StatusReasonConflict:
		return "'stave get " + object + " -o yaml' shows it as it is now; without metadata.resourceVersion the manifest is taken as it is"
	case st.Reason == metav1.StatusReasonInvalid && strings.Contains(st.Message, "immutable"), strings.Contains(st.Message, "pod updates may not"):
		return "'stave replace --force -f' deletes it and makes it anew"
	}
	return ""
}
