package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/stave-run/stave/events"
)

// serviceFlags are what `stave create service TYPE NAME` takes.
type serviceFlags struct {
	TCP          []string `name:"tcp" help:"service: PORT[:TARGET], repeatable." placeholder:"PORT:TARGET"`
	ClusterIP    string   `name:"clusterip" help:"service clusterip: its address, or None." placeholder:"IP"`
	NodePort     int32    `name:"node-port" help:"service nodeport: its port on every node." placeholder:"PORT"`
	ExternalName string   `name:"external-name" help:"service externalname: the DNS name that it stands for." placeholder:"NAME"`
}

// serviceTypes are the words between "service" and the name.
var serviceTypes = map[string]corev1.ServiceType{"clusterip": corev1.ServiceTypeClusterIP, "nodeport": corev1.ServiceTypeNodePort,
	"externalname": corev1.ServiceTypeExternalName, "loadbalancer": corev1.ServiceTypeLoadBalancer}

// service is the service of "TYPE NAME".
func (f serviceFlags) service(words []string) (events.Object, error) {
	if len(words) != 2 {
		return nil, errors.New("a type and exactly one NAME are required\nhelp: stave create service clusterip NAME --tcp=80:8080")
	}
	typ, ok := serviceTypes[strings.ToLower(words[0])]
	if !ok {
		return nil, fmt.Errorf("unknown type of service %q: must be clusterip, nodeport, externalname or loadbalancer", words[0])
	}
	name := words[1]
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}}}
	svc.Spec = corev1.ServiceSpec{Type: typ, Selector: map[string]string{"app": name}, ClusterIP: f.ClusterIP, ExternalName: f.ExternalName}
	switch {
	case typ == corev1.ServiceTypeExternalName && f.ExternalName == "":
		return nil, errors.New("--external-name must be specified for an externalname service")
	case typ != corev1.ServiceTypeExternalName && len(f.TCP) == 0 && f.ClusterIP != corev1.ClusterIPNone:
		return nil, errors.New("at least one --tcp port must be specified")
	}
	for _, t := range f.TCP {
		p, err := servicePort(t)
		if err != nil {
			return nil, err
		}
		if p.NodePort = 0; typ == corev1.ServiceTypeNodePort {
			p.NodePort = f.NodePort
		}
		svc.Spec.Ports = append(svc.Spec.Ports, p)
	}
	return svc, nil
}

func servicePort(text string) (corev1.ServicePort, error) {
	from, to, ok := strings.Cut(text, ":")
	port, err := strconv.ParseInt(from, 10, 32)
	if err != nil || len(validation.IsValidPortNum(int(port))) > 0 {
		return corev1.ServicePort{}, fmt.Errorf("--tcp=%s: %q is no port", text, from)
	}
	if !ok {
		to = from
	}
	return corev1.ServicePort{Name: strings.ReplaceAll(text, ":", "-"), Port: int32(port), Protocol: corev1.ProtocolTCP, TargetPort: intstr.Parse(to)}, nil
}

// envFile reads KEY=VALUE lines, as kubectl does: # begins a comment, and a KEY
// alone has the value that it has in the environment.
func envFile(path string, data map[string]string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--from-env-file=%s: %w", path, err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimLeft(strings.TrimPrefix(lines.Text(), "\ufeff"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if bad := validation.IsConfigMapKey(key); len(bad) > 0 {
			return fmt.Errorf("%s:%d: %q is not a valid key: %s", path, n, key, strings.Join(bad, "; "))
		}
		if !ok {
			value = os.Getenv(key)
		}
		data[key] = value
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("--from-env-file=%s: %w", path, err)
	}
	return nil
}
