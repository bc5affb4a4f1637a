package kube

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/custom"
	kubeschema "github.com/stave-run/stave/gateway/kube/schema"
	"github.com/stave-run/stave/projections"
)

// listed is what clients are told of the kinds that there are. It is made anew by the
// first request after a definition or an extension came, changed or went.
type listed struct {
	mu     sync.Mutex
	of     string        // the definitions that it was made of; what is below is only used while it is made anew
	kinds  []events.Kind // that they add
	view   projections.State
	answer http.Handler
}

// extras answers for discovery and OpenAPI.
func (s *Server) extras() http.Handler {
	v := s.Views.Durable()
	var now strings.Builder
	for _, r := range []events.Resource{events.Definitions, events.APIServices} {
		for o := range v.List(r, "") {
			now.WriteString(string(o.UID) + "@" + o.Position.String() + " ")
		}
	}
	fmt.Fprint(&now, s.beyond.editionNow())
	s.listed.mu.Lock()
	defer s.listed.mu.Unlock()
	if s.listed.answer == nil || s.listed.of != now.String() {
		s.listed.of, s.listed.view = now.String(), v
		s.listed.kinds = nil
		if s.Schemas != nil {
			s.listed.kinds = slices.Clone(v.Kinds().Custom())
		}
		s.listed.answer = s.newExtras()
	}
	return s.listed.answer
}

// everyKind is what is served, while what clients are told is made.
func (s *Server) everyKind() []events.Kind { return append(served(), s.listed.kinds...) }

// definitionOf is what makes a kind; nil for a kind of ours.
func (s *Server) definitionOf(v projections.State, k events.Kind) *custom.Definition {
	if !k.Custom() || s.Schemas == nil {
		return nil
	}
	row, ok := v.Definition(k.Resource)
	if !ok {
		return nil
	}
	d, err := s.Schemas.Of(row)
	if err != nil {
		return nil // its requests say why
	}
	return d
}

// customParts are the subresources of what a definition makes.
func (s *Server) customParts(k events.Kind) []string {
	var out []string
	d := s.definitionOf(s.listed.view, k)
	if d == nil || d.Versions[k.Version] == nil {
		return nil
	}
	if d.Versions[k.Version].Scale() != nil {
		out = append(out, "scale")
	}
	if d.HasStatus(k.Version) {
		out = append(out, statusPart)
	}
	return out
}

// shapeOf describes the objects of a kind that a definition makes.
func (s *Server) shapeOf(v projections.State, k events.Kind) *kubeschema.Shape {
	if d := s.definitionOf(v, k); d != nil {
		return shapesOf(d)(k)
	}
	return nil
}
