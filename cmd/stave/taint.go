package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// taintCmd is `stave taint`.
type taintCmd struct {
	changeFlags
	Overwrite bool     `help:"Change the value of taints that are there already."`
	Selector  string   `short:"l" help:"Label selector: all nodes that match." placeholder:"SELECTOR"`
	All       bool     `help:"All nodes."`
	What      []string `arg:"" help:"node NAME…, then KEY=VALUE:EFFECT to set, KEY:EFFECT- or KEY- to take away."`
}

// Help implements kong's detailed help.
func (taintCmd) Help() string {
	return `Effects are NoSchedule, PreferNoSchedule and NoExecute.

Examples:
  stave taint node n1 dedicated=db:NoSchedule
  stave taint nodes n1 dedicated=web:NoSchedule --overwrite
  stave taint nodes --all dedicated:NoSchedule-
  stave taint node n1 dedicated-`
}

// taints are those of a command line.
type taints struct {
	set   []corev1.Taint
	unset []corev1.Taint // without an effect: of any
}

// parseTaints reads KEY=VALUE:EFFECT, KEY:EFFECT, KEY:EFFECT- and KEY-.
func parseTaints(args []string) (taints, error) {
	var out taints
	for _, a := range args {
		spec, gone := strings.CutSuffix(a, "-")
		pair, effect, has := strings.Cut(spec, ":")
		key, value, valued := strings.Cut(pair, "=")
		t := corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)}
		switch {
		case !has && !gone:
			return out, fmt.Errorf("invalid taint spec: %v: want KEY=VALUE:EFFECT, or KEY- to take it away", a)
		case gone && valued:
			return out, fmt.Errorf("invalid taint spec: %v: what is taken away has no value", a)
		case has && !slices.Contains([]corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}, t.Effect):
			return out, fmt.Errorf("invalid taint effect: %v, unsupported taint effect: it is NoSchedule, PreferNoSchedule or NoExecute", effect)
		}
		if bad := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(bad) > 0 {
			return out, fmt.Errorf("invalid taint spec: %v, %s", a, strings.Join(bad, "; "))
		}
		if gone {
			out.unset = append(out.unset, t)
		} else {
			out.set = append(out.set, t)
		}
	}
	return out, nil
}

func same(a, b corev1.Taint) bool { return a.Key == b.Key && a.Effect == b.Effect }

// change is a node's taints after the command; without overwrite no value that
// is there is lost.
func (t taints) change(node string, has []corev1.Taint, overwrite bool) ([]corev1.Taint, error) {
	out := slices.Clone(has)
	for _, u := range t.unset {
		kept := slices.DeleteFunc(slices.Clone(out), func(x corev1.Taint) bool { return x.Key == u.Key && (u.Effect == "" || u.Effect == x.Effect) })
		if len(kept) == len(out) {
			name := u.Key
			if u.Effect != "" {
				name += ":" + string(u.Effect)
			}
			return nil, fmt.Errorf("taint %q not found on node %s", name, node)
		}
		out = kept
	}
	for _, n := range t.set {
		i := slices.IndexFunc(out, func(x corev1.Taint) bool { return same(x, n) })
		switch {
		case i < 0:
			out = append(out, n)
		case !overwrite && out[i].Value != n.Value:
			return nil, fmt.Errorf("node %s already has %s taint(s) with same effect(s) and --overwrite is false", node, n.Key)
		default:
			out[i].Value = n.Value
		}
	}
	return out, nil
}

// Run taints.
func (c *taintCmd) Run(ctx context.Context, s *session) error {
	i := slices.IndexFunc(c.What, func(a string) bool { return strings.ContainsAny(a, "=:") || strings.HasSuffix(a, "-") })
	if i < 0 {
		return errors.New("at least one taint update is required: KEY=VALUE:EFFECT, or KEY- to take it away")
	}
	t, err := parseTaints(c.What[i:])
	if err != nil {
		return err
	}
	items, err := c.items(ctx, s, c.What[:i])
	if err != nil {
		return err
	}
	done := "modified"
	switch {
	case len(t.unset) == 0:
		done = "tainted"
	case len(t.set) == 0:
		done = "untainted"
	}
	w := rewriting{changeFlags: c.changeFlags, done: done, same: "not changed"}
	return w.each(ctx, s, items, typed(func(n *corev1.Node) error {
		n.Spec.Taints, err = t.change(n.Name, n.Spec.Taints, c.Overwrite)
		return err
	}))
}

func (c *taintCmd) items(ctx context.Context, s *session, what []string) ([]wire.Item, error) {
	targets, err := parseTargets(what)
	if err != nil {
		return nil, err
	}
	for _, t := range targets {
		if t.kind.Resource != events.Nodes {
			return nil, fmt.Errorf("invalid resource type %s, only node(s) is supported", t.kind.Plural())
		}
	}
	return s.selected(ctx, files{}, c.Selector, c.All, what)
}
