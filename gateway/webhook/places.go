package webhook

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// places finds webhooks: at a URL, or behind a service of the cluster. The way to
// a pod goes over the wires, so it need not be reachable from this machine.
type places struct{ *Chain }

// ClientConfigFor implements webhookutil.AuthenticationInfoResolver.
func (places) ClientConfigFor(string) (*rest.Config, error) { return &rest.Config{}, nil }

// ClientConfigForService implements webhookutil.AuthenticationInfoResolver.
func (p places) ClientConfigForService(string, string, int) (*rest.Config, error) {
	return &rest.Config{Dial: p.dial}, nil
}

// ResolveEndpoint implements webhookutil.ServiceResolver: one of the service's
// ready endpoints, as pod.namespace:port. It is asked for every call.
func (p places) ResolveEndpoint(namespace, name string, port int32) (*url.URL, error) {
	v := p.View()
	row, ok := v.Get(events.Key{Resource: events.Services, Namespace: namespace, Name: name})
	if !ok {
		return nil, fmt.Errorf("service %q not found", name)
	}
	svc := projections.As[*corev1.Service](row)
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return &url.URL{Scheme: "https", Host: net.JoinHostPort(svc.Spec.ExternalName, strconv.Itoa(int(port)))}, nil
	}
	host, err := endpoint(v, svc, port)
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: "https", Host: host}, nil
}

// endpoint is one ready endpoint behind a service's port.
func endpoint(v projections.State, svc *corev1.Service, port int32) (string, error) {
	i := slices.IndexFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == port })
	if i < 0 {
		return "", fmt.Errorf("no service port %d found for service %q", port, svc.Name)
	}
	o, _ := v.Object(events.Key{Resource: events.Endpoints, Namespace: svc.Namespace, Name: svc.Name}, time.Time{})
	var all []string
	if ep, ok := o.(*corev1.Endpoints); ok { //nolint:staticcheck // the oldest form is the simplest to read here
		for _, s := range ep.Subsets {
			all = append(all, behind(s, svc.Spec.Ports[i].Name)...)
		}
	}
	if len(all) == 0 {
		return "", fmt.Errorf("no endpoints available for service %q", svc.Name)
	}
	return all[rand.IntN(len(all))], nil //nolint:gosec // any will do
}

// behind are a subset's ready pods with one of its ports.
func behind(s corev1.EndpointSubset, name string) []string { //nolint:staticcheck // as above
	var out []string
	for _, p := range s.Ports {
		if p.Name != name {
			continue
		}
		for _, a := range s.Addresses {
			if a.TargetRef != nil {
				out = append(out, net.JoinHostPort(a.TargetRef.Name+"."+a.TargetRef.Namespace, strconv.Itoa(int(p.Port))))
			}
		}
	}
	return out
}

// dial connects to what ResolveEndpoint found.
func (p places) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("read address %q: %w", address, err)
	}
	if dot := strings.LastIndexByte(host, '.'); dot > 0 {
		k := events.Key{Resource: events.Pods, Namespace: host[dot+1:], Name: host[:dot]}
		n, err := strconv.ParseUint(port, 10, 16)
		if _, ok := p.View().Get(k); ok && err == nil {
			return p.Dial(ctx, k, uint16(n))
		}
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}
