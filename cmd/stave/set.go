package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// setCmd is `stave set`.
type setCmd struct {
	Image     setImageCmd     `cmd:"" help:"Change the images of containers."`
	Env       setEnvCmd       `cmd:"" help:"Set and unset environment variables."`
	Resources setResourcesCmd `cmd:"" help:"Set requests and limits of containers."`
	Account   setAccountCmd   `cmd:"" name:"serviceaccount" aliases:"sa" help:"Set the ServiceAccount of the pods."`
}

// setting is what the verbs below set share: objects that hold a pod template.
type setting struct {
	changeFlags
	files
	Selector string   `short:"l" help:"Label selector: change what matches." placeholder:"SELECTOR"`
	All      bool     `help:"All objects of the type in the namespace."`
	What     []string `arg:"" help:"TYPE/NAME… or TYPE NAME…, then what to set."`
}

// split tells what was addressed from what is set.
func (c *setting) split(isValue func(string) bool) (objects, values []string) {
	i := slices.IndexFunc(c.What, isValue)
	if i < 0 {
		return c.What, nil
	}
	return c.What[:i], c.What[i:]
}

func (c *setting) items(ctx context.Context, s *session, what []string) ([]wire.Item, error) {
	return s.selected(ctx, c.files, c.Selector, c.All, what)
}

// rewriteSpecs edits the pod spec of each object.
func (c *setting) rewriteSpecs(ctx context.Context, s *session, what []string, done string, change func(*corev1.PodSpec) error) error {
	items, err := c.items(ctx, s, what)
	if err != nil {
		return err
	}
	w := rewriting{changeFlags: c.changeFlags, done: done, same: "unchanged"}
	return w.each(ctx, s, items, typed(func(o events.Object) error {
		spec, err := podSpec(o)
		if err != nil {
			return err
		}
		return change(spec)
	}))
}

// podSpec is the part of an object that says what its pods are.
func podSpec(o events.Object) (*corev1.PodSpec, error) {
	if t := templateIn(o); t != nil {
		return &t.Spec, nil
	}
	switch o := o.(type) {
	case *corev1.Pod:
		return &o.Spec, nil
	case *appsv1.ReplicaSet:
		return &o.Spec.Template.Spec, nil
	case *corev1.ReplicationController:
		if o.Spec.Template != nil {
			return &o.Spec.Template.Spec, nil
		}
	}
	return nil, fmt.Errorf("%s/%s has no pod template", strings.ToLower(o.GetObjectKind().GroupVersionKind().Kind), o.GetName())
}

// containers are those of a pod spec that a name or * means, init containers
// too; an unknown name is an error.
func containers(spec *corev1.PodSpec, name string) ([]*corev1.Container, error) {
	var out []*corev1.Container
	var names []string
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			names = append(names, list[i].Name)
			if name == "*" || name == list[i].Name {
				out = append(out, &list[i])
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("unable to find container named %q%s", name, didYouMean(name, names))
	}
	return out, nil
}

// setImageCmd is `stave set image`.
type setImageCmd struct{ setting }

// Help implements kong's detailed help.
func (setImageCmd) Help() string {
	return `Examples:
  stave set image deployment/web nginx=nginx:alpine
  stave set image deployment --all '*=nginx:stable'`
}

// Run changes the images.
func (c *setImageCmd) Run(ctx context.Context, s *session) error {
	objects, images := c.split(func(a string) bool { return strings.Contains(a, "=") })
	if len(images) == 0 {
		return errors.New("at least one image update is required\nhelp: stave set image deployment/NAME CONTAINER=IMAGE")
	}
	return c.rewriteSpecs(ctx, s, objects, "image updated", func(spec *corev1.PodSpec) error {
		for _, a := range images {
			name, image, ok := strings.Cut(a, "=")
			if !ok || name == "" || image == "" {
				return fmt.Errorf("%q: want CONTAINER=IMAGE", a)
			}
			list, err := containers(spec, name)
			if err != nil {
				return err
			}
			for _, b := range list {
				b.Image = image
			}
		}
		return nil
	})
}

// setResourcesCmd is `stave set resources`.
type setResourcesCmd struct {
	setting
	Containers string `short:"c" help:"The container, or * for all." default:"*" placeholder:"NAME"`
	Limits     string `help:"cpu=200m,memory=512Mi; 0 takes one away." placeholder:"LIST"`
	Requests   string `help:"cpu=100m,memory=256Mi; 0 takes one away." placeholder:"LIST"`
}

// Help implements kong's detailed help.
func (setResourcesCmd) Help() string {
	return `Examples:
  stave set resources deployment/web --limits=cpu=200m,memory=512Mi
  stave set resources deployment/web -c nginx --requests=cpu=50m --limits=memory=0`
}

// Run sets requests and limits.
func (c *setResourcesCmd) Run(ctx context.Context, s *session) error {
	if c.Limits == "" && c.Requests == "" {
		return errors.New("you must specify an update to requests or limits (in the form of --requests/--limits)")
	}
	return c.rewriteSpecs(ctx, s, c.What, "resource requirements updated", func(spec *corev1.PodSpec) error {
		list, err := containers(spec, c.Containers)
		for _, b := range list {
			err = errors.Join(err, setQuantities(&b.Resources.Limits, c.Limits), setQuantities(&b.Resources.Requests, c.Requests))
		}
		return err
	})
}

// setQuantities writes "cpu=200m,memory=0" into a list of resources.
func setQuantities(to *corev1.ResourceList, text string) error {
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return fmt.Errorf("invalid argument syntax %q, expected <resource>=<value>", part)
		}
		q, err := resource.ParseQuantity(value)
		if err != nil {
			return fmt.Errorf("read %s: %w", part, err)
		}
		if *to == nil {
			*to = corev1.ResourceList{}
		}
		if (*to)[corev1.ResourceName(name)] = q; q.IsZero() {
			delete(*to, corev1.ResourceName(name))
		}
	}
	return nil
}
