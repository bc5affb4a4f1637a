package kube

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// page is where a list goes on: all pages of a list show one state.
type page struct {
	view     projections.State
	position events.Position // what the list says as its resourceVersion
	from     *pageToken      // nil for the first page
}

// pageToken is what a client hands back for the next page.
type pageToken struct {
	Position  events.Position `json:"p"`            // 0: of what there is when it is handed back
	Namespace string          `json:"ns,omitempty"` // of the last object shown
	Name      string          `json:"n"`
}

func (t pageToken) String() string { return base64.RawURLEncoding.EncodeToString(events.MustBody(t)) }

// tooOld refuses a token whose state is gone, in Kubernetes' words, with one by which the rest can be read all the same.
func tooOld(rest string) error {
	err := apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. " +
		"You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. " +
		"Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted " +
		"between the time the first chunk was returned and now may show up in the list.")
	err.ErrStatus.Continue = rest
	return err
}

// last is the key of the last object that the pages before have shown; without a
// name when there are none.
func (p page) last(k events.Kind) events.Key {
	if p.from == nil {
		return events.Key{Resource: k.Resource}
	}
	return events.Key{Resource: k.Resource, Namespace: p.from.Namespace, Name: p.from.Name}
}

// pageOf is the state that a list reads.
func (o *objects) pageOf(ctx context.Context, opts *internalversion.ListOptions) (page, error) {
	if opts.Continue != "" {
		return o.nextPage(ctx, opts.Continue)
	}
	p, err := position(opts.ResourceVersion)
	if err != nil {
		return page{}, err
	}
	if exact(opts) {
		v, err := o.stateAt(ctx, p.Seq())
		return page{view: v, position: p}, err
	}
	v, err := o.atLeast(ctx, p)
	return page{view: v, position: v.End()}, err
}

func (o *objects) nextPage(ctx context.Context, token string) (page, error) {
	var t pageToken
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(raw, &t)
	}
	if err != nil || t.Name == "" {
		return page{}, apierrors.NewBadRequest("continue key is not valid")
	}
	if t.Position == 0 {
		v, err := o.atLeast(ctx, 0)
		return page{view: v, position: v.End(), from: &t}, err
	}
	if v, ok := o.pages.get(t.Position.Seq()); ok {
		return page{view: v, position: t.Position, from: &t}, nil
	}
	v, err := o.stateAt(ctx, t.Position.Seq())
	if apierrors.IsResourceExpired(err) {
		err = tooOld(pageToken{Namespace: t.Namespace, Name: t.Name}.String())
	}
	return page{view: v, position: t.Position, from: &t}, err
}

// keptPages bounds the states that are kept for lists under way, and keptFor for
// how long after the last page; those of older ones are folded again.
const (
	keptPages = 8
	keptFor   = time.Minute
)

// pages are the states of lists that are read page by page, newest last. The
// zero value is empty.
type pages struct {
	mu   sync.Mutex
	kept []projections.State
	end  *time.Timer // forgets them: what changed since each of them stays in memory
}

// forget drops all states.
func (p *pages) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = nil
}

func (p *pages) get(seq events.Seq) (projections.State, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.kept {
		if v.Seq == seq {
			return v, true
		}
	}
	return projections.State{}, false
}

// keep remembers a page's state and writes the token of the next one.
func (p *pages) keep(at page, namespace, name string) string {
	p.mu.Lock()
	p.kept = slices.DeleteFunc(p.kept, func(v projections.State) bool { return v.Seq == at.view.Seq })
	if len(p.kept) == keptPages {
		p.kept = slices.Delete(p.kept, 0, 1)
	}
	p.kept = append(p.kept, at.view)
	if p.end == nil {
		p.end = time.AfterFunc(keptFor, p.forget)
	}
	p.end.Reset(keptFor)
	p.mu.Unlock()
	return pageToken{at.position, namespace, name}.String()
}
