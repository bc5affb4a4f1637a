package kube

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// offer is what an extension said that it serves.
type offer struct {
	list     []metav1.APIResource
	document string // the hash of its OpenAPI document of version 3; empty when it has none
	stale    bool   // it did not answer when it was asked last
}

// tell keeps what an extension said.
func (e *extensions) tell(name string, now offer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if was, ok := e.told[name]; !ok || !reflect.DeepEqual(was, now) {
		e.told[name] = now
		e.edition++
	}
}

// age remembers that an extension does not say what it serves.
func (e *extensions) age(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if was := e.told[name]; !was.stale {
		was.stale = true
		e.told[name] = was
		e.edition++
	}
}

// offerOf is what an extension said last.
func (e *extensions) offerOf(name string) offer {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok := e.told[name]
	if !ok {
		s.stale = true
	}
	return s
}

func (e *extensions) editionNow() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.edition
}

// ranked is a group version with its place among all.
type ranked struct {
	schema.GroupVersion
	group, version int32 // priorities: more is earlier
	by             *extension
}

// ranks are the group versions that there are, in the order of Kubernetes: groups by the highest priority of one of their
// versions, versions by their own.
func (s *Server) ranks(v projections.State, kinds []events.Kind) []ranked {
	var out []ranked
	taken := map[string]*extension{}
	for row := range v.List(events.APIServices, "") {
		if x := s.extension(v, row.Key.Name); x != nil {
			taken[x.Spec.Group+"/"+x.Spec.Version] = x
			out = append(out, ranked{schema.GroupVersion{Group: x.Spec.Group, Version: x.Spec.Version}, x.Spec.GroupPriorityMinimum, x.Spec.VersionPriority, x})
		}
	}
	for _, gv := range versionsOf(kinds) {
		if taken[gv.String()] == nil {
			group, version := priorityOf(gv)
			out = append(out, ranked{gv, group, version, nil})
		}
	}
	highest := map[string]int32{}
	for _, r := range out {
		highest[r.Group] = max(highest[r.Group], r.group)
	}
	slices.SortStableFunc(out, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(highest[b.Group], highest[a.Group]), strings.Compare(a.Group, b.Group), cmp.Compare(b.version, a.version),
			version.CompareKubeAwareVersionStrings(b.Version, a.Version))
	})
	return out
}

// extensionsOf are the extensions among group versions.
func extensionsOf(all []ranked) []*extension {
	var out []*extension
	for _, r := range all {
		if r.by != nil {
			out = append(out, r.by)
		}
	}
	return out
}

// offeredBy is what an extension serves, in the form of aggregated discovery.
func (s *Server) offeredBy(x *extension) apidiscoveryv2.APIVersionDiscovery {
	told := s.beyond.offerOf(x.Name)
	out := apidiscoveryv2.APIVersionDiscovery{Version: x.Spec.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
	if told.stale {
		out.Freshness = apidiscoveryv2.DiscoveryFreshnessStale
	}
	at := map[string]int{}
	for _, r := range told.list {
		if strings.Contains(r.Name, "/") {
			continue
		}
		scope := apidiscoveryv2.ScopeCluster
		if r.Namespaced {
			scope = apidiscoveryv2.ScopeNamespace
		}
		at[r.Name] = len(out.Resources)
		out.Resources = append(out.Resources, apidiscoveryv2.APIResourceDiscovery{Resource: r.Name, SingularResource: r.SingularName, Scope: scope, Verbs: r.Verbs,
			ShortNames: r.ShortNames, Categories: r.Categories, ResponseKind: kindFor(kindIn(r, x))})
	}
	for _, r := range told.list {
		of, part, ok := strings.Cut(r.Name, "/")
		if i, known := at[of]; ok && known {
			out.Resources[i].Subresources = append(out.Resources[i].Subresources, apidiscoveryv2.APISubresourceDiscovery{Subresource: part, Verbs: r.Verbs, ResponseKind: kindFor(kindIn(r, x))})
		}
	}
	return out
}

// kindIn is the kind of what a resource answers with: of its extension, unless it says otherwise.
func kindIn(r metav1.APIResource, x *extension) schema.GroupVersionKind {
	if r.Group == "" && r.Version == "" {
		return schema.GroupVersionKind{Group: x.Spec.Group, Version: x.Spec.Version, Kind: r.Kind}
	}
	return schema.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind}
}

// documents are the OpenAPI documents of version 3 that there are, by path.
type documents struct {
	Paths map[string]documentAt `json:"paths"`
}

type documentAt struct {
	URL string `json:"serverRelativeURL"`
}

const documentsPath = "/openapi/v3"

// document is the hash of an extension's own document; empty when it has none.
func (s *Server) document(ctx context.Context, x *extension) string {
	raw, err := s.get(ctx, x, documentsPath, "application/json")
	var all documents
	if err != nil || json.Unmarshal(raw, &all) != nil {
		return ""
	}
	at, err := url.Parse(all.Paths[documentOf(x)].URL)
	if err != nil {
		return ""
	}
	return at.Query().Get("hash")
}

func documentOf(x *extension) string { return "apis/" + x.Spec.Group + "/" + x.Spec.Version }

// withDocuments adds those of extensions to the list of documents; each is asked of its extension under its own path.
func (s *Server) withDocuments(all []ranked, own http.Handler) http.Handler {
	more := documents{Paths: map[string]documentAt{}}
	for _, r := range all {
		if r.by == nil {
			continue
		}
		if hash := s.beyond.offerOf(r.by.Name).document; hash != "" {
			more.Paths[documentOf(r.by)] = documentAt{documentsPath + "/" + documentOf(r.by) + "?hash=" + url.QueryEscape(hash)}
		}
	}
	if len(more.Paths) == 0 {
		return own
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != documentsPath {
			own.ServeHTTP(w, r)
			return
		}
		of := *r
		of.Header = http.Header{"Accept": {"application/json"}}
		got := &answerHeld{header: http.Header{}}
		own.ServeHTTP(got, &of)
		var list documents
		if err := json.Unmarshal(got.body.Bytes(), &list); err != nil {
			s.fail(err, w, r)
			return
		}
		for path, at := range more.Paths {
			list.Paths[path] = at
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(list) // a client that is gone need not know
	})
}

// answerHeld is an answer that goes nowhere yet.
type answerHeld struct {
	header http.Header
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answerHeld) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answerHeld) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (a *answerHeld) Write(p []byte) (int, error) { return a.body.Write(p) }
