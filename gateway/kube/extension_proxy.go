package kube

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/transport"
	"k8s.io/streaming/pkg/httpstream"
)

// How long an extension may take: over a request, as Kubernetes' door has it, and over saying what it serves.
const (
	extensionTime = time.Minute
	offerTime     = 5 * time.Second
)

// passOn lets a request through to an extension, in the name of who asks. Whether they may was asked before.
func (s *Server) passOn(w http.ResponseWriter, r *http.Request, i *request.RequestInfo, x *extension) {
	u, ok := request.UserFrom(r.Context())
	if !ok {
		s.fail(apierrors.NewInternalError(errors.New("missing user")), w, r)
		return
	}
	to, err := s.wayThrough(r, i, x, u)
	if err != nil {
		s.fail(err, w, r)
		return
	}
	ctx, cancel := r.Context(), context.CancelFunc(func() {})
	upgrade := httpstream.IsUpgradeRequest(r)
	switch {
	case !i.IsResourceRequest:
		ctx, cancel = context.WithTimeout(ctx, offerTime)
	case !upgrade && !isLong(i, r):
		ctx, cancel = context.WithTimeout(ctx, extensionTime)
	}
	defer cancel()
	next := r.Clone(ctx)
	next.Header, next.Trailer = passedOn(r.Header, upgrade), nil
	next.Host, next.URL.RawQuery, next.URL.RawPath = hostOf(x.Spec.Service), to.RawQuery, ""
	transport.SetAuthProxyHeaders(next, u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra()) // an upgrade is written as it is
	// All else is, where what a client calls a header of the connection is taken out, so the names are set behind that.
	way := transport.NewAuthProxyRoundTripper(u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra(), plainAnswers{x.way})
	h := proxy.NewUpgradeAwareHandler(to, way, true, upgrade, extensionErrors{s, r})
	h.RejectForwardingRedirects = true
	h.ServeHTTP(w, next)
}

// wayThrough is where a request goes, if it may go there at all.
func (s *Server) wayThrough(r *http.Request, i *request.RequestInfo, x *extension, u user.Info) (*url.URL, error) {
	switch {
	case !x.available():
		return nil, apierrors.NewServiceUnavailable("service unavailable")
	case x.roots != nil:
		return nil, apierrors.NewInternalError(x.roots)
	case !slices.Contains(passing, r.Method):
		return nil, apierrors.NewMethodNotSupported(schema.GroupResource{Group: i.APIGroup, Resource: i.Resource}, strings.ToLower(r.Method))
	case !plainPath(r.URL):
		return nil, apierrors.NewBadRequest("the path is not passed on: it has empty or dotted parts, or encoded slashes, which another server may read otherwise than this one")
	case !writable(u):
		return nil, apierrors.NewBadRequest("the user's name, or a group or extra value, cannot be written into a header as it is")
	case httpstream.IsUpgradeRequest(r) && !tunnels[strings.ToLower(r.Header.Get("Upgrade"))]:
		return nil, apierrors.NewBadRequest("only upgrades to websocket and SPDY/3.1 are passed on")
	case httpstream.IsUpgradeRequest(r) && !fromHere(r):
		return nil, apierrors.NewForbidden(schema.GroupResource{Group: i.APIGroup, Resource: i.Resource}, i.Name, words("a page from elsewhere opens no stream in the name of who reads it"))
	}
	host, err := s.placeOf(x)
	if err != nil {
		s.Logger.Warn("find an API server", "apiservice", x.Name, "error", err)
		return nil, apierrors.NewServiceUnavailable("service unavailable")
	}
	query := r.URL.Query()
	if !i.IsResourceRequest {
		query.Del("hash") // an old one would be answered with a redirect
	}
	return &url.URL{Scheme: "https", Host: host, Path: r.URL.Path, RawQuery: query.Encode()}, nil
}

// passing are the methods that are passed on.
var passing = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// tunnels are the protocols to which a connection may be upgraded. Not HTTP itself (h2c): in such a tunnel a client would write
// whole requests, with names in them that nobody has checked.
var tunnels = map[string]bool{"websocket": true, "spdy/3.1": true}

// plainPath tells whether everybody reads a path alike: the one who asks whether it may be, and the one who does it.
func plainPath(u *url.URL) bool {
	written := strings.ToLower(u.EscapedPath())
	if strings.Contains(written, "%2f") || strings.Contains(written, "%5c") || !strings.HasPrefix(u.Path, "/") {
		return false
	}
	parts := strings.Split(strings.TrimSuffix(u.Path[1:], "/"), "/")
	return !slices.ContainsFunc(parts, func(p string) bool {
		name, _, _ := strings.Cut(p, ";") // some servers read what follows as something else
		return name == "" || name == "." || name == ".." || strings.ContainsFunc(p, func(c rune) bool { return c == '\\' || c == '%' || unicode.IsControl(c) })
	})
}

// writable tells whether who asks can be named in headers without becoming somebody else on the way: spaces around a value are
// taken off there, and a line break would begin another header.
func writable(u user.Info) bool {
	all := append([]string{u.GetName(), u.GetUID()}, u.GetGroups()...)
	for key, values := range u.GetExtra() {
		if key == "" {
			return false
		}
		all = append(all, values...)
	}
	return u.GetName() != "" && !slices.ContainsFunc(all, func(v string) bool {
		return strings.TrimSpace(v) != v || strings.ContainsFunc(v, unicode.IsControl)
	})
}

// withheld are headers of clients that are for this door alone, or by which some servers take a request for another one than
// was asked about.
var withheld = []string{"authorization", "proxy-authorization", "cookie", "connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "http2-settings",
	"forwarded", "x-real-ip", "x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"}

// passedOn are the headers that a client's request goes on with.
func passedOn(from http.Header, upgrade bool) http.Header {
	out := http.Header{}
	for name, values := range from {
		plain := strings.ReplaceAll(strings.ToLower(name), "_", "-") // some servers do not tell them apart
		if slices.Contains(withheld, plain) || plain == "upgrade" && !upgrade || strings.HasPrefix(plain, "x-remote-") || strings.HasPrefix(plain, "impersonate-") || strings.HasPrefix(plain, "x-forwarded-") {
			continue
		}
		out[name] = slices.Clone(values)
	}
	if upgrade {
		out.Set("Connection", "Upgrade") // and nothing else, which somebody behind would take out
	}
	if spoken := out.Values("Sec-Websocket-Protocol"); len(spoken) > 0 {
		out["Sec-Websocket-Protocol"] = withoutTokens(spoken)
	}
	return out
}

// tokenProtocol begins the protocol that a browser puts its token in, having no other place.
const tokenProtocol = "base64url.bearer.authorization.k8s.io."

func withoutTokens(spoken []string) []string {
	var out []string
	for _, p := range strings.Split(strings.Join(spoken, ","), ",") {
		if p = strings.TrimSpace(p); p != "" && !strings.HasPrefix(p, tokenProtocol) {
			out = append(out, p)
		}
	}
	return []string{strings.Join(out, ", ")}
}

// plainAnswers takes out of answers what would bind a client to more than its request: all extensions share one address with
// this door.
type plainAnswers struct{ *http.Transport }

// WrappedRoundTripper is who connects.
func (p plainAnswers) WrappedRoundTripper() http.RoundTripper { return p.Transport }

// RoundTrip implements http.RoundTripper.
func (p plainAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := p.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"Set-Cookie", "Set-Cookie2", "Alt-Svc", "Strict-Transport-Security", "Clear-Site-Data"} {
		resp.Header.Del(name)
	}
	return resp, nil
}

// extensionErrors tells a client that an extension did not answer.
type extensionErrors struct {
	*Server
	asked *http.Request
}

// Error implements proxy.ErrorResponder.
func (e extensionErrors) Error(w http.ResponseWriter, _ *http.Request, err error) {
	if errors.Is(err, context.DeadlineExceeded) {
		err = apierrors.NewTimeoutError("the API server behind this path did not answer in time", 0)
	} else {
		err = apierrors.NewServiceUnavailable("error trying to reach service: " + err.Error())
	}
	e.fail(err, w, e.asked)
}
