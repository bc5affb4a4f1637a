package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/stave-run/stave/bus"
)

// Wires connect everybody in one process who shares the value.
type Wires struct {
	mu      sync.Mutex
	next    int
	servers map[int]*server
	doors   map[int]*acceptor
	feeds   map[int]*feed
	streams map[*pipe]struct{}
}

// NewWires are wires with nobody at them.
func NewWires() *Wires {
	return &Wires{servers: map[int]*server{}, doors: map[int]*acceptor{}, feeds: map[int]*feed{}, streams: map[*pipe]struct{}{}}
}

type server struct {
	pattern string
	answer  func(context.Context, bus.Request) []byte
	slots   chan struct{}
	large   chan struct{}
	busy    sync.WaitGroup
}

type acceptor struct {
	pattern string
	serve   func(context.Context, bus.Request, bus.Stream)
	ctx     context.Context
	busy    sync.WaitGroup
}

// feedBuffer is how many messages a subscriber may be behind before it loses some.
const feedBuffer = 1 << 16

type feed struct {
	pattern  string
	messages chan bus.Message
}

// lowest finds the oldest entry whose pattern takes the subject, so that it
// never depends on the order of a map who answers.
func lowest[T any](m map[int]T, fits func(T) bool) (found T, ok bool) {
	for _, id := range slices.Sorted(maps.Keys(m)) {
		if fits(m[id]) {
			return m[id], true
		}
	}
	return found, false
}

// Request implements bus.Wires.
func (w *Wires) Request(ctx context.Context, subject string, body []byte) ([]byte, error) {
	if len(body) > bus.MaxRequest {
		return nil, fmt.Errorf("request %s of %d bytes, at most %d: %w", subject, len(body), bus.MaxRequest, bus.ErrTooLarge)
	}
	w.mu.Lock()
	s, ok := lowest(w.servers, func(s *server) bool { return bus.Matches(s.pattern, subject) })
	if ok {
		s.busy.Add(1)
	}
	w.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("request %s: %w", subject, bus.ErrNoServer)
	}
	reply := make(chan []byte, 1)
	r := bus.Request{Subject: subject, From: bus.Requester(subject), Body: slices.Clone(body)}
	go func() {
		defer s.busy.Done()
		s.slots <- struct{}{}
		defer func() { <-s.slots }()
		if len(body) > bus.SmallRequest {
			s.large <- struct{}{}
			defer func() { <-s.large }()
		}
		// the server doesn't see the client's ctx: over a network it could not
		reply <- s.answer(context.WithoutCancel(ctx), r)
	}()
	select {
	case b := <-reply:
		return slices.Clone(b), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("request %s: %w", subject, ctx.Err())
	}
}

// Serve implements bus.Wires.
func (w *Wires) Serve(subject string, answer func(ctx context.Context, r bus.Request) []byte) (stop func(), err error) {
	return w.serve(subject, bus.MaxRequests, answer)
}

// ServeWaiting implements bus.Wires.
func (w *Wires) ServeWaiting(subject string, answer func(ctx context.Context, r bus.Request) []byte) (stop func(), err error) {
	return w.serve(subject, bus.MaxWaiting, answer)
}

func (w *Wires) serve(subject string, most int, answer func(ctx context.Context, r bus.Request) []byte) (stop func(), err error) {
	s := &server{pattern: subject, answer: answer, slots: make(chan struct{}, most), large: make(chan struct{}, bus.MaxRequests)}
	w.mu.Lock()
	defer w.mu.Unlock()
	id := w.id()
	w.servers[id] = s
	return func() {
		w.mu.Lock()
		delete(w.servers, id)
		w.mu.Unlock()
		s.busy.Wait()
	}, nil
}

func (w *Wires) id() int { w.next++; return w.next }

// Publish implements bus.Wires.
func (w *Wires) Publish(m bus.Message) error {
	m.Header, m.Body = maps.Clone(m.Header), slices.Clone(m.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.feeds {
		if !bus.Matches(f.pattern, m.Subject) {
			continue
		}
		select {
		case f.messages <- m:
		default: // too slow: the positions in the feed will show it
		}
	}
	return nil
}

// Subscribe implements bus.Wires.
func (w *Wires) Subscribe(subject string, f func(bus.Message)) (stop func(), err error) {
	s := &feed{pattern: subject, messages: make(chan bus.Message, feedBuffer)}
	w.mu.Lock()
	defer w.mu.Unlock()
	id := w.id()
	w.feeds[id] = s
	go func() {
		for m := range s.messages {
			f(m)
		}
	}()
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, ok := w.feeds[id]; ok {
			delete(w.feeds, id)
			close(s.messages)
		}
	}, nil
}

// Dial implements bus.Wires.
func (w *Wires) Dial(ctx context.Context, subject string, hello []byte) (bus.Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("dial %s: %w", subject, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := lowest(w.doors, func(a *acceptor) bool { return bus.Matches(a.pattern, subject) })
	if !ok {
		return nil, fmt.Errorf("dial %s: %w", subject, bus.ErrNoServer)
	}
	p := newPipe()
	w.streams[p] = struct{}{}
	a.busy.Add(1)
	r := bus.Request{Subject: subject, From: bus.Requester(subject), Body: slices.Clone(hello)}
	go w.run(a, p, r)
	return &end{pipe: p, in: &p.back, out: &p.forth}, nil
}

// run serves one stream; its ctx ends when the stream is lost.
func (w *Wires) run(a *acceptor, p *pipe, r bus.Request) {
	defer a.busy.Done()
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	stop := p.onLoss(cancel)
	defer stop()
	s := &end{pipe: p, in: &p.forth, out: &p.back}
	a.serve(ctx, r, s)
	_ = s.Close()
	p.leave()
	w.mu.Lock()
	delete(w.streams, p)
	w.mu.Unlock()
}

// Accept implements bus.Wires.
func (w *Wires) Accept(subject string, serve func(ctx context.Context, hello bus.Request, s bus.Stream)) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	a := &acceptor{pattern: subject, serve: serve, ctx: ctx}
	w.mu.Lock()
	defer w.mu.Unlock()
	id := w.id()
	w.doors[id] = a
	return func() {
		w.mu.Lock()
		delete(w.doors, id)
		w.mu.Unlock()
		cancel()
		a.busy.Wait()
	}, nil
}

// Sever loses every open stream, as when the machine at one end goes away.
func (w *Wires) Sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.streams {
		p.lose()
	}
	clear(w.streams)
}

var _ bus.Wires = (*Wires)(nil)
