package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// ofWorkload prints the logs of all pods of what was named.
func (c *logsCmd) ofWorkload(ctx context.Context, s *session) error {
	kind, name, err := oneTarget(c.What, "pod")
	if err != nil {
		return err
	}
	k := s.key(kind, name)
	if kind.Resource == events.Pods {
		return errors.New("--all-pods is for a workload: name a deployment, or leave it out")
	}
	selector, err := s.selectorOf(ctx, k)
	if err != nil {
		return err
	}
	return c.ofSelector(ctx, s, k.Namespace, selector)
}

// ofSelector prints the logs of all pods that match, and follows those that come.
func (c *logsCmd) ofSelector(ctx context.Context, s *session, namespace string, selector labels.Selector) error {
	req := wire.ReadRequest{Resource: events.Pods, Namespace: namespace, LabelSelector: selector.String()}
	reply, err := s.read(ctx, req)
	if err != nil {
		return err
	}
	objects, err := decodeAll(reply.Objects)
	if err != nil {
		return err
	}
	var sources []source
	pods := map[types.UID]*corev1.Pod{}
	for _, o := range objects {
		pod := o.(*corev1.Pod)
		pods[pod.UID] = pod
		of, err := c.sources(s, pod)
		if err != nil {
			return err
		}
		sources = append(sources, of...)
	}
	if len(sources) == 0 {
		fmt.Fprintf(s.err, "No resources found in %s namespace.\n", namespace)
	}
	out := newLogOutput(s, c.Prefix || c.AllPods || s.tty, true)
	if !c.Follow {
		return c.inTurn(ctx, s, out, sources)
	}
	if len(sources) > c.MaxLogRequests {
		return c.tooMany(len(sources))
	}
	f := newFollowing(c, s, out, pods)
	f.later(ctx, sources, false)
	return f.run(ctx, wire.WatchRequest{ReadRequest: req, From: reply.Position})
}

// together follows several logs of one pod until all have ended.
func (c *logsCmd) together(ctx context.Context, s *session, out *logOutput, sources []source) error {
	errs := make([]error, len(sources))
	var running sync.WaitGroup
	for i, of := range sources {
		running.Go(func() { errs[i] = c.read(ctx, s, out, of) })
	}
	running.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.forgive(s, errors.Join(errs...))
}

// following is a logs -f of whatever matches a selector. The fields are those of
// one goroutine; readings tell it of their end.
type following struct {
	cmd    *logsCmd
	s      *session
	out    *logOutput
	pods   map[types.UID]*corev1.Pod
	begun  map[string]bool // runs whose log was opened
	active int
	over   chan error // of a reading
	warned bool
	had    bool // there was a pod once
}

func newFollowing(c *logsCmd, s *session, out *logOutput, pods map[types.UID]*corev1.Pod) *following {
	return &following{cmd: c, s: s, out: out, pods: pods, begun: map[string]bool{}, over: make(chan error), had: len(pods) > 0}
}

// run watches the pods until none can write any more.
func (f *following) run(ctx context.Context, req wire.WatchRequest) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := make(chan wire.WatchEvent)
	broken := make(chan error, 1)
	go func() { broken <- f.s.watchOn(ctx, req, changes) }()
	for !f.finished() {
		select {
		case e := <-changes:
			if err := f.change(ctx, e); err != nil {
				return err
			}
		case err := <-f.over:
			f.active--
			if err := f.ended(ctx, err); err != nil {
				return err
			}
		case err := <-broken:
			return err
		}
	}
	return nil
}

// ended takes the end of a reading. A pod that came and went before its log was
// opened is no failure of a verb that follows what comes.
func (f *following) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var refusal *statusError
	if errors.As(err, &refusal) && refusal.Code == 404 {
		err = nil
	}
	if err := f.cmd.forgive(f.s, err); err != nil {
		return err
	}
	for _, pod := range f.pods { // there is room now for one that was left out
		if err := f.look(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}

// finished tells whether nothing more can come: every pod has run to its end, or is gone.
func (f *following) finished() bool {
	if f.active > 0 || !f.had {
		return false
	}
	for _, p := range f.pods {
		if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			return false
		}
	}
	return true
}

// change begins to read what has begun to run.
func (f *following) change(ctx context.Context, e wire.WatchEvent) error {
	o, err := decodeObject(e.Object)
	if err != nil {
		return err
	}
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("decode watch event: it is of a %T", o)
	}
	if e.Type == "DELETED" {
		for uid, p := range f.pods {
			if p.Name == pod.Name && p.Namespace == pod.Namespace {
				delete(f.pods, uid)
			}
		}
		return nil
	}
	f.pods[pod.UID], f.had = pod, true
	return f.look(ctx, pod)
}

// look begins to read what a pod has begun to run.
func (f *following) look(ctx context.Context, pod *corev1.Pod) error {
	sources, err := f.cmd.sources(&session{terminal: quietly(f.s.terminal)}, pod)
	if err != nil {
		return f.cmd.forgive(f.s, err)
	}
	f.later(ctx, sources, true)
	return nil
}

// quietly is a terminal that says nothing: which container is the default one
// was said of the pods before.
func quietly(t *terminal) *terminal {
	q := *t
	q.err = &strings.Builder{}
	return &q
}

// later begins the readings of runs that are new. Those that came while we look
// are read from their first line on.
func (f *following) later(ctx context.Context, sources []source, whole bool) {
	for _, of := range sources {
		id := fmt.Sprint(of.pod.UID, "/", of.container, "/", of.run)
		if of.run == 0 || f.begun[id] {
			continue
		}
		if f.active >= f.cmd.MaxLogRequests {
			if !f.warned {
				f.warned = true
				fmt.Fprintf(f.s.err, "Warning: more than %d logs at once: that of %s is left out, use --max-log-requests to increase the limit\n", f.cmd.MaxLogRequests, of.pod.Name)
			}
			continue
		}
		f.begun[id] = true
		f.active++
		cmd := *f.cmd
		if all := int64(-1); whole {
			cmd.Tail = &all
		}
		go func() {
			err := cmd.read(ctx, f.s, f.out, of)
			select {
			case f.over <- err:
			case <-ctx.Done():
			}
		}()
	}
}

// watchOn sends changes after a position, over restarts of the server, until ctx ends.
func (s *session) watchOn(ctx context.Context, req wire.WatchRequest, to chan<- wire.WatchEvent) error {
	for ctx.Err() == nil {
		err := s.watchOnce(ctx, &req, func(e wire.WatchEvent) error {
			select {
			case to <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil && !errors.Is(err, errWatchCut) {
			return err
		}
		sleep(ctx, 200*time.Millisecond)
	}
	return ctx.Err()
}

// watchOnce passes on changes until the stream ends; the request then says from
// where to go on.
func (s *session) watchOnce(ctx context.Context, req *wire.WatchRequest, f func(wire.WatchEvent) error) error {
	stream, err := s.dial(ctx, wire.Subject(s.user, wire.VerbWatch), req)
	if err != nil {
		return fmt.Errorf("%w: %w", errWatchCut, err)
	}
	defer stream.Close()
	for {
		frame, err := stream.Recv(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", errWatchCut, err)
		case frame.Channel == wire.Failed:
			return fmt.Errorf("%w: %w", errWatchCut, failedFrame(frame.Data))
		}
		var e wire.WatchEvent
		if err := json.Unmarshal(frame.Data, &e); err != nil {
			return fmt.Errorf("decode watch event: %w", err)
		}
		req.From = e.Position
		if err := f(e); err != nil {
			return err
		}
	}
}
