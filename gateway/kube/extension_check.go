package kube

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/transport"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/reach"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// When extensions are asked whether they are there: again after a while as in Kubernetes, soon after they did not answer, and
// at once when where they are is another place.
const (
	checkAgain  = 30 * time.Second
	checkSoon   = 500 * time.Millisecond
	checkPeriod = 250 * time.Millisecond // in which places are compared, while there is any extension
	checkTries  = 5                      // endpoints that are asked; one that answers is enough
	maxOffer    = 4 << 20                // bytes that one may take to say what it serves
)

// checker asks extensions whether they are there.
type checker struct {
	*Server
	all   map[string]*checked // by name
	going sync.WaitGroup
}

// checked is what is known of one.
type checked struct {
	place string // what it was asked with: its spec and its endpoints
	next  time.Time
	pause time.Duration
	done  chan struct{} // of the question under way; nil when there is none
}

// checkExtensions asks them until the context ends. Without any, it waits for the first.
func (s *Server) checkExtensions(ctx context.Context) {
	c := &checker{Server: s, all: map[string]*checked{}}
	defer c.going.Wait()
	ring := make(chan struct{}, 1)
	stop := s.Views.OnDurable(func(_ projections.State, _ events.Envelope, changes []projections.Change) {
		if slices.ContainsFunc(changes, func(x projections.Change) bool { return x.Key.Resource == events.APIServices }) {
			select {
			case ring <- struct{}{}:
			default:
			}
		}
	})
	defer stop()
	for {
		var again <-chan time.Time
		if c.look(ctx) {
			again = time.After(checkPeriod)
		}
		select {
		case <-ring:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// look begins what is due; false when there is no extension.
func (c *checker) look(ctx context.Context) bool {
	v := c.Views.Durable()
	seen := map[string]bool{}
	for row := range v.List(events.APIServices, "") {
		x := c.extension(v, row.Key.Name)
		if x == nil || row.Deletion != nil {
			continue
		}
		seen[x.Name] = true
		k := c.all[x.Name]
		if k == nil {
			k = &checked{}
			c.all[x.Name] = k
		}
		c.begin(ctx, v, x, k)
	}
	for name := range c.all {
		if !seen[name] {
			delete(c.all, name) // a question under way ends by itself
		}
	}
	c.beyond.forget(v)
	return len(seen) > 0
}

// begin asks one extension, if it is time to.
func (c *checker) begin(ctx context.Context, v projections.State, x *extension, k *checked) {
	if k.done != nil {
		select {
		case <-k.done:
			k.done = nil
		default:
			return
		}
	}
	place := string(x.row.UID) + string(x.row.Raw) + endpointsOf(v, x.Spec.Service, c.Now())
	if place != k.place {
		k.place, k.next, k.pause = place, time.Time{}, 0
	}
	if time.Now().Before(k.next) { // by the clock that does not jump
		return
	}
	k.done = make(chan struct{})
	c.going.Go(func() {
		defer close(k.done)
		if c.check(ctx, v, x) {
			k.pause = checkAgain
		} else {
			k.pause = min(max(2*k.pause, checkSoon), checkAgain)
		}
		k.next = time.Now().Add(k.pause)
	})
}

// endpointsOf is where a service leads, as far as it has to be compared.
func endpointsOf(v projections.State, r *apiregistrationv1.ServiceReference, now time.Time) string {
	k := events.Key{Resource: events.Services, Namespace: r.Namespace, Name: r.Name}
	row, ok := v.Get(k)
	if !ok {
		return ""
	}
	o, _ := v.Object(events.Key{Resource: events.Endpoints, Namespace: r.Namespace, Name: r.Name}, now)
	ep, ok := o.(*corev1.Endpoints) //nolint:staticcheck // as in package reach
	if !ok {
		return row.Position.String()
	}
	return row.Position.String() + string(events.MustBody(ep.Subsets))
}

// check asks one, and says what came of it where everybody sees it; false when it has to be asked again soon.
func (c *checker) check(ctx context.Context, v projections.State, x *extension) bool {
	found := c.standing(v, x)
	if found.Status == apiregistrationv1.ConditionTrue {
		found = c.hears(ctx, x)
	}
	if ctx.Err() != nil {
		return true
	}
	if err := c.report(ctx, x, found); err != nil && ctx.Err() == nil {
		c.Logger.Warn("say whether an API server is there", "apiservice", x.Name, "error", err)
		return false
	}
	return found.Status == apiregistrationv1.ConditionTrue
}

// passed is what is said of an extension that is there.
var passed = apiregistrationv1.APIServiceCondition{Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionTrue, Reason: "Passed", Message: "all checks passed"}

func unavailable(reason, format string, args ...any) apiregistrationv1.APIServiceCondition {
	return apiregistrationv1.APIServiceCondition{Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionFalse, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// standing is what the state alone says of an extension, in Kubernetes' words; true when it has to be asked itself.
func (c *checker) standing(v projections.State, x *extension) apiregistrationv1.APIServiceCondition {
	r, port := x.Spec.Service, *x.Spec.Service.Port
	row, ok := v.Get(events.Key{Resource: events.Services, Namespace: r.Namespace, Name: r.Name})
	if !ok {
		return unavailable("ServiceNotFound", "service/%s in %q is not present", r.Name, r.Namespace)
	}
	svc := projections.As[*corev1.Service](row)
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return passed
	}
	i := slices.IndexFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == port })
	if i < 0 {
		return unavailable("ServicePortError", "service/%s in %q is not listening on port %d", r.Name, r.Namespace, port)
	}
	if _, err := c.ways.Service(r.Namespace, r.Name, port); errors.Is(err, reach.ErrNobody) {
		return unavailable("MissingEndpoints", "endpointslices for service/%s in %q have no addresses with port name %q", r.Name, r.Namespace, svc.Spec.Ports[i].Name)
	}
	return passed
}

// hears asks an extension what it serves, on several ways at once; one answer is enough.
func (c *checker) hears(ctx context.Context, x *extension) apiregistrationv1.APIServiceCondition {
	if x.roots != nil {
		return unavailable("FailedDiscoveryCheck", "%v", x.roots)
	}
	ctx, cancel := context.WithTimeout(ctx, offerTime)
	defer cancel()
	path := "/apis/" + x.Spec.Group + "/" + x.Spec.Version
	type answer struct {
		offer
		err error
	}
	results := make(chan answer, checkTries)
	for range checkTries {
		go func() {
			raw, err := c.get(ctx, x, path, "application/json")
			var list metav1.APIResourceList
			if err == nil {
				err = json.Unmarshal(raw, &list)
			}
			if err != nil {
				err = fmt.Errorf("failing or missing response from https://%s:%d%s: %w", hostOf(x.Spec.Service), *x.Spec.Service.Port, path, lasting(err))
			}
			results <- answer{offer{list: list.APIResources}, err}
		}()
	}
	var why []string
	for range checkTries {
		a := <-results
		if a.err == nil {
			a.document = c.document(ctx, x)
			c.beyond.tell(x.Name, a.offer)
			return passed
		}
		why = append(why, a.err.Error())
	}
	x.way.CloseIdleConnections()
	c.beyond.age(x.Name)
	return unavailable("FailedDiscoveryCheck", "%s", slices.Min(why)) // the same one each time, so that it is news once
}

// lasting is an error without what is another each time: it stands in the log, where only news should.
func lasting(err error) error {
	var of *net.OpError
	if errors.As(err, &of) {
		return fmt.Errorf("%s: %w", of.Op, of.Err)
	}
	var bad x509.CertificateInvalidError
	if errors.As(err, &bad) && bad.Reason == x509.Expired {
		return errors.New("tls: failed to verify certificate: x509: certificate has expired or is not yet valid")
	}
	return err
}

// get asks an extension in the name of the cluster itself, which may see all that it serves.
func (s *Server) get(ctx context.Context, x *extension, path, accept string) ([]byte, error) {
	host, err := s.placeOf(x)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, (&url.URL{Scheme: "https", Host: host, Path: path}).String(), nil)
	if err != nil {
		return nil, err
	}
	r.Host = hostOf(x.Spec.Service)
	r.Header.Set("Accept", accept)
	transport.SetAuthProxyHeaders(r, "system:kube-aggregator", "", []string{"system:masters"}, nil)
	resp, err := x.way.RoundTrip(r) // which follows nobody elsewhere
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusMultipleChoices {
		return nil, fmt.Errorf("bad status from https://%s%s: %d", r.Host, path, resp.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxOffer+1))
	if err == nil && len(raw) > maxOffer {
		err = fmt.Errorf("more than %d bytes", maxOffer)
	}
	return raw, err
}

// report appends what was found of an extension, when it is news.
func (c *checker) report(ctx context.Context, x *extension, found apiregistrationv1.APIServiceCondition) error {
	if c.news(x.Status, found) == nil {
		return nil
	}
	id, err := newID()
	if err != nil {
		return err
	}
	made, err := c.Writer.Submit(ctx, Wish{Actor: events.Controller("aggregator"), ID: id, Key: x.row.Key, Message: "asked whether it is there",
		Decide: func(v projections.State, at time.Time) ([]reconcilers.Draft, error) {
			now, ok := v.Get(x.row.Key)
			if !ok || now.UID != x.row.UID || now.Deletion != nil || !bytes.Equal(now.Raw, x.row.Raw) {
				return nil, nil // it is asked anew
			}
			o, ok := v.ObjectOf(now, at).(*apiregistrationv1.APIService)
			if !ok {
				return nil, nil
			}
			next := c.news(o.Status, found)
			if next == nil {
				return nil, nil
			}
			return []reconcilers.Draft{reconcilers.WriteStatus(now, events.StatusWritten{Status: events.MustBody(next), Over: now.Over})}, nil
		}})
	if err != nil || len(made) == 0 {
		return err
	}
	_, err = c.Views.WaitDurable(ctx, made[len(made)-1].Seq)
	return err
}

// news is a status with a condition that says something else than before; nil when it says the same.
func (c *checker) news(was apiregistrationv1.APIServiceStatus, found apiregistrationv1.APIServiceCondition) *apiregistrationv1.APIServiceStatus {
	next := was.DeepCopy()
	found.LastTransitionTime = seconds(c.Now())
	i := slices.IndexFunc(next.Conditions, func(x apiregistrationv1.APIServiceCondition) bool { return x.Type == found.Type })
	if i < 0 {
		next.Conditions = append(next.Conditions, found)
		return next
	}
	old := next.Conditions[i]
	if old.Status == found.Status {
		found.LastTransitionTime = old.LastTransitionTime
	}
	if found == old {
		return nil
	}
	next.Conditions[i] = found
	return next
}
