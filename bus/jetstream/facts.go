package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// Node agents append through the server rather than by publishing to the stream.
// The server acknowledges a publish on whatever reply subject it names, with the
// server's own rights: an agent could have it write acknowledgements anywhere
// into the log. Here the requester's name, vouched for by the subject, decides
// what may be written, and the reply goes to the requester alone.

// verbAppend is the last token of req.<user>.append.
const verbAppend = "append"

// fact is a record on its way from an agent.
type fact struct {
	Subject events.Subject  `json:"subject"`
	Headers []events.Header `json:"headers"`
	Body    []byte          `json:"body"`
	Expect  *events.Seq     `json:"expect,omitempty"`
}

// outcome is the answer; at most one of its errors is set.
type outcome struct {
	First    events.Seq         `json:"first,omitempty"`
	Conflict *bus.ConflictError `json:"conflict,omitempty"`
	Error    string             `json:"error,omitempty"` // a name of refusals, or words
}

// refusals are the errors that an agent has to tell apart, by name.
var refusals = map[string]error{
	"doubt": bus.ErrDoubt, "full": bus.ErrFull, "too large": bus.ErrTooLarge,
	"closed": bus.ErrClosed, "unauthorized": bus.ErrUnauthorized,
}

// appendThrough asks the server to append.
func (c *Client) appendThrough(ctx context.Context, batch []bus.Record) (events.Seq, error) {
	facts := make([]fact, len(batch))
	for i, r := range batch {
		facts[i] = fact{r.Envelope.Subject, r.Envelope.Headers(), r.Envelope.Body, r.Expect}
	}
	b, err := json.Marshal(facts)
	if err != nil {
		return 0, fmt.Errorf("encode facts: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*ackTimeout) // the server answers within its own
	defer cancel()
	reply, err := c.Request(ctx, "req."+c.user+"."+verbAppend, b)
	switch {
	case errors.Is(err, bus.ErrNoServer), errors.Is(err, bus.ErrTooLarge), errors.Is(err, bus.ErrUnauthorized):
		return 0, err
	case err != nil:
		return 0, fmt.Errorf("%w: %w", bus.ErrDoubt, err)
	}
	var out outcome
	if err := json.Unmarshal(reply, &out); err != nil {
		return 0, fmt.Errorf("%w: decode answer: %w", bus.ErrDoubt, err)
	}
	return out.First, out.failure()
}

func (o outcome) failure() error {
	switch {
	case o.Conflict != nil:
		return o.Conflict
	case o.Error == "":
		return nil
	}
	if err, ok := refusals[o.Error]; ok {
		return fmt.Errorf("append: %w", err)
	}
	return fmt.Errorf("append: %s", o.Error)
}

// takeFacts serves the agents' appends.
func (s *Server) takeFacts() error {
	stop, err := s.control.Serve("req.*."+verbAppend, func(ctx context.Context, r bus.Request) []byte {
		who, _ := s.guests.find(r.From) // nobody has no node
		first, err := s.appendFacts(ctx, who.Node, r.Body)
		b, bad := json.Marshal(outcomeOf(first, err))
		if bad != nil {
			panic(bad) // it is made of numbers and strings
		}
		return b
	})
	s.stopFacts = stop
	return err
}

func outcomeOf(first events.Seq, err error) outcome {
	var conflict *bus.ConflictError
	switch {
	case err == nil:
		return outcome{First: first}
	case errors.As(err, &conflict):
		return outcome{Conflict: conflict}
	}
	for name, e := range refusals {
		if errors.Is(err, e) {
			return outcome{Error: name}
		}
	}
	return outcome{Error: err.Error()}
}

// appendFacts appends what a node saw; it may write on no other subject.
func (s *Server) appendFacts(ctx context.Context, node string, body []byte) (events.Seq, error) {
	if node == "" {
		return 0, bus.ErrUnauthorized
	}
	var facts []fact
	if err := json.Unmarshal(body, &facts); err != nil {
		return 0, fmt.Errorf("decode facts: %w", err)
	}
	batch := make([]bus.Record, len(facts))
	for i, f := range facts {
		if f.Subject != events.SeenSubject(node) {
			return 0, fmt.Errorf("%s may not write %s: %w", node, f.Subject, bus.ErrUnauthorized)
		}
		get := func(name string) string {
			for _, h := range f.Headers {
				if h.Name == name {
					return h.Value
				}
			}
			return ""
		}
		batch[i] = bus.Record{Envelope: events.Envelope{Subject: f.Subject, Body: f.Body}, Expect: f.Expect}
		if err := batch[i].Envelope.FromHeaders(get); err != nil {
			return 0, err
		}
	}
	return s.log.Append(ctx, batch)
}
