package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/events"
)

// exposeCmd is `stave expose`.
type exposeCmd struct {
	changeFlags
	files
	Name            string            `help:"The service's name; the object's when not given." placeholder:"NAME"`
	Port            int32             `help:"The service's port; the containers' ports when not given." placeholder:"PORT"`
	TargetPort      string            `help:"The pods' port, by number or name; the same when not given." placeholder:"PORT"`
	Protocol        string            `help:"TCP or UDP." default:"TCP" placeholder:"PROTOCOL"`
	Type            string            `help:"ClusterIP, NodePort or LoadBalancer." placeholder:"TYPE"`
	ClusterIP       string            `name:"cluster-ip" help:"The service's address, or None." placeholder:"IP"`
	SessionAffinity string            `help:"None or ClientIP." placeholder:"HOW"`
	Selector        map[string]string `mapsep:"," help:"Labels of the pods; the object's own when not given." placeholder:"KEY=VALUE,…"`
	Labels          map[string]string `short:"l" mapsep:"," help:"Labels of the service; the object's when not given." placeholder:"KEY=VALUE,…"`
	What            []string          `arg:"" optional:"" help:"TYPE/NAME or TYPE NAME: a deployment, replicaset, pod or service."`
}

// Help implements kong's detailed help.
func (exposeCmd) Help() string {
	return `Examples:
  stave expose deployment web --port=80 --target-port=8080
  stave expose deployment/web --type=NodePort --name=web-outside --port=80
  stave expose pod web-1 --port=80 --name=one`
}

// Run makes a service in front of each object.
func (c *exposeCmd) Run(ctx context.Context, s *session) error {
	return making{changeFlags: c.changeFlags, files: c.files, what: c.What, resource: events.Services, outcome: "exposed", of: c.service}.run(ctx, s)
}

// service is the service that finds the object's pods.
func (c *exposeCmd) service(o events.Object, k events.Key) (events.Object, error) {
	selector, ports, err := c.behind(o)
	if err != nil {
		return nil, err
	}
	name := c.Name
	if name == "" {
		name = k.Name
	}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: k.Namespace, Labels: o.GetLabels()}}
	if len(c.Labels) > 0 {
		svc.Labels = c.Labels
	}
	svc.Spec = corev1.ServiceSpec{Selector: selector, Ports: ports, Type: corev1.ServiceType(c.Type), ClusterIP: c.ClusterIP,
		SessionAffinity: corev1.ServiceAffinity(c.SessionAffinity)}
	return svc, nil
}

// behind are the labels of the pods and the ports to reach them at: what the
// flags say, else what the object says.
func (c *exposeCmd) behind(o events.Object) (map[string]string, []corev1.ServicePort, error) {
	selector, err := selectorOf(o)
	if len(c.Selector) > 0 {
		selector, err = c.Selector, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("couldn't retrieve selectors via --selector flag or introspection: %w", err)
	}
	ports := portsOf(o)
	if c.Port != 0 {
		ports = []corev1.ServicePort{{Port: c.Port, Protocol: corev1.Protocol(strings.ToUpper(c.Protocol))}}
	}
	if len(ports) == 0 {
		return nil, nil, errors.New("couldn't find port via --port flag or introspection")
	}
	for i := range ports {
		p := &ports[i]
		p.TargetPort = intstr.FromInt32(p.Port)
		if c.TargetPort != "" {
			p.TargetPort = intstr.Parse(c.TargetPort)
		}
		if len(ports) > 1 {
			p.Name = fmt.Sprintf("port-%d", i+1)
		}
	}
	return selector, ports, nil
}

func selectorOf(o events.Object) (map[string]string, error) {
	var l *metav1.LabelSelector
	switch o := o.(type) {
	case *appsv1.Deployment:
		l = o.Spec.Selector
	case *appsv1.ReplicaSet:
		l = o.Spec.Selector
	case *corev1.ReplicationController:
		return o.Spec.Selector, nil
	case *corev1.Pod:
		if len(o.Labels) == 0 {
			return nil, errors.New("the pod has no labels and cannot be exposed")
		}
		return o.Labels, nil
	case *corev1.Service:
		if len(o.Spec.Selector) == 0 {
			return nil, errors.New("the service has no pod selector set")
		}
		return o.Spec.Selector, nil
	default:
		return nil, fmt.Errorf("cannot expose a %s", o.GetObjectKind().GroupVersionKind().Kind)
	}
	if l == nil || len(l.MatchExpressions) > 0 {
		return nil, errors.New("a selector with expressions cannot be that of a service")
	}
	return l.MatchLabels, nil
}

// portsOf are the ports that an object names.
func portsOf(o events.Object) []corev1.ServicePort {
	var out []corev1.ServicePort
	if svc, ok := o.(*corev1.Service); ok {
		for _, p := range svc.Spec.Ports {
			out = append(out, corev1.ServicePort{Port: p.Port, Protocol: p.Protocol})
		}
		return out
	}
	spec, err := podSpec(o)
	if err != nil {
		return nil
	}
	for _, b := range spec.Containers {
		for _, p := range b.Ports {
			out = append(out, corev1.ServicePort{Port: p.ContainerPort, Protocol: p.Protocol})
		}
	}
	return out
}
