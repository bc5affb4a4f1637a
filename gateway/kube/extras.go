package kube

import (
	"net/http"
	goruntime "runtime"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/kube/schema"
)

// kubernetes is the version of Kubernetes whose API this is: that of the types.
const (
	kubernetesMajor = "1"
	kubernetesMinor = "37"
	kubernetesPatch = "2"
)

// newExtras serves what is no verb on a resource.
func (s *Server) newExtras() http.Handler {
	mux := http.NewServeMux()
	view := s.listed.view // its documents are made by the first request for one
	ranks := s.ranks(view, s.everyKind())
	s.addDiscovery(mux, ranks)
	documents := schema.New(s.scheme, s.everyKind(), s.converter, func(k events.Kind) *schema.Shape { return s.shapeOf(view, k) })
	mux.Handle("/openapi/", s.withDocuments(ranks, documents))
	if by := extensionsOf(ranks); len(by) > 0 {
		mux.Handle(secondPath, &second{Server: s, own: documents, by: by})
	}
	mux.HandleFunc("/version", s.version)
	mux.HandleFunc("/version/", s.version)
	for _, p := range []string{"/healthz", "/livez", "/readyz"} {
		mux.HandleFunc(p, s.healthy)
		mux.HandleFunc(p+"/", s.healthy)
	}
	mux.Handle("/metrics", s.newMetrics())
	s.addIssuer(mux)
	mux.HandleFunc("/", s.absent)
	return mux
}

func (s *Server) version(w http.ResponseWriter, r *http.Request) {
	responsewriters.WriteRawJSON(http.StatusOK, version.Info{
		Major: kubernetesMajor, Minor: kubernetesMinor, GitVersion: "v" + strings.Join([]string{kubernetesMajor, kubernetesMinor, kubernetesPatch}, ".") + "+stave." + s.Version,
		GoVersion: goruntime.Version(), Compiler: goruntime.Compiler, Platform: goruntime.GOOS + "/" + goruntime.GOARCH,
		GitTreeState: "clean", BuildDate: metav1.Time{}.UTC().Format("2006-01-02T15:04:05Z"),
	}, w)
}

// check is one thing that has to hold for the server to be well.
type check struct {
	name string
	fine func() bool
}

// healthy answers what is asked of the server's health: all checks, or one.
func (s *Server) healthy(w http.ResponseWriter, r *http.Request) {
	checks := []check{
		{"ping", func() bool { return true }},
		{"log", func() bool { _, err := s.Log.Bounds(r.Context()); return err == nil }},
		{"fold", func() bool { return s.Views.Durable().Seq > 0 }},
	}
	_, one, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var lines []string
	code := http.StatusOK
	for _, c := range checks {
		if one != "" && c.name != one {
			continue
		}
		line := "[+]" + c.name + " ok"
		if !c.fine() {
			line, code = "[-]"+c.name+" failed", http.StatusInternalServerError
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		s.absent(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	if _, asked := r.URL.Query()["verbose"]; !asked && code == http.StatusOK {
		_, _ = w.Write([]byte("ok")) // a client that is gone need not know
		return
	}
	what, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	end := what + " check passed"
	if code != http.StatusOK {
		end = what + " check failed"
	}
	_, _ = w.Write([]byte(strings.Join(append(lines, end), "\n") + "\n"))
}

// converter is the merge schema of the types.
func (s *Server) converter() (managedfields.TypeConverter, error) {
	v, err := s.verbs()
	if err != nil {
		return nil, err
	}
	return v.types, nil
}
