package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// Headers that the server acts on (ADR-50 of NATS for the batch).
const (
	headerExpect   = "Nats-Expected-Last-Subject-Sequence"
	headerBatch    = "Nats-Batch-Id"
	headerBatchSeq = "Nats-Batch-Sequence"
	headerCommit   = "Nats-Batch-Commit"
)

// The server's error codes that matter. Only codeWrongLast is a conflict:
// codeMarked says the same words of a writer's own append still under way.
const (
	codeWrongLast      = 10071
	codeMarked         = 10164
	codeInProcess      = 10158
	codeTooManyWaiting = 10167
	codeTooManyBatches = 10210
	codeNoResources    = 10023
	codeNoStorage      = 10047
	codeStoreFailed    = 10077
)

const (
	// ackTimeout is how long an acknowledgement may take before it is in doubt.
	ackTimeout = 10 * time.Second
	// window is how many appends of one caller may be unacknowledged.
	window = 1024
	// tries bounds the attempts at an append that the server put off.
	tries = 50
	// retryPause is what lies between them.
	retryPause = 2 * time.Millisecond
)

// errAgain says that the server put an append off without deciding anything.
var errAgain = errors.New("server is busy with an earlier append")

// ack is the server's answer to an append.
type ack struct {
	Seq   events.Seq `json:"seq"`
	Error *struct {
		Code        int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

// Append implements bus.Appender: for the control plane one event is a plain publish, several are an
// atomic batch, which costs milliseconds on a file store.
func (c *Client) Append(ctx context.Context, batch []bus.Record) (events.Seq, error) {
	if err := bus.CheckBatch(batch); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("append: %w", err)
	}
	if c.user != controlUser {
		return c.appendThrough(ctx, batch)
	}
	if len(batch) == 1 {
		seqs, errs := c.singles(ctx, batch)
		return seqs[0], errs[0]
	}
	return c.atomic(ctx, batch)
}

// appendEach appends several batches, each for itself: whole or not at all, with
// its own conflict. Batches of one event, and of bodies before it, are pipelined: a
// stranger's event may then stand among them, and the first sequence is told so that
// the last event's follows from it. Where any has more, the lot goes as one atomic
// batch first, since a small one costs as much as a big one; when that fails, each
// goes alone.
func (c *Client) appendEach(ctx context.Context, batches [][]bus.Record) ([]events.Seq, []error) {
	firsts, errs := make([]events.Seq, len(batches)), make([]error, len(batches))
	var all []bus.Record
	sound, loose := true, true
	for i, b := range batches {
		errs[i] = bus.CheckBatch(b)
		sound, loose = sound && errs[i] == nil, loose && bodiesFirst(b)
		all = append(all, b...)
	}
	switch {
	case sound && loose:
		return c.loose(ctx, batches, all)
	case sound && len(all) <= bus.MaxBatch:
		first, err := c.atomic(ctx, all)
		if !isConflict(err) {
			for i, b := range batches {
				firsts[i], errs[i] = first, err
				first += events.Seq(len(b))
			}
			return firsts, errs
		}
	}
	for i, b := range batches {
		if errs[i] == nil {
			firsts[i], errs[i] = c.Append(ctx, b)
		}
	}
	return firsts, errs
}

// bodiesFirst tells whether all events of a batch but the last are bodies stored by content. One that nobody refers to
// changes nothing, and it is the same whenever it is stored again: they may land without the last, though not it without
// them, and need no atomic batch, which costs milliseconds.
func bodiesFirst(batch []bus.Record) bool {
	for i := range len(batch) - 1 {
		if r := batch[i]; r.Envelope.Subject.Class() != "template" || r.Expect != nil {
			return false
		}
	}
	return true
}

// loose appends batches of which all but the last event are bodies, one after the other without waiting in between.
func (c *Client) loose(ctx context.Context, batches [][]bus.Record, all []bus.Record) ([]events.Seq, []error) {
	firsts, errs := make([]events.Seq, len(batches)), make([]error, len(batches))
	seqs, each := c.singles(ctx, all)
	next := 0
	for i, b := range batches {
		end := next + len(b)
		switch errs[i] = errors.Join(each[next:end]...); {
		case errs[i] != nil:
		case !slices.IsSorted(seqs[next:end]):
			errs[i] = fmt.Errorf("append: what it refers to came later: %w", errAgain) // put off, and so this one is void
		default:
			firsts[i] = seqs[end-1] - events.Seq(len(b)-1)
		}
		next = end
	}
	return firsts, errs
}

func isConflict(err error) bool {
	var conflict *bus.ConflictError
	return errors.As(err, &conflict)
}

// landed is what became of one publish.
type landed struct {
	index int
	seq   events.Seq
	err   error
}

// singles publishes records one after the other without waiting in between.
func (c *Client) singles(ctx context.Context, records []bus.Record) ([]events.Seq, []error) {
	seqs, errs := make([]events.Seq, len(records)), make([]error, len(records))
	results := make(chan landed, len(records))
	sent, back := 0, 0
	for back < len(records) {
		for sent < len(records) && sent-back < window {
			i := sent
			sent++
			c.publish(message(records[i]), func(seq events.Seq, err error) { results <- landed{i, seq, err} })
		}
		select {
		case l := <-results: // each has a deadline of its own
			back++
			seqs[l.index], errs[l.index] = l.seq, l.err
		case <-ctx.Done():
			abandon(ctx, seqs, errs, sent)
			return seqs, errs
		}
	}
	for i := range records {
		if errors.Is(errs[i], errAgain) {
			seqs[i], errs[i] = c.again(ctx, message(records[i]))
		}
		errs[i] = told(records[i], errs[i])
	}
	return seqs, errs
}

// abandon says of every record without an outcome whether it was sent at all.
func abandon(ctx context.Context, seqs []events.Seq, errs []error, sent int) {
	for i := range seqs {
		switch {
		case i >= sent:
			errs[i] = fmt.Errorf("append: %w", ctx.Err())
		case seqs[i] == 0 && errs[i] == nil:
			errs[i] = fmt.Errorf("%w: %w", bus.ErrDoubt, ctx.Err())
		}
	}
}

// again repeats a publish that was put off.
func (c *Client) again(ctx context.Context, m *nats.Msg) (events.Seq, error) {
	for range tries {
		select {
		case <-ctx.Done():
			return 0, ctx.Err() // it was refused: no doubt about it
		case <-time.After(retryPause):
		}
		seq, err := c.answered(ctx, m)
		if !errors.Is(err, errAgain) {
			return seq, err
		}
	}
	return 0, fmt.Errorf("tried %d times: %w", tries, errAgain)
}

// told puts a refused record's subject into its error.
func told(r bus.Record, err error) error {
	var conflict *bus.ConflictError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &conflict):
		conflict.Subject = r.Envelope.Subject
		if r.Expect != nil {
			conflict.Want = *r.Expect
		}
		return conflict
	}
	return fmt.Errorf("append to %s: %w", r.Envelope.Subject, err)
}

// message encodes a record.
func message(r bus.Record) *nats.Msg {
	h := nats.Header{}
	for _, x := range r.Envelope.Headers() {
		h[x.Name] = []string{x.Value}
	}
	if r.Expect != nil {
		h[headerExpect] = []string{strconv.FormatUint(uint64(*r.Expect), 10)}
	}
	return &nats.Msg{Subject: string(r.Envelope.Subject), Header: h, Data: r.Envelope.Body}
}

// publish sends one message and calls done exactly once with what became of it,
// after ackTimeout at the latest. done must not block.
func (c *Client) publish(m *nats.Msg, done func(events.Seq, error)) {
	var forget func()
	var late *time.Timer
	once := make(chan struct{}, 1) // whoever fills it may call done
	end := func(seq events.Seq, err error) {
		select {
		case once <- struct{}{}:
		default:
			return
		}
		if seq != 0 {
			c.wrote(seq)
		}
		done(seq, err)
	}
	armed := make(chan struct{})
	m.Reply, forget = c.await(m.Subject, func(answer *nats.Msg, err error) {
		<-armed
		late.Stop()
		forget()
		end(read(answer, err))
	})
	late = time.AfterFunc(ackTimeout, func() {
		forget()
		end(0, fmt.Errorf("no answer in %s: %w", ackTimeout, bus.ErrDoubt))
	})
	close(armed)
	if err := c.send(m); err != nil {
		late.Stop()
		forget()
		end(0, err)
	}
}

// said finds the sequence in the server's "wrong last sequence: 5".
var said = regexp.MustCompile(`[0-9]+$`)

// read makes an outcome of the server's answer. A connection that broke leaves
// the append in doubt.
func read(m *nats.Msg, err error) (events.Seq, error) {
	switch {
	case errors.Is(err, bus.ErrUnauthorized):
		return 0, err
	case err != nil:
		return 0, fmt.Errorf("%w: %w", bus.ErrDoubt, err)
	case noResponders(m):
		return 0, fmt.Errorf("no log on this server: %w", bus.ErrUnreachable)
	}
	var a ack
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return 0, fmt.Errorf("%w: decode acknowledgement: %w", bus.ErrDoubt, err)
	}
	if a.Error == nil {
		return a.Seq, nil
	}
	switch a.Error.Code {
	case codeWrongLast:
		have, _ := strconv.ParseUint(said.FindString(a.Error.Description), 10, 64) // 0: it did not say
		return 0, &bus.ConflictError{Have: events.Seq(have)}
	case codeMarked, codeInProcess, codeTooManyWaiting, codeTooManyBatches:
		return 0, errAgain
	case codeNoResources, codeNoStorage, codeStoreFailed:
		return 0, fmt.Errorf("%s (%d): %w", a.Error.Description, a.Error.Code, bus.ErrFull)
	}
	return 0, fmt.Errorf("%s (%d)", a.Error.Description, a.Error.Code)
}
