package main

import (
	"context"
	"slices"
	"sync"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/custom"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
)

// known are the kinds of the cluster that this command talks to. Its definitions
// are asked for once, when a type is named that this release does not have.
var known catalogue

// catalogue is what is known of kinds. One command talks to one cluster.
type catalogue struct {
	once  sync.Once
	ask   func() (wire.KindsReply, error) // nil before there is a session
	reply wire.KindsReply
	kinds events.Catalogue
	err   error
}

// askBy has the cluster of a session asked.
func (c *catalogue) askBy(ctx context.Context, s *session) {
	c.ask = func() (wire.KindsReply, error) {
		done := s.longAgo(s.at.Moment)
		reply, err := ask[wire.KindsReply](ctx, s, wire.VerbKinds, wire.KindsRequest{At: s.at.Moment})
		done()
		if err == nil {
			err = refused(reply.Error)
		}
		return reply, err
	}
}

// all are the kinds that there are; those of this release when the cluster does
// not answer, and then err says why.
func (c *catalogue) all() (events.Catalogue, error) {
	if c.ask == nil {
		return events.Catalogue{}, nil
	}
	c.once.Do(func() {
		if c.reply, c.err = c.ask(); c.err == nil {
			c.kinds = c.kinds.With(c.reply.Catalogue().Custom()...)
		}
	})
	return c.kinds, c.err
}

// inCategory are the cluster's own kinds that their definitions put into a category.
func (c *catalogue) inCategory(category string) []events.Kind {
	kinds, err := c.all()
	if err != nil {
		return nil // whoever needs more than our own kinds finds out
	}
	return slices.DeleteFunc(kinds.All(), func(k events.Kind) bool {
		return !k.Custom() || !slices.Contains(c.reply.Categories(k), category)
	})
}

// defined takes over what definitions in manifests say: others beside them may be
// of their kinds.
func (c *catalogue) defined(docs []manifest.Doc) {
	for _, d := range docs {
		if def, ok := d.Object.(*apiextensionsv1.CustomResourceDefinition); ok {
			c.kinds = c.kinds.With(events.CustomKinds(def)...)
		}
	}
}

// kindOf is the kind of a resource.
func kindOf(r events.Resource) (events.Kind, bool) {
	if k, ok := events.KindOf(r); ok {
		return k, true
	}
	kinds, _ := known.all() // one that nobody knows is told of as such
	return kinds.Of(r)
}

// kindFor is the kind of an object that the cluster showed.
func kindFor(apiVersion, kind string) (events.Kind, bool) {
	if k, ok := events.KindFor(apiVersion, kind); ok {
		return k, true
	}
	kinds, _ := known.all() // likewise
	return kinds.For(apiVersion, kind)
}

// tableOf is the table of objects of a kind.
func tableOf(k events.Kind, objects []events.Object, now time.Time) (table.Table, error) {
	if !k.Custom() {
		return table.Of(k.Resource, objects, now), nil
	}
	_, err := known.all()
	if err != nil {
		return table.Table{}, err
	}
	if len(objects) > 0 { // where a webhook converts, they are shown in the version that is kept
		k.Version = objects[0].GetObjectKind().GroupVersionKind().Version
	}
	return custom.Table(k, known.reply.Columns(k), objects, now)
}
