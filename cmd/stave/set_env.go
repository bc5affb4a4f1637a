package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// setEnvCmd is `stave set env`.
type setEnvCmd struct {
	setting
	Env        []string `short:"e" sep:"none" help:"KEY=VALUE, as an argument." placeholder:"KEY=VALUE"`
	Containers string   `short:"c" help:"The container, or * for all." default:"*" placeholder:"NAME"`
	From       string   `help:"configmap/NAME: every key of it becomes a variable." placeholder:"TYPE/NAME"`
	Prefix     string   `help:"With --from: what the variables' names begin with." placeholder:"TEXT"`
	List       bool     `help:"Print the variables as they would be; change nothing."`
}

// Help implements kong's detailed help.
func (setEnvCmd) Help() string {
	return `Examples:
  stave set env deployment/web COLOUR=blue
  stave set env deployment/web COLOUR-
  stave set env deployment/web --from=configmap/colours --prefix=SKY_
  stave set env deployment/web --list`
}

// Run sets and unsets, or lists.
func (c *setEnvCmd) Run(ctx context.Context, s *session) error {
	objects, values := c.split(func(a string) bool { return strings.Contains(a, "=") || strings.HasSuffix(a, "-") })
	set, unset, err := pairs(append(values, c.Env...))
	if err != nil {
		return err
	}
	from, err := c.from(ctx, s)
	if err != nil {
		return err
	}
	if len(set)+len(unset)+len(from) == 0 && !c.List {
		return errors.New("at least one environment variable must be provided")
	}
	change := func(spec *corev1.PodSpec) error {
		list, err := containers(spec, c.Containers)
		for _, b := range list {
			for _, p := range set {
				setVariable(b, corev1.EnvVar{Name: p.key, Value: p.value})
			}
			for _, v := range from {
				setVariable(b, v)
			}
			b.Env = slices.DeleteFunc(b.Env, func(v corev1.EnvVar) bool { return slices.Contains(unset, v.Name) })
		}
		return err
	}
	if c.List {
		return c.list(ctx, s, objects, change)
	}
	return c.rewriteSpecs(ctx, s, objects, "env updated", change)
}

func setVariable(b *corev1.Container, v corev1.EnvVar) {
	if i := slices.IndexFunc(b.Env, func(e corev1.EnvVar) bool { return e.Name == v.Name }); i >= 0 {
		b.Env[i] = v
		return
	}
	b.Env = append(b.Env, v)
}

// from are variables that refer to each key of --from.
func (c *setEnvCmd) from(ctx context.Context, s *session) ([]corev1.EnvVar, error) {
	if c.From == "" {
		return nil, nil
	}
	kind, name, err := oneTarget(c.From, "configmap")
	if err != nil {
		return nil, err
	}
	if kind.Resource != events.ConfigMaps {
		return nil, fmt.Errorf("--from=%s: variables come from configmaps", c.From)
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	m, err := readOne[*corev1.ConfigMap](ctx, s, s.key(kind, name))
	if err != nil {
		return nil, err
	}
	var out []corev1.EnvVar
	for key := range m.Data {
		variable := c.Prefix + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(key))
		out = append(out, corev1.EnvVar{Name: variable, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}}})
	}
	slices.SortFunc(out, func(a, b corev1.EnvVar) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// list prints the variables of each container, with the changes made.
func (c *setEnvCmd) list(ctx context.Context, s *session, what []string, change func(*corev1.PodSpec) error) error {
	items, err := c.items(ctx, s, what)
	if err != nil {
		return err
	}
	for _, it := range items {
		o, err := readOne[events.Object](ctx, s, it.Key)
		if err != nil {
			return err
		}
		spec, err := podSpec(o)
		if err == nil {
			err = change(spec)
		}
		if err != nil {
			return err
		}
		list, err := containers(spec, c.Containers)
		if err != nil {
			return err
		}
		for _, b := range list {
			fmt.Fprintf(s.out, "# %s, container %s\n", printedName(it.Key), b.Name)
			for _, v := range b.Env {
				fmt.Fprintln(s.out, variable(v))
			}
		}
	}
	return nil
}

func variable(v corev1.EnvVar) string {
	switch f := v.ValueFrom; {
	case f == nil:
		return v.Name + "=" + v.Value
	case f.ConfigMapKeyRef != nil:
		return fmt.Sprintf("# %s from configmap %s, key %s", v.Name, f.ConfigMapKeyRef.Name, f.ConfigMapKeyRef.Key)
	case f.FieldRef != nil:
		return fmt.Sprintf("# %s from field path %s", v.Name, f.FieldRef.FieldPath)
	case f.ResourceFieldRef != nil:
		return fmt.Sprintf("# %s from resource %s", v.Name, f.ResourceFieldRef.Resource)
	}
	return "# " + v.Name + " from elsewhere"
}
