package kube

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/reach"
	"github.com/stave-run/stave/projections"
)

// proxying is the part of pods and services under which what they serve is reached.
const proxying = "proxy"

// addProxies adds the way to what pods, services and nodes serve, for every method of HTTP.
func (v *verbs) addProxies() {
	for _, r := range []events.Resource{events.Pods, events.Services} {
		kind, _ := events.KindOf(r)
		for _, verb := range append([]string{""}, partVerbs[proxying]...) { // "" is OPTIONS
			v.set(kind, proxying, verb, http.HandlerFunc(v.server.proxied))
		}
	}
	nodes, _ := events.KindOf(events.Nodes)
	for _, verb := range append([]string{""}, partVerbs[proxying]...) {
		v.set(nodes, proxying, verb, http.HandlerFunc(v.server.proxiedNode))
	}
}

// proxied answers with what a port of a pod, or of a service's endpoint, answers.
func (s *Server) proxied(w http.ResponseWriter, r *http.Request) {
	info, _ := request.RequestInfoFrom(r.Context())
	to, err := s.proxyTarget(info)
	if err == nil {
		err = s.askAboutProxy(r, info, to)
	}
	if err != nil {
		s.fail(err, w, r)
		return
	}
	r = r.Clone(r.Context())
	for name := range r.Header { // who asks is no business of the pod's
		if name == "Authorization" || strings.HasPrefix(name, "Impersonate-") {
			r.Header.Del(name)
		}
	}
	h := proxy.NewUpgradeAwareHandler(to, s.proxies, true, false, s)
	h.ServeHTTP(w, r)
}

// Error implements proxy.ErrorResponder.
func (s *Server) Error(w http.ResponseWriter, r *http.Request, err error) {
	if status := apierrors.APIStatus(nil); !errors.As(err, &status) {
		err = apierrors.NewServiceUnavailable("error trying to reach service: " + err.Error())
	}
	s.fail(err, w, r)
}

// newProxies connects to pods by way of their nodes. Who a pod is that speaks TLS is not looked at, as in Kubernetes: its
// certificate names nobody that is known here.
func newProxies(w reach.Ways) *http.Transport {
	return &http.Transport{DialContext: w.Connect, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true} //nolint:gosec // see above
}

// proxyTarget is what a request wants: scheme:name:port, of which scheme and port may be left out, and the path behind it.
func (s *Server) proxyTarget(i *request.RequestInfo) (*url.URL, error) {
	scheme, name, port, ok := utilnet.SplitSchemeNamePort(i.Name)
	if !ok {
		return nil, apierrors.NewBadRequest("invalid " + strings.TrimSuffix(i.Resource, "s") + " request \"" + i.Name + "\"")
	}
	if scheme == "" {
		scheme = "http"
	}
	find := s.servicePort
	if i.Resource == "pods" {
		find = s.podPort
	}
	host, err := find(i.Namespace, name, port)
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: scheme, Host: host, Path: pathBehind(i)}, nil
}

// pathBehind is what follows the word proxy in a request's path, with its slash; "" when nothing does.
func pathBehind(i *request.RequestInfo) string {
	_, rest, _ := strings.Cut(i.Path, "/"+i.Resource+"/"+i.Name+"/"+proxying)
	return rest
}

// podPort finds a pod's port: the one that is named, or the first that its containers declare, or 80.
func (s *Server) podPort(namespace, name, port string) (string, error) {
	row, ok := s.Views.Durable().Get(events.Key{Resource: events.Pods, Namespace: namespace, Name: name})
	if !ok {
		return "", apierrors.NewNotFound(corev1.Resource("pods"), name)
	}
	number, declared := uint64(80), declaredPorts(row.PodSpec())
	if len(declared) > 0 {
		number = uint64(declared[0])
	}
	if port != "" {
		var err error
		if number, err = strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
			return "", apierrors.NewBadRequest("invalid port " + strconv.Quote(port) + " of pod " + strconv.Quote(name) + ": wants a number from 1 to 65535")
		}
	}
	if p, ok := s.Views.Durable().PodOf(row.Key); !ok || p.IP == "" {
		return "", apierrors.NewBadRequest("pod " + strconv.Quote(name) + " has no address yet")
	}
	return reach.Pod(namespace, name, uint16(number)), nil
}

func declaredPorts(spec *corev1.PodSpec) (out []int32) {
	for _, c := range spec.Containers {
		for _, p := range c.Ports {
			out = append(out, p.ContainerPort)
		}
	}
	return out
}

// servicePort finds an endpoint of a service's port, by its name or number; a service of one port needs neither.
func (s *Server) servicePort(namespace, name, port string) (string, error) {
	row, ok := s.Views.Durable().Get(events.Key{Resource: events.Services, Namespace: namespace, Name: name})
	if !ok {
		return "", apierrors.NewNotFound(corev1.Resource("services"), name)
	}
	spec := &projections.As[*corev1.Service](row).Spec
	i := slices.IndexFunc(spec.Ports, func(p corev1.ServicePort) bool { return p.Name == port || strconv.Itoa(int(p.Port)) == port })
	if port == "" && len(spec.Ports) == 1 {
		i = 0
	}
	switch {
	case spec.Type == corev1.ServiceTypeExternalName:
		return "", apierrors.NewServiceUnavailable("service " + strconv.Quote(name) + " is a name for something outside of the cluster, where nobody is taken to")
	case i < 0:
		return "", apierrors.NewServiceUnavailable("no service port " + strconv.Quote(port) + " found for service " + strconv.Quote(name))
	}
	host, err := s.ways.Service(namespace, name, spec.Ports[i].Port)
	if err != nil {
		return "", apierrors.NewServiceUnavailable(err.Error())
	}
	return host, nil
}

// askAboutProxy asks about a connection as the kind that stands for it.
func (s *Server) askAboutProxy(r *http.Request, i *request.RequestInfo, to *url.URL) error {
	if i.Resource == "pods" {
		return s.askAboutConnection(r, i, &corev1.PodProxyOptions{Path: to.Path}, "PodProxyOptions")
	}
	return s.askAboutConnection(r, i, &corev1.ServiceProxyOptions{Path: to.Path}, "ServiceProxyOptions")
}

// askAboutConnection asks webhooks and policies about a connection. None of them changes what is connected to.
func (s *Server) askAboutConnection(r *http.Request, i *request.RequestInfo, options runtime.Object, kind string) error {
	ask, ok := s.Admission.(admission.ValidationInterface)
	u, known := request.UserFrom(r.Context())
	if !ok || !known {
		return nil
	}
	return ask.Validate(r.Context(), admission.NewAttributesRecord(options, nil, corev1.SchemeGroupVersion.WithKind(kind), i.Namespace, i.Name,
		corev1.SchemeGroupVersion.WithResource(i.Resource), i.Subresource, admission.Connect, nil, false, u), nil)
}
