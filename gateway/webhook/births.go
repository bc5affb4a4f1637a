package webhook

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/policy"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
)

// maxBirths is about how many objects that controllers wish for are asked at a time.
const maxBirths = 256

// Births asks about what controllers wish for, as is asked about those that clients make. What is not
// answered, because this process ends or the writer is another one, is wished for again.
type Births struct {
	chain  *Chain
	answer func(context.Context, reconcilers.Reconciler, events.Key, birth.Answer) error
	ctx    context.Context
	stop   context.CancelFunc
	slots  chan struct{}
	busy   sync.WaitGroup

	mu  sync.Mutex
	all map[question]*asking
}

// question is what is the same for all objects that look alike and are wished for in one's name.
type question struct {
	of    events.Key
	about events.Hash
}

// asking is how far a question is.
type asking struct {
	by     reconcilers.Reconciler
	object events.Object
	wanted int // so many of it, by the newest decision
	asked  int // so many are asked about, or were refused a moment ago
}

// NewBirths asks a chain until Close. answer has the writer decide what follows from an answer (birth.Answered).
func NewBirths(c *Chain, answer func(ctx context.Context, by reconcilers.Reconciler, of events.Key, a birth.Answer) error) *Births {
	b := &Births{chain: c, answer: answer, slots: make(chan struct{}, maxBirths), all: map[question]*asking{}}
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b
}

// Close ends what is under way.
func (b *Births) Close() error {
	b.stop()
	b.busy.Wait()
	return nil
}

// Wished takes what a controller wishes for now; it does not block (run.Config).
func (b *Births) Wished(by reconcilers.Reconciler, of events.Key, wishes []reconcilers.Wish) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wanted := map[question]int{}
	for _, w := range wishes {
		q := question{of, birth.SumOf(w)}
		if wanted[q]++; b.all[q] == nil {
			b.all[q] = &asking{by: by, object: w.Object}
		}
	}
	for q, n := range wanted {
		b.all[q].wanted = n
		b.fill(q)
	}
}

// fill asks about as many as are wanted. The lock is held.
func (b *Births) fill(q question) {
	a := b.all[q]
	for ; a.asked < a.wanted && b.ctx.Err() == nil; a.asked++ {
		b.busy.Go(func() { b.ask(q, a) })
	}
	if a.asked == 0 {
		delete(b.all, q)
	}
}

// ask asks about one object and brings the answer to the writer.
func (b *Births) ask(q question, a *asking) {
	select {
	case b.slots <- struct{}{}:
	case <-b.ctx.Done():
		return
	}
	answer := b.chain.bear(b.ctx, a.object, q.of.Resource, q.about, false)
	<-b.slots
	if b.ctx.Err() != nil {
		return // nobody refused it
	}
	b.mu.Lock()
	a.wanted-- // until the next decision, which follows from the answer, says it better
	b.mu.Unlock()
	if err := b.answer(b.ctx, a.by, q.of, answer); err != nil && b.ctx.Err() == nil {
		b.chain.Logger.Warn("what webhooks say is not decided", "of", q.of.String(), "error", err)
	}
	if answer.Said != "" {
		b.rest()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a.asked--
	b.fill(q)
}

// rest is how long a refusal stands before its controller may ask again.
func (b *Births) rest() {
	select {
	case <-time.After(birth.Again):
	case <-b.ctx.Done():
	}
}

// Foretell is what all who are asked would say in a state of what the controller of a kind wishes for. Webhooks hear that it is
// a dry run.
func (c *Chain) Foretell(ctx context.Context, v projections.State, of events.Resource, w reconcilers.Wish) birth.Answer {
	return c.on(v).bear(ctx, w.Object, of, birth.SumOf(w), true)
}

// bear is what all who are asked say of an object that the controller of a kind wants to make.
func (c *Chain) bear(ctx context.Context, wished events.Object, of events.Resource, about events.Hash, dryRun bool) birth.Answer {
	out := birth.Answer{About: about}
	o := wished.DeepCopyObject().(events.Object)
	request := policy.Birth(o, of, dryRun)
	err := c.Admit(ctx, request, nil)
	if err == nil {
		err = c.Validate(ctx, request, nil)
	}
	if err != nil {
		out.Said = err.Error()
		return out
	}
	if !bytes.Equal(events.MustBody(o), events.MustBody(wished)) {
		out.Object = o
	}
	return out
}
