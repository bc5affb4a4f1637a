package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// read answers with the objects that match.
func (s *Server) read(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.ReadRequest](r)
	if err != nil {
		return nil, err
	}
	v, now, err := s.viewAt(ctx, req.At, req.MinSeq)
	if err != nil {
		return nil, err
	}
	m, err := s.matching(v, req)
	if err != nil {
		return nil, err
	}
	reply := wire.ReadReply{Position: endOf(v), Now: now, Objects: []json.RawMessage{}}
	if len(req.Names) == 0 {
		reply.Objects, err = m.list(v, reply.Now)
		return reply, err
	}
	for _, name := range req.Names {
		o, ok := v.Object(events.Key{Resource: req.Resource, Namespace: req.Namespace, Name: name}, reply.Now)
		if !ok {
			reply.Missing = append(reply.Missing, name)
			continue
		}
		raw, err := s.encode(v, o, m.kind.Resource)
		if err != nil {
			return nil, err
		}
		reply.Objects = append(reply.Objects, raw)
	}
	return reply, nil
}

// endOf is the position after every row of the last event folded.
func endOf(v projections.State) events.Position { return events.At(v.Seq, events.MaxRows-1) }

// match is a request's filter.
type match struct {
	kind      events.Kind
	namespace string
	names     []string
	labels    labels.Selector
	fields    fieldSelector
	encode    func(projections.State, events.Object, events.Resource) (json.RawMessage, error)
}

// encode is an object of a state as people see it: Secrets opened, and one of a
// definition with the defaults that it has by now.
func (s *Server) encode(v projections.State, o events.Object, r events.Resource) (json.RawMessage, error) {
	if u, ok := o.(*unstructured.Unstructured); ok && s.Rules != nil {
		if err := s.shape(v, u, r); err != nil {
			return nil, err
		}
	}
	raw, err := json.Marshal(s.Vault.Show(o))
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", o.GetName(), err)
	}
	return raw, nil
}

// shape holds an object to the definition that it has now.
func (s *Server) shape(v projections.State, u *unstructured.Unstructured, r events.Resource) error {
	row, ok := v.Definition(r)
	if !ok {
		return nil
	}
	d, err := s.Rules.Of(row)
	if err == nil && d.Versions[u.GroupVersionKind().Version] == nil {
		return nil // it is kept in a version that is gone
	}
	if err == nil {
		_, err = d.Shape(u)
	}
	if err != nil {
		return fmt.Errorf("show %s: %w", u.GetName(), err)
	}
	return nil
}

func (s *Server) matching(v projections.State, r wire.ReadRequest) (match, error) {
	kind, ok := v.KindOf(r.Resource)
	if !ok {
		return match{}, badRequest{fmt.Errorf("the server doesn't have a resource type %q", r.Resource)}
	}
	if !kind.Namespaced {
		r.Namespace = ""
	}
	sel, err := labels.Parse(r.LabelSelector)
	if err != nil {
		return match{}, badRequest{fmt.Errorf("unable to parse label selector: %w", err)}
	}
	fields, err := parseFields(v, r.Resource, r.FieldSelector)
	if err != nil {
		return match{}, badRequest{err}
	}
	return match{kind, r.Namespace, r.Names, sel, fields, s.encode}, nil
}

func (m match) list(v projections.State, now time.Time) ([]json.RawMessage, error) {
	out := []json.RawMessage{}
	for o := range v.Objects(m.kind.Resource, m.namespace, now) {
		raw, ok, err := m.keep(v, o)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, raw)
		}
	}
	return out, nil
}

// keep encodes an object if it matches.
func (m match) keep(v projections.State, o events.Object) (json.RawMessage, bool, error) {
	if m.namespace != "" && o.GetNamespace() != m.namespace || !m.labels.Matches(labels.Set(o.GetLabels())) ||
		len(m.names) > 0 && !slices.Contains(m.names, o.GetName()) || !m.fields.matches(o) {
		return nil, false, nil
	}
	raw, err := m.encode(v, o, m.kind.Resource)
	return raw, err == nil, err
}
