package webhook

import (
	"net/url"

	"k8s.io/client-go/rest"

	"github.com/stave-run/stave/gateway/reach"
)

// places finds webhooks: at a URL, or behind a service of the cluster.
type places struct{ reach.Ways }

// ClientConfigFor implements webhookutil.AuthenticationInfoResolver.
func (places) ClientConfigFor(string) (*rest.Config, error) { return &rest.Config{}, nil }

// ClientConfigForService implements webhookutil.AuthenticationInfoResolver.
func (p places) ClientConfigForService(string, string, int) (*rest.Config, error) {
	return &rest.Config{Dial: p.Connect}, nil
}

// ResolveEndpoint implements webhookutil.ServiceResolver. It is asked for every call.
func (p places) ResolveEndpoint(namespace, name string, port int32) (*url.URL, error) {
	host, err := p.Service(namespace, name, port)
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: "https", Host: host}, nil
}
