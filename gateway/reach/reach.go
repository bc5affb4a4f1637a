// Package reach finds who answers behind a service or in a pod, and connects to it by way of its node's agent, so that no
// route to pods is needed where the control plane runs.
package reach

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// ErrNobody is a service that has no endpoint which is ready.
var ErrNobody = errors.New("no endpoints available for service")

// Ways are how pods are reached.
type Ways struct {
	// View is the newest state that may be looked at.
	View func() projections.State
	// Dial connects to a TCP port of a pod, wherever it runs.
	Dial func(ctx context.Context, pod events.Key, port uint16) (net.Conn, error)
}

// ofPods ends the names of pods as hosts. No name that a person can write ends so, nor an address: 10.1.2 can be a pod's name,
// and 3 that of its namespace.
const ofPods = "._pod"

// Pod is the address of a pod's port as Connect takes it.
func Pod(namespace, name string, port uint16) string {
	return net.JoinHostPort(name+"."+namespace+ofPods, strconv.Itoa(int(port)))
}

// Service is the address of one of a service's ready endpoints as Connect takes it; which, is chosen anew every time. An
// ExternalName stands for itself.
func (w Ways) Service(namespace, name string, port int32) (string, error) {
	v := w.View()
	row, ok := v.Get(events.Key{Resource: events.Services, Namespace: namespace, Name: name})
	if !ok {
		return "", fmt.Errorf("service %q not found", name)
	}
	svc := projections.As[*corev1.Service](row)
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return net.JoinHostPort(svc.Spec.ExternalName, strconv.Itoa(int(port))), nil
	}
	i := slices.IndexFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == port })
	if i < 0 {
		return "", fmt.Errorf("no service port %d found for service %q", port, name)
	}
	o, _ := v.Object(events.Key{Resource: events.Endpoints, Namespace: namespace, Name: name}, time.Time{})
	var all []string
	if ep, ok := o.(*corev1.Endpoints); ok { //nolint:staticcheck // the oldest form is the simplest to read here
		for _, s := range ep.Subsets {
			all = append(all, behind(s, svc.Spec.Ports[i].Name)...)
		}
	}
	if len(all) == 0 {
		return "", fmt.Errorf("%w %q", ErrNobody, name)
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
			switch {
			case a.TargetRef != nil && a.TargetRef.Kind == "Pod":
				out = append(out, Pod(a.TargetRef.Namespace, a.TargetRef.Name, uint16(p.Port))) //nolint:gosec // a port
			case outside(a.IP):
				out = append(out, net.JoinHostPort(a.IP, strconv.Itoa(int(p.Port))))
			}
		}
	}
	return out
}

// Connect connects to what Pod or Service gave, in the form that http.Transport wants.
func (w Ways) Connect(ctx context.Context, network, address string) (net.Conn, error) {
	return w.connect(ctx, network, address, net.Dialer{})
}

// ConnectOutside is Connect for those whom the writer of a service must not take to what only this machine has: not even by a
// name that leads there.
func (w Ways) ConnectOutside(ctx context.Context, network, address string) (net.Conn, error) {
	return w.connect(ctx, network, address, net.Dialer{Control: func(_, found string, _ syscall.RawConn) error {
		if host, _, err := net.SplitHostPort(found); err != nil || !outside(host) {
			return fmt.Errorf("%s leads to %s, which is of this machine alone: nobody is taken there", address, found)
		}
		return nil
	}})
}

func (w Ways) connect(ctx context.Context, network, address string, d net.Dialer) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("read address %q: %w", address, err)
	}
	pod, ok := strings.CutSuffix(host, ofPods)
	if !ok {
		return d.DialContext(ctx, network, address)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	dot := strings.LastIndexByte(pod, '.')
	if err != nil || dot < 0 {
		return nil, fmt.Errorf("read address %q: it is no pod's", address)
	}
	return w.Dial(ctx, events.Key{Resource: events.Pods, Namespace: pod[dot+1:], Name: pod[:dot]}, uint16(n))
}

// outside tells whether an address that a person wrote is one that they may be taken to: none that only this machine has.
func outside(ip string) bool {
	a, err := netip.ParseAddr(ip)
	return err == nil && !a.Unmap().IsLoopback() && !a.Unmap().IsLinkLocalUnicast() && !a.IsUnspecified()
}
