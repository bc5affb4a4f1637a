package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// target is what a person addressed: a resource and names, or all of it.
type target struct {
	kind      events.Kind
	names     []string
	namespace string // of its manifest; empty: that of the request
}

// targets are what files or arguments address.
func (s *session) targets(ctx context.Context, f files, args []string) ([]target, error) {
	if len(f.Filename) == 0 {
		out, err := parseTargets(args)
		if err == nil {
			err = s.connect(ctx) // the context may name the namespace
		}
		return out, err
	}
	if len(args) > 0 {
		return nil, errors.New("give either -f or a type and names, not both")
	}
	docs, err := f.load(s)
	if err != nil {
		return nil, err
	}
	if err := (changing{}).place(ctx, s, docs); err != nil {
		return nil, err
	}
	var out []target
	for _, d := range docs {
		out = append(out, target{d.Kind, []string{d.Object.GetName()}, d.Object.GetNamespace()})
	}
	return out, nil
}

// parseTargets reads kubectl's ways to say what: "pods", "pods a b",
// "pod/a svc/b", "deploy,svc", "all".
func parseTargets(args []string) ([]target, error) {
	if len(args) == 0 {
		return nil, errors.New("you must say what: a type such as pods, or type/name\nhelp: 'stave api-resources' lists the types")
	}
	if strings.Contains(args[0], "/") {
		return slashTargets(args)
	}
	var out []target
	for _, t := range strings.Split(args[0], ",") {
		kinds, err := kindsOf(t)
		if err != nil {
			return nil, err
		}
		for _, k := range kinds {
			out = append(out, target{kind: k, names: args[1:]})
		}
	}
	for _, a := range args[1:] {
		if strings.Contains(a, "/") {
			return nil, fmt.Errorf("there is no need to say a type before %q: write either %s %s, or only type/name arguments", a, args[0], "NAME")
		}
	}
	return out, nil
}

func slashTargets(args []string) ([]target, error) {
	var out []target
	for _, a := range args {
		typ, name, ok := strings.Cut(a, "/")
		if !ok || name == "" || strings.Contains(name, "/") {
			return nil, fmt.Errorf("arguments in type/name form must all be so: %q is not", a)
		}
		k, err := kindNamed(typ)
		if err != nil {
			return nil, err
		}
		if n := len(out); n > 0 && out[n-1].kind.Resource == k.Resource {
			out[n-1].names = append(out[n-1].names, name)
			continue
		}
		out = append(out, target{kind: k, names: []string{name}})
	}
	return out, nil
}

// allKinds is what "all" means to kubectl's users.
var allKinds = []events.Resource{events.Pods, events.Services, events.Deployments, events.ReplicaSets, events.StatefulSets, events.DaemonSets, events.Controllers, events.CronJobs, events.Jobs}

func kindsOf(typed string) ([]events.Kind, error) {
	var out []events.Kind
	if typed == "all" {
		for _, r := range allKinds {
			k, _ := events.KindOf(r)
			out = append(out, k)
		}
	} else if k, err := kindNamed(typed); err == nil {
		return []events.Kind{k}, nil
	}
	if out = append(out, known.inCategory(typed)...); len(out) > 0 {
		return out, nil
	}
	k, err := kindNamed(typed)
	return []events.Kind{k}, err
}

func kindNamed(typed string) (events.Kind, error) {
	if k, ok := events.KindNamed(typed); ok {
		return k, nil
	}
	kinds, err := known.all()
	if k, ok := kinds.Named(typed); ok {
		return k, nil
	}
	if typed == "events" || typed == "event" || typed == "ev" {
		return events.Kind{}, fmt.Errorf("the server doesn't have a resource type %q\nhelp: every change is an event here: stave events, stave tail, or stave describe TYPE/NAME", typed)
	}
	if typed == "leases" || typed == "lease" {
		return events.Kind{}, fmt.Errorf("the server doesn't have a resource type %q\nhelp: leases are no part of the log; the Kubernetes API has them: kubectl get leases", typed)
	}
	var names []string
	for _, k := range kinds.All() {
		names = append(append(names, k.Plural(), k.Singular), k.Short...)
	}
	hint := didYouMean(typed, names)
	switch {
	case hint == "" && err != nil: // nobody to ask
		return events.Kind{}, fmt.Errorf("a type %q may be one of the cluster's own: %w", typed, err)
	case hint == "":
		hint = "\nhelp: 'stave api-resources' lists the types"
	}
	return events.Kind{}, fmt.Errorf("the server doesn't have a resource type %q%s", typed, hint)
}

func knownTypes() []string {
	var out []string
	for _, k := range events.Kinds {
		out = append(out, k.Plural())
	}
	return out
}

// oneTarget is for verbs that take exactly one object; without a type it is a pod.
func oneTarget(arg, defaultType string) (events.Kind, string, error) {
	typ, name, ok := strings.Cut(arg, "/")
	if !ok {
		typ, name = defaultType, arg
	}
	k, err := kindNamed(typ)
	if err == nil && name == "" {
		err = fmt.Errorf("%q names no object", arg)
	}
	return k, name, err
}

// key is the object's key in the namespace of the request.
func (s *session) key(k events.Kind, name string) events.Key {
	key := events.Key{Resource: k.Resource, Name: name}
	if k.Namespaced {
		key.Namespace = s.inNamespace()
	}
	return key
}

func notFound(k events.Key) error {
	return &statusError{metav1.Status{Reason: metav1.StatusReasonNotFound, Message: fmt.Sprintf("%s %q not found", k.Resource, k.Name)}}
}

// printedName is how result lines name an object: "deployment.apps/web".
func printedName(k events.Key) string {
	kind, _ := kindOf(k.Resource)
	return kind.Printed() + "/" + k.Name
}
