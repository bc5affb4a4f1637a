package kube

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	netutil "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	apimetrics "k8s.io/apiserver/pkg/endpoints/metrics"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/warning"
)

var infos = &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

// ServeHTTP implements http.Handler: who asks, may they, and who answers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer s.recovered(w, r)
	w.Header().Set("Cache-Control", "no-cache, private")
	info, err := infos.NewRequestInfo(r)
	if err != nil {
		s.fail(apierrors.NewBadRequest(err.Error()), w, r)
		return
	}
	hurry(w, r, info, bodyTime, answerTime)
	asked, cancel, err := inTime(r, info)
	if err != nil {
		s.fail(err, w, r)
		return
	}
	defer cancel()
	ctx, by := request.WithRequestInfo(asked, info), s.extensionFor(info)
	if !isPublic(info.Path) { // who asks whether all is well does not queue behind what is not
		u, sender, err := s.comesIn(r, info)
		if err != nil {
			s.fail(err, w, r)
			return
		}
		release, err := s.busy.take(ctx, u.GetName(), info, r, by)
		if err != nil {
			apimetrics.RecordDroppedRequest(r, info, component, isWrite(r))
			w.Header().Set("Retry-After", "1")
			s.fail(err, w, r)
			return
		}
		defer release()
		ctx = context.WithValue(request.WithUser(ctx, u), byKey{}, sender)
	}
	// Patches and watches need an audit context and the time of arrival.
	ctx = request.WithReceivedTimestamp(audit.WithAuditContext(ctx), s.Now())
	ctx = warning.WithWarningRecorder(ctx, &warner{header: w.Header()})
	if by != nil {
		counted(w, r.WithContext(ctx), info, false, func(w http.ResponseWriter, r *http.Request) { s.passOn(w, r, info, by) })
		return
	}
	s.route(w, r.WithContext(withMessage(ctx, r, info)), info)
}

// comesIn is who a request is taken for, if they may; by is who sent it, when that
// is somebody else.
func (s *Server) comesIn(r *http.Request, info *request.RequestInfo) (u user.Info, by string, err error) {
	sender, err := s.whoIs(r)
	if err != nil {
		return nil, "", err
	}
	if u, err = s.impersonated(r, sender); err != nil {
		return nil, "", err
	}
	if u != sender {
		by = sender.GetName()
	}
	return u, by, s.may(u, info)
}

func isPublic(path string) bool {
	return slices.ContainsFunc(public, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") })
}

// route finds who answers.
func (s *Server) route(w http.ResponseWriter, r *http.Request, info *request.RequestInfo) {
	if !info.IsResourceRequest {
		counted(w, withoutSlash(r), info, false, s.extras().ServeHTTP)
		return
	}
	v, err := s.verbs()
	if err != nil {
		s.fail(err, w, r)
		return
	}
	gvr := schema.GroupVersionResource{Group: info.APIGroup, Version: info.APIVersion, Resource: info.Resource}
	h, known := v.find(gvr, info.Subresource, info.Verb)
	if !known {
		if v, err = s.customVerbs(gvr); err != nil {
			s.fail(err, w, r)
			return
		}
	}
	if !known && v != nil {
		h, known = v.find(gvr, info.Subresource, info.Verb)
	}
	switch {
	case h != nil && (info.Verb != "watch" || !isWrite(r)): // below /watch the verb is that, whatever the method
		counted(w, r, info, true, h.ServeHTTP)
	case known:
		s.fail(apierrors.NewMethodNotSupported(gvr.GroupResource(), info.Verb), w, r)
	default:
		s.absent(w, r)
	}
}

// withoutSlash is a request for a document of discovery without a slash at its end,
// which Kubernetes takes no notice of.
func withoutSlash(r *http.Request) *http.Request {
	path := strings.TrimSuffix(r.URL.Path, "/")
	if path == r.URL.Path || path != "/api" && path != "/apis" && !strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/apis/") {
		return r
	}
	out, at := *r, *r.URL
	at.Path, at.RawPath, out.URL = path, "", &at
	return &out
}

// absent answers for what is not there, in Kubernetes' words.
func (s *Server) absent(w http.ResponseWriter, r *http.Request) {
	s.fail(apierrors.NewGenericServerResponse(http.StatusNotFound, r.Method, schema.GroupResource{}, "", "404 page not found", 0, true), w, r)
}

// fail answers with a Status.
func (s *Server) fail(err error, w http.ResponseWriter, r *http.Request) {
	responsewriters.ErrorNegotiated(err, s.codecs, schema.GroupVersion{Version: "v1"}, w, r)
}

// recovered answers for a handler that broke, and says where.
func (s *Server) recovered(w http.ResponseWriter, r *http.Request) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p) // net/http's own way to cut a connection
	default:
		s.Logger.Error("kubernetes API request broke", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
		s.fail(apierrors.NewInternalError(errors.New("this request caused the API server to panic: look in its log for details")), w, r) // where is nobody's business
	}
}

// warner sends warnings ahead of an answer, each once, and not more than a
// client will read.
type warner struct {
	header http.Header
	said   map[string]bool
	size   int
}

// maxWarnings is how many bytes of warnings an answer may have; clients bound
// the size of headers.
const maxWarnings = 4 << 10

// AddWarning implements warning.Recorder.
func (w *warner) AddWarning(agent, text string) {
	if w.said[text] || w.size+len(text) > maxWarnings {
		return
	}
	h, err := netutil.NewWarningHeader(299, agent, text)
	if err != nil {
		return // a warning that cannot be written is no reason to fail
	}
	if w.said == nil {
		w.said = map[string]bool{}
	}
	w.said[text] = true
	w.size += len(text)
	w.header.Add("Warning", h)
}

type messageKey struct{}

// byKey is under what a context has the name of who impersonates somebody.
type byKey struct{}

// withMessage keeps what the log will say of a request: who sent it and what it
// did, as the command line does for ours.
func withMessage(ctx context.Context, r *http.Request, i *request.RequestInfo) context.Context {
	agent, _, _ := strings.Cut(r.UserAgent(), " ")
	if agent == "" {
		agent = "unknown client"
	}
	text := agent + ": " + i.Verb + " " + strings.Join(nonEmpty(i.Resource, i.Subresource), "/") + " " + strings.Join(nonEmpty(i.Namespace, i.Name), "/")
	if m := r.URL.Query().Get("fieldManager"); m != "" {
		text += " as " + m
	}
	text = strings.TrimSpace(text)
	if by, _ := ctx.Value(byKey{}).(string); by != "" {
		text += ", sent by " + by
	}
	return context.WithValue(ctx, messageKey{}, text)
}

func nonEmpty(words ...string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

func messageOf(ctx context.Context) string {
	m, _ := ctx.Value(messageKey{}).(string)
	return m
}
