package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// maxAwaited is how many objects are watched at a time; the others have their turn.
const maxAwaited = 32

// waited is an object that is waited for.
type waited struct {
	key  events.Key
	goal goal
	met  string // printed when it is reached
	// impatient ends the waiting for an image that its registry does not have.
	impatient bool
	// say, if set, tells where the object is.
	say func(json.RawMessage) string
	// await is how; nil is session.await.
	await func(context.Context, goal) error
}

// brokenPod is a pod that will not become ready by itself.
type brokenPod struct{ what string }

// Error implements error.
func (e brokenPod) Error() string { return e.what }

// awaitAll waits for all of it, at the same time, shows how far it is, and
// prints the results in order. With together, the first that fails ends it.
func (s *session) awaitAll(ctx context.Context, all []waited, p *progress, together bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.begin()
	defer p.end()
	errs := make([]error, len(all))
	running := make(chan struct{}, maxAwaited)
	var group sync.WaitGroup
	for i, w := range all {
		running <- struct{}{}
		group.Go(func() {
			defer func() { <-running }()
			if errs[i] = s.awaitOne(ctx, w, p); errs[i] != nil && together {
				cancel()
			}
		})
	}
	group.Wait()
	p.end()
	return s.tellAwaited(all, errs)
}

// tellAwaited prints what was reached; what was only given up because of another
// failure is not held against anybody.
func (s *session) tellAwaited(all []waited, errs []error) error {
	var failed []error
	for i, w := range all {
		switch err := errs[i]; {
		case err == nil && w.met != "" && !s.Quiet:
			fmt.Fprintln(s.out, w.met)
		case err != nil:
			failed = append(failed, err)
		}
	}
	own := failed[:0:0]
	for _, err := range failed {
		if !errors.Is(err, context.Canceled) {
			own = append(own, err)
		}
	}
	if len(own) == 0 && len(failed) > 0 {
		return failed[0]
	}
	return errors.Join(own...)
}

// awaitOne waits for one object and shows it with its pods meanwhile.
func (s *session) awaitOne(ctx context.Context, w waited, p *progress) error {
	ctx, give := context.WithCancelCause(ctx)
	b := p.branch(printedName(w.key))
	f := vigil{s: s, waited: w, progress: p, branch: b, give: give}
	defer f.stop()
	if w.await == nil {
		w.await = func(ctx context.Context, g goal) error { return s.await(ctx, w.key, g) }
	}
	g := w.goal
	g.seen = func(raw json.RawMessage) { f.see(ctx, raw) }
	err := w.await(ctx, g)
	var broken brokenPod
	if errors.As(context.Cause(ctx), &broken) && err != nil {
		err = helped{fmt.Errorf("%s will not become ready: %w", printedName(w.key), broken), "correct the manifest and apply it again; what was applied stays as it is"}
	}
	p.ended(b)
	return f.reasons(err)
}

// vigil is one object with its pods while it is waited for.
type vigil struct {
	s *session
	waited
	progress *progress
	branch   *branch
	give     context.CancelCauseFunc

	once   sync.Once
	pods   sync.WaitGroup
	mu     sync.Mutex
	leaves []leaf
}

// see takes a version of the object.
func (f *vigil) see(ctx context.Context, raw json.RawMessage) {
	if f.say != nil {
		f.progress.state(f.branch, f.say(raw))
	}
	if f.key.Resource == events.Pods {
		if pod := new(leaves).of([]json.RawMessage{raw}); len(pod) == 1 {
			f.took(pod)
			if f.say == nil {
				f.progress.state(f.branch, pod[0].state)
			}
			f.progress.image(f.branch, pod[0])
		}
		return
	}
	var o workload
	if json.Unmarshal(raw, &o) != nil || o.Spec.Template == nil || o.selector() == "" {
		return
	}
	f.once.Do(func() {
		req := wire.ReadRequest{Resource: events.Pods, Namespace: f.key.Namespace, LabelSelector: o.selector()}
		f.pods.Go(func() {
			all := leaves{template: o.Spec.Template}
			f.s.mirror(ctx, req, func(pods []json.RawMessage) {
				now := all.of(pods)
				f.took(now)
				f.progress.leaves(f.branch, now)
			})
		})
	})
}

func (f *vigil) took(leaves []leaf) {
	f.mu.Lock()
	f.leaves = leaves
	f.mu.Unlock()
	if !f.impatient {
		return
	}
	for _, l := range leaves {
		if l.broken != "" {
			f.give(brokenPod{l.broken})
		}
	}
}

func (f *vigil) stop() {
	f.give(context.Canceled)
	f.pods.Wait()
}

// maxReasons is how many pods an error names.
const maxReasons = 5

// reasons adds to an error of lost patience what the pods wait for.
func (f *vigil) reasons(err error) error {
	h, ok := err.(helped)
	if !ok || !errors.Is(err, errTimedOut) {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	n := 0
	for _, l := range f.leaves {
		if l.ready {
			continue
		}
		if n++; n <= maxReasons {
			fmt.Fprintf(&b, "\n  %s: %s", l.name, plainText(l.state))
		}
	}
	if n > maxReasons {
		fmt.Fprintf(&b, "\n  and %d more", n-maxReasons)
	}
	return helped{stillWaiting{h.error, b.String()}, h.help}
}
