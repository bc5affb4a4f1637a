package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// atomic appends a batch whole or not at all.
func (c *Client) atomic(ctx context.Context, batch []bus.Record) (events.Seq, error) {
	records, err := hoist(batch)
	if err != nil {
		return 0, err
	}
	for range tries {
		last, err := c.commit(ctx, records)
		if err == nil {
			return last - events.Seq(len(records)) + 1, nil
		}
		if !errors.Is(err, errAgain) {
			return 0, c.blame(records, err)
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("append batch: %w", ctx.Err()) // refused: no doubt about it
		case <-time.After(retryPause):
		}
	}
	return 0, fmt.Errorf("append batch: tried %d times: %w", tries, errAgain)
}

// hoist moves each subject's expectation to the first record of the subject: it
// speaks of the time before the batch, and the server takes it nowhere else.
func hoist(batch []bus.Record) ([]bus.Record, error) {
	out := make([]bus.Record, len(batch))
	first := make(map[events.Subject]int, len(batch))
	for i, r := range batch {
		out[i] = r
		at, again := first[r.Envelope.Subject]
		if !again {
			first[r.Envelope.Subject] = i
			continue
		}
		out[i].Expect = nil
		switch have := out[at].Expect; {
		case r.Expect == nil:
		case have == nil:
			out[at].Expect = r.Expect
		case *have != *r.Expect: // one of them is wrong, whatever the log holds
			return nil, &bus.ConflictError{Subject: r.Envelope.Subject, Want: *r.Expect}
		}
	}
	return out, nil
}

// commit sends a batch; only its last message is answered.
func (c *Client) commit(ctx context.Context, records []bus.Record) (events.Seq, error) {
	id := nuid.Next()
	last := len(records) - 1
	for i, r := range records {
		m := message(r)
		m.Header[headerBatch] = []string{id}
		m.Header[headerBatchSeq] = []string{strconv.Itoa(i + 1)}
		if i == last {
			m.Header[headerCommit] = []string{"1"}
			return c.answered(ctx, m)
		}
		if err := c.send(m); err != nil {
			return 0, err // without its end the server drops the batch
		}
	}
	return 0, errors.New("append: the batch is empty")
}

// answered publishes one message and waits for its answer or the end of ctx.
func (c *Client) answered(ctx context.Context, m *nats.Msg) (events.Seq, error) {
	result := make(chan landed, 1)
	c.publish(m, func(seq events.Seq, err error) { result <- landed{0, seq, err} })
	select {
	case l := <-result:
		return l.seq, l.err
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", bus.ErrDoubt, ctx.Err())
	}
}

// blame completes the error of a batch. The server does not say whose
// expectation failed: the first is named, and Log looks for the right one.
func (c *Client) blame(records []bus.Record, err error) error {
	for _, r := range records {
		if r.Expect != nil {
			return told(r, err)
		}
	}
	return told(records[0], err)
}
