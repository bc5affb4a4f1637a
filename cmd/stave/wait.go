package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/client-go/util/jsonpath"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// waitCmd is `stave wait`.
type waitCmd struct {
	files
	For        []string      `required:"" sep:"none" help:"delete, create, condition=NAME[=VALUE], or jsonpath=EXPR=VALUE; again for what has to be met after it." placeholder:"WHAT"`
	Timeout    time.Duration `help:"How long to wait; 0 looks once, less than 0 waits a week." default:"30s"`
	Selector   string        `short:"l" help:"Label selector." placeholder:"SELECTOR"`
	All        bool          `help:"All objects of the type in the namespace."`
	Everywhere bool          `name:"all-namespaces" short:"A" help:"With -l or --all: in all namespaces."`
	Output     format        `short:"o" help:"Print the objects instead: yaml, json, name, jsonpath=…" placeholder:"FORMAT"`
	What       []string      `arg:"" optional:"" help:"TYPE/NAME…, TYPE NAME…, or TYPE with -l or --all."`
}

// Help implements kong's detailed help.
func (waitCmd) Help() string {
	return `Examples:
  stave wait --for=condition=Available deployment/web
  stave wait --for=delete pod/web-1 --timeout=60s
  stave wait --for=create --for=condition=Ready pod/web-1
  stave wait --for=jsonpath={.status.phase}=Running pod -l app=web`
}

// Run waits for all objects; the time is shared.
func (c *waitCmd) Run(ctx context.Context, s *session) error {
	var goals []goal
	for _, what := range c.For {
		goal, err := parseGoal(what)
		if err != nil {
			return err
		}
		goal.once = c.Timeout == 0
		goals = append(goals, goal)
	}
	ctx, cancel := context.WithTimeout(ctx, c.patience(s))
	defer cancel()
	keys, err := c.keys(ctx, s, goals[0])
	if err != nil {
		return err
	}
	for _, goal := range goals {
		if err := c.await(ctx, s, keys, goal); err != nil {
			return err
		}
	}
	if c.Output == formatTable {
		return nil
	}
	return s.printNow(ctx, c.Output, keys)
}

// await waits until all objects are as one --for says.
func (c *waitCmd) await(ctx context.Context, s *session, keys []events.Key, goal goal) error {
	var all []waited
	for _, k := range keys {
		met := printedName(k) + " " + goal.met
		if c.Output != formatTable {
			met = ""
		}
		all = append(all, waited{key: k, goal: goal, met: met})
	}
	return s.awaitAll(ctx, all, s.newProgress(false), false)
}

// printNow prints objects as they are now; what is gone is not printed.
func (s *session) printNow(ctx context.Context, f format, keys []events.Key) error {
	var objects []json.RawMessage
	for _, k := range keys {
		reply, err := s.read(ctx, wire.ReadRequest{Resource: k.Resource, Namespace: k.Namespace, Names: []string{k.Name}})
		if err != nil {
			return err
		}
		objects = append(objects, reply.Objects...)
	}
	if len(objects) == 0 {
		return nil
	}
	return s.printObjects(f, objects, len(keys) == 1)
}

// patience is how long all of it may take, in kubectl's reading of --timeout.
func (c *waitCmd) patience(s *session) time.Duration {
	switch {
	case c.Timeout < 0:
		return 7 * 24 * time.Hour
	case c.Timeout == 0:
		return s.RequestTimeout
	}
	return c.Timeout
}

func (c *waitCmd) keys(ctx context.Context, s *session, g goal) ([]events.Key, error) {
	if c.Selector != "" || c.All {
		items, err := c.matching(ctx, s, g)
		if err == nil && len(items) == 0 && g.kind != goalDelete {
			err = errors.New("no matching resources found")
		}
		return itemKeys(items), err
	}
	items, err := s.items(ctx, c.files, c.What)
	return itemKeys(items), err
}

// matching is what the selector finds; what shall be created is waited for until there is some of it.
func (c *waitCmd) matching(ctx context.Context, s *session, g goal) ([]wire.Item, error) {
	for {
		items, err := (&deleteCmd{Selector: c.Selector, All: c.All, AllNamespaces: c.Everywhere, What: c.What}).matching(ctx, s)
		if err != nil || len(items) > 0 || g.kind != goalCreate || g.once {
			return items, err
		}
		if sleep(ctx, lookAgain); ctx.Err() != nil {
			return nil, errTimedOut
		}
	}
}

func itemKeys(items []wire.Item) []events.Key {
	var out []events.Key
	for _, it := range items {
		out = append(out, it.Key)
	}
	return out
}

// The kinds of goal.
const (
	goalDelete = iota
	goalCreate
	goalCondition
	goalPath
	goalReady
)

// goal is what --for asks.
type goal struct {
	kind       int
	name, want string
	met        string // what is printed when it is
	path       *jsonpath.JSONPath
	uid        events.UID // delete: this life of the object
	once       bool       // look, do not wait
	// ready is a goal of our own, asked of an object that is there.
	ready func(json.RawMessage) (bool, error)
	// seen, if set, hears of each version of the object before it is judged.
	seen func(json.RawMessage)
}

func parseGoal(s string) (goal, error) {
	what, arg, _ := strings.Cut(s, "=")
	switch {
	case s == "delete":
		return goal{kind: goalDelete, met: "condition met"}, nil
	case s == "create":
		return goal{kind: goalCreate, met: "condition met"}, nil
	case what == "condition" && arg != "":
		name, want, ok := strings.Cut(arg, "=")
		if !ok {
			want = "True"
		}
		return goal{kind: goalCondition, name: name, want: want, met: "condition met"}, nil
	case what == "jsonpath" && arg != "":
		return parsePathGoal(arg)
	}
	return goal{}, fmt.Errorf("unrecognized condition: %q\nhelp: --for=delete, create, condition=NAME[=VALUE], jsonpath={.status.phase}=Running", s)
}

func parsePathGoal(arg string) (goal, error) {
	expr, want := arg, ""
	if i := strings.LastIndex(arg, "}"); i >= 0 {
		expr, want = arg[:i+1], strings.TrimPrefix(arg[i+1:], "=")
	} else if e, w, ok := strings.Cut(arg, "="); ok {
		expr, want = e, w
	}
	p := jsonpath.New("wait").AllowMissingKeys(true)
	if err := p.Parse(relaxed(expr)); err != nil {
		return goal{}, fmt.Errorf("parse jsonpath %q: %w", expr, err)
	}
	return goal{kind: goalPath, name: expr, want: want, path: p, met: "condition met"}, nil
}

// await watches one object until the goal is reached or time is up.
func (s *session) await(ctx context.Context, k events.Key, g goal) error {
	req := wire.ReadRequest{Resource: k.Resource, Namespace: k.Namespace, Names: []string{k.Name}}
	for {
		reply, err := s.read(ctx, req)
		if err != nil {
			return s.outOfTime(ctx, k, err)
		}
		var now json.RawMessage
		if len(reply.Objects) > 0 {
			now = reply.Objects[0]
		}
		if done, err := g.reached(k, now); done || err != nil {
			return err
		}
		if g.once {
			return s.timedOut(k)
		}
		if done, err := s.awaitChange(ctx, k, g, wire.WatchRequest{ReadRequest: req, From: reply.Position}); done || err != nil {
			return s.outOfTime(ctx, k, err)
		}
	}
}

func (s *session) outOfTime(ctx context.Context, k events.Key, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return s.timedOut(k)
	}
	return err
}

var errTimedOut = errors.New("timed out waiting for the condition")

func (s *session) timedOut(k events.Key) error {
	return helped{fmt.Errorf("%w on %s", errTimedOut, printedName(k)), "stave why " + shortName(k) + s.dashN(k)}
}

// dashN is the -n that a command of a hint needs to mean this object.
func (s *session) dashN(k events.Key) string {
	home := s.namespace
	if home == "" {
		home = "default"
	}
	if k.Namespace == "" || k.Namespace == home {
		return ""
	}
	return " -n " + k.Namespace
}

// awaitChange reads one watch stream; done is false when it was cut off.
func (s *session) awaitChange(ctx context.Context, k events.Key, g goal, req wire.WatchRequest) (bool, error) {
	stream, err := s.dial(ctx, wire.Subject(s.user, wire.VerbWatch), req)
	if err != nil {
		return false, err
	}
	defer stream.Close()
	for {
		f, err := stream.Recv(ctx)
		if errors.Is(err, io.EOF) || err != nil && ctx.Err() == nil {
			sleep(ctx, 200*time.Millisecond)
			return false, nil // the server went away: read again
		}
		if err != nil {
			return false, err
		}
		var e wire.WatchEvent
		if err := json.Unmarshal(f.Data, &e); err != nil {
			return false, fmt.Errorf("decode watch event: %w", err)
		}
		object := e.Object
		if e.Type == "DELETED" {
			object = nil
		}
		if done, err := g.reached(k, object); done || err != nil {
			return done, err
		}
	}
}

// reached tells whether an object is as asked; nil means that there is none.
func (g goal) reached(k events.Key, raw json.RawMessage) (bool, error) {
	if g.seen != nil && raw != nil {
		g.seen(raw)
	}
	switch {
	case g.kind == goalDelete:
		return raw == nil || g.uid != "" && !strings.Contains(string(raw), string(g.uid)), nil
	case g.kind == goalCreate:
		return raw != nil, nil
	case raw == nil:
		return false, notFound(k)
	case g.kind == goalReady:
		return g.ready(raw)
	}
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		return false, fmt.Errorf("decode %s: %w", k, err)
	}
	if g.kind == goalCondition {
		return conditionIs(v, g.name, g.want), nil
	}
	var b strings.Builder
	if err := g.path.Execute(&b, v); err != nil {
		return false, fmt.Errorf("evaluate jsonpath %s: %w", g.name, err)
	}
	return b.String() == g.want && g.want != "" || g.want == "" && b.Len() > 0, nil
}

func conditionIs(object map[string]any, name, want string) bool {
	status, _ := object["status"].(map[string]any)
	list, _ := status["conditions"].([]any)
	for _, c := range list {
		m, _ := c.(map[string]any)
		if strings.EqualFold(fmt.Sprint(m["type"]), name) {
			return strings.EqualFold(fmt.Sprint(m["status"]), want)
		}
	}
	return false
}

// shortName is what a person would type: "deployment/web".
func shortName(k events.Key) string {
	kind, _ := kindOf(k.Resource)
	return kind.Singular + "/" + k.Name
}

// waitGone waits until what was deleted is gone; another life of the same name
// does not count.
func (s *session) waitGone(ctx context.Context, results []wire.Result, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	var all []waited
	for _, r := range results {
		all = append(all, waited{key: r.Key, goal: goal{kind: goalDelete, uid: r.UID}})
	}
	err := s.awaitAll(ctx, all, s.newProgress(false), false)
	if errors.Is(err, context.Canceled) && len(all) > 0 {
		return goesOn{err, "the deletion goes on; 'stave why " + shortName(all[0].key) + s.dashN(all[0].key) + "' says what it waits for"}
	}
	return err
}
