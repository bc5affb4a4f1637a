package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
)

// createCmd is `stave create`.
type createCmd struct {
	files
	DryRun   dryRun   `name:"dry-run" help:"Only say what would happen: client or server." placeholder:"MODE"`
	Output   format   `short:"o" help:"Print the objects instead: yaml, json, name, jsonpath=…" placeholder:"FORMAT"`
	Message  string   `short:"m" help:"Why; kept with the events." placeholder:"TEXT"`
	Literal  []string `name:"from-literal" sep:"none" help:"configmap, secret generic: KEY=VALUE, repeatable." placeholder:"KEY=VALUE"`
	FromFile []string `name:"from-file" sep:"none" help:"configmap, secret generic: [KEY=]FILE, repeatable." placeholder:"FILE"`
	EnvFile  []string `name:"from-env-file" sep:"none" help:"configmap, secret generic: file of KEY=VALUE lines, repeatable." placeholder:"FILE"`
	serviceFlags
	secretFlags
	accessFlags
	Schedule string   `help:"cronjob: when, in five fields." placeholder:"CRON"`
	From     string   `help:"job: the cronjob of which one is made now." placeholder:"cronjob/NAME"`
	Image    []string `sep:"none" help:"deployment, job, cronjob: image of a container; for a deployment repeatable." placeholder:"IMAGE"`
	Replicas int32    `help:"deployment: how many pods." default:"1" placeholder:"N"`
	Port     int32    `help:"deployment: port that the container listens on." placeholder:"PORT"`
	What     []string `arg:"" optional:"" passthrough:"partial" help:"Without -f: namespace NAME, configmap NAME, deployment NAME [-- COMMAND], job NAME [-- COMMAND], cronjob NAME [-- COMMAND], service TYPE NAME, secret TYPE NAME, or serviceaccount, role, clusterrole, rolebinding, clusterrolebinding, quota or priorityclass NAME."`
}

// Help implements kong's detailed help.
func (createCmd) Help() string {
	return `Examples:
  stave create -f pod.yaml
  stave create namespace blue
  stave create configmap colours --from-literal=sky=blue --from-file=grass.txt
  stave create secret generic db --from-literal=password=s3cret
  stave create secret tls web --cert=web.crt --key=web.key
  stave create deployment web --image=nginx:alpine --replicas=2
  stave create job pi --image=perl -- perl -Mbignum=bpi -wle 'print bpi(100)'
  stave create cronjob tidy --image=busybox --schedule='0 3 * * *' -- sh -c 'echo tidy'
  stave create job tidy-now --from=cronjob/tidy
  stave create service nodeport web --tcp=80:8080
  stave create serviceaccount builder
  stave create role looker --verb=get,list --resource=pods,deployments.apps
  stave create rolebinding ann-looks --role=looker --user=ann
  stave create quota small --hard=pods=10,requests.cpu=4
  stave create namespace orange --dry-run=client -o yaml > orange.yaml`
}

// Run creates what the manifests or the arguments say.
func (c *createCmd) Run(ctx context.Context, s *session) error {
	docs, err := c.docs(ctx, s)
	if err != nil {
		return err
	}
	_, err = changing{op: wire.Create, dryRun: c.DryRun.settled(s), output: c.Output, message: c.Message}.send(ctx, s, docs)
	return err
}

func (c *createCmd) docs(ctx context.Context, s *session) ([]manifest.Doc, error) {
	switch {
	case len(c.Filename) > 0 && len(c.What) > 0:
		return nil, errors.New("give either -f or a type and a name, not both")
	case len(c.Filename) > 0:
		return c.load(s)
	case c.From != "":
		j, err := c.jobFrom(ctx, s)
		if err != nil {
			return nil, err
		}
		return []manifest.Doc{manifest.DocOf(j)}, nil
	case len(c.What) >= 2:
		o, err := c.named(c.What[0], c.What[1])
		if err != nil {
			return nil, err
		}
		return []manifest.Doc{manifest.DocOf(o)}, nil
	}
	return nil, errors.New("must specify -f, or a type and a name\nhelp: stave create -f FILE, stave create namespace NAME")
}

func (c *createCmd) named(typed, name string) (events.Object, error) {
	kind, err := kindNamed(typed)
	if err != nil {
		return nil, err
	}
	meta := metav1.ObjectMeta{Name: name}
	switch kind.Resource {
	case events.Services:
		return c.service(c.What[1:])
	case events.Secrets:
		return c.secret(c.What[1:])
	}
	if more := c.What[2:]; len(more) > 0 && kind.Resource != events.Deployments && kind.Resource != events.Jobs && kind.Resource != events.CronJobs {
		return nil, fmt.Errorf("exactly one NAME is required, got %d", 1+len(more))
	}
	switch kind.Resource {
	case events.Namespaces:
		return &corev1.Namespace{ObjectMeta: meta}, nil
	case events.ConfigMaps:
		data, err := c.data()
		for _, k := range slices.Sorted(maps.Keys(data)) {
			if err == nil && !utf8.ValidString(data[k]) {
				err = fmt.Errorf("%s: it is not text\nhelp: write a manifest with binaryData", k)
			}
		}
		return &corev1.ConfigMap{ObjectMeta: meta, Data: data}, err
	case events.Deployments:
		return c.deployment(meta)
	case events.Jobs:
		return c.job(meta)
	case events.CronJobs:
		return c.cronJob(meta)
	}
	if o, err := c.object(kind, meta); o != nil || err != nil {
		return o, err
	}
	return nil, fmt.Errorf("a %s is created from a manifest\nhelp: stave create -f FILE", kind.Singular)
}

// data is what --from-literal, --from-file and --from-env-file hold.
func (c *createCmd) data() (map[string]string, error) {
	data := map[string]string{}
	for _, l := range c.Literal {
		k, v, ok := strings.Cut(l, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("--from-literal=%s: want KEY=VALUE", l)
		}
		data[k] = v
	}
	for _, f := range c.FromFile {
		k, path, ok := strings.Cut(f, "=")
		if !ok {
			k, path = filepath.Base(f), f
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("--from-file=%s: %w", f, err)
		}
		data[k] = string(b)
	}
	for _, f := range c.EnvFile {
		if err := envFile(f, data); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (c *createCmd) deployment(meta metav1.ObjectMeta) (events.Object, error) {
	if len(c.Image) == 0 {
		return nil, errors.New("a deployment needs at least one --image")
	}
	labels := map[string]string{"app": meta.Name}
	meta.Labels = labels
	d := &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &c.Replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}}}
	d.Spec.Template.Labels = labels
	for _, image := range c.Image {
		name, _, _ := strings.Cut(strings.ReplaceAll(image[strings.LastIndexByte(image, '/')+1:], "@", ":"), ":")
		box := corev1.Container{Name: name, Image: image}
		if c.Port != 0 {
			box.Ports = []corev1.ContainerPort{{ContainerPort: c.Port}}
		}
		if len(c.Image) == 1 {
			box.Command = afterDashes(c.What[2:])
		}
		d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, box)
	}
	return d, nil
}
