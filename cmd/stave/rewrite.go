package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// changeFlags are the flags of the verbs that rewrite live objects.
type changeFlags struct {
	DryRun  dryRun `name:"dry-run" help:"Only say what would happen: client or server." placeholder:"MODE"`
	Output  format `short:"o" help:"Print the objects instead: yaml, json, name, jsonpath=…" placeholder:"FORMAT"`
	Message string `short:"m" help:"Why; kept with the events." placeholder:"TEXT"`
}

// tree is an object as JSON decodes it, numbers as json.Number.
type tree = map[string]any

// edit changes an object in place; the error refuses it.
type edit func(k events.Key, object tree) error

// rewriting changes live objects where the server has no operation of its own:
// read, edit, and replace exactly what was read.
type rewriting struct {
	changeFlags
	done string // of result lines: "labeled"
	same string // when the edit changes nothing
	// beside are objects that are applied in the same change, and without which
	// the rewritten one would make no sense.
	beside []wire.Item
	// part is what it is about, and nothing else.
	part subresource
	// approval says that it is about whether a request for a certificate is approved.
	approval bool
}

// rewriteTries bounds how often somebody else may be faster.
const rewriteTries = 8

// rewritePause is how long the second try waits; each one after it twice as long. What is read is durable, and the one who was
// faster may still wait for his disk: without a pause all tries would read the same.
const rewritePause = 5 * time.Millisecond

// each rewrites every item; each stands or falls alone.
func (w rewriting) each(ctx context.Context, s *session, items []wire.Item, e edit) error {
	w.DryRun = w.DryRun.settled(s)
	var errs []error
	for _, it := range items {
		errs = append(errs, w.one(ctx, s, it.Key, e))
	}
	return errors.Join(errs...)
}

// one rewrites one object and prints what became of it.
func (w rewriting) one(ctx context.Context, s *session, k events.Key, e edit) error {
	r, moved, err := w.rewrite(ctx, s, k, e)
	if err != nil {
		return err
	}
	if w.Output != formatTable {
		return s.printObjects(w.Output, []json.RawMessage{r.Object}, true)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintln(s.err, "Warning: "+warning)
	}
	word := w.done
	if !moved {
		word = w.same
	}
	fmt.Fprintf(s.out, "%s %s%s\n", printedName(k), word, w.DryRun.suffix())
	s.sayWhere(r.Seq)
	return nil
}

// rewrite reads, edits and replaces, and does so again when the object was
// changed in between; moved is false when the edit changes nothing.
func (w rewriting) rewrite(ctx context.Context, s *session, k events.Key, e edit) (r wire.Result, moved bool, err error) {
	for try := range rewriteTries {
		if try > 0 {
			sleep(ctx, rewritePause<<(try-1))
		}
		var live, next tree
		if live, err = s.readTree(ctx, k); err != nil {
			return r, false, err
		}
		if next, err = edited(k, live, e); err != nil {
			return r, false, err
		}
		raw, err := json.Marshal(next)
		if err != nil {
			return r, false, fmt.Errorf("encode %s: %w", k, err)
		}
		r = wire.Result{Key: k, Object: raw}
		if reflect.DeepEqual(live, next) || w.DryRun == dryRunClient {
			return r, !reflect.DeepEqual(live, next), nil
		}
		if r, err = w.replace(ctx, s, versionOf(live), raw); err != nil {
			return r, false, err
		}
		if r.Error == nil || r.Error.Reason != metav1.StatusReasonConflict {
			return r, true, refused(r.Error)
		}
	}
	return r, false, refused(r.Error)
}

func (w rewriting) replace(ctx context.Context, s *session, version string, raw json.RawMessage) (wire.Result, error) {
	how := wire.Replace
	if w.approval || w.part == partStatus {
		how = wire.Status
	}
	results, err := s.change(ctx, wire.ChangeRequest{Operation: how, DryRun: w.DryRun == dryRunServer, Message: w.Message, Whole: len(w.beside) > 0, Resize: w.part == partResize, Approval: w.approval,
		Items: append(slices.Clone(w.beside), wire.Item{Object: raw, ResourceVersion: version})})
	if err != nil {
		return wire.Result{}, err
	}
	for _, r := range results[:len(w.beside)] {
		if r.Error != nil {
			return wire.Result{}, refused(r.Error)
		}
	}
	return results[len(w.beside)], nil
}

// edited is a copy of an object with the edit made.
func edited(k events.Key, live tree, e edit) (tree, error) {
	raw, err := json.Marshal(live)
	if err != nil {
		return nil, fmt.Errorf("copy %s: %w", k, err)
	}
	next, err := decodeTree(raw)
	if err != nil {
		return nil, err
	}
	return next, e(k, next)
}

// readTree reads one object, or says NotFound.
func (s *session) readTree(ctx context.Context, k events.Key) (tree, error) {
	reply, err := s.read(ctx, wire.ReadRequest{Resource: k.Resource, Namespace: k.Namespace, Names: []string{k.Name}})
	if err != nil {
		return nil, err
	}
	if len(reply.Objects) == 0 {
		return nil, notFound(k)
	}
	return decodeTree(reply.Objects[0])
}

func decodeTree(raw json.RawMessage) (tree, error) {
	var t tree
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // an int64 must not pass through a float
	if err := d.Decode(&t); err != nil {
		return nil, fmt.Errorf("decode object: %w", err)
	}
	return t, nil
}

func versionOf(object tree) string {
	v, _ := under(object, "metadata")["resourceVersion"].(string)
	return v
}

// under is a mapping inside of an object, made where it is missing.
func under(object tree, path ...string) tree {
	for _, name := range path {
		next, ok := object[name].(tree)
		if !ok {
			next = tree{}
			object[name] = next
		}
		object = next
	}
	return object
}

// typed lets an edit work on the Go type of an object.
func typed[T events.Object](change func(T) error) edit {
	return func(k events.Key, object tree) error {
		raw, err := json.Marshal(object)
		if err != nil {
			return fmt.Errorf("encode %s: %w", k, err)
		}
		o, err := decodeObject(raw)
		if err != nil {
			return err
		}
		t, ok := o.(T)
		if !ok {
			return fmt.Errorf("%s cannot do this", printedName(k))
		}
		if err := change(t); err != nil {
			return err
		}
		if raw, err = json.Marshal(t); err != nil {
			return fmt.Errorf("encode %s: %w", k, err)
		}
		return become(object, raw)
	}
}
