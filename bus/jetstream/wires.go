package jetstream

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/stave-run/stave/bus"
)

// Headers of requests. A request or reply that is too large for one message
// goes in parts; a large request is announced first and uploaded to a subject
// below its own, where the permissions of both sides reach.
const (
	headerUpload = "Stave-Upload" // on an announcement: the token below the subject where the parts go
	headerStream = "Stave-Stream" // on a dial: the token below the subject where the frames go
	headerMore   = "Stave-More"   // on a part that isn't the last
	headerFailed = "Stave-Failed" // on a reply that is none: why
	headerGo     = "Stave-Go"     // on the answer to an announcement
)

// partSize is the most bytes of one part. Small enough that a big request does
// not hold up a heartbeat, and room for headers below bus.MaxPayload.
const partSize = 1 << 20

// group makes several servers of a subject share the requests.
const group = "serve"

// Publish implements bus.Wires.
func (c *Client) Publish(m bus.Message) error {
	msg := &nats.Msg{Subject: m.Subject, Data: m.Body}
	if len(m.Header) > 0 {
		msg.Header = nats.Header{}
		for k, v := range m.Header {
			msg.Header[k] = []string{v}
		}
	}
	return c.send(msg)
}

// Subscribe implements bus.Wires.
func (c *Client) Subscribe(subject string, f func(bus.Message)) (stop func(), err error) {
	sub, err := c.nats.Subscribe(subject, func(m *nats.Msg) {
		out := bus.Message{Subject: m.Subject, Body: m.Data}
		if len(m.Header) > 0 {
			out.Header = make(map[string]string, len(m.Header))
			for k, v := range m.Header {
				out.Header[k] = v[0]
			}
		}
		f(out)
	})
	return c.subscribed(subject, sub, err)
}

// subscribed waits until the server knows of a subscription: what is published
// after it must arrive.
func (c *Client) subscribed(subject string, sub *nats.Subscription, err error) (stop func(), _ error) {
	if err == nil {
		err = c.nats.FlushTimeout(dialTimeout)
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w: %w", subject, bus.ErrUnreachable, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil // fails only when the connection is closed
}

// Request implements bus.Wires.
func (c *Client) Request(ctx context.Context, subject string, body []byte) ([]byte, error) {
	if len(body) > bus.MaxRequest {
		return nil, fmt.Errorf("request %s of %d bytes, at most %d: %w", subject, len(body), bus.MaxRequest, bus.ErrTooLarge)
	}
	in := newMailbox()
	reply, forget := c.await(subject, in.put)
	defer forget()
	var err error
	if len(body) <= partSize {
		err = c.send(&nats.Msg{Subject: subject, Reply: reply, Data: body})
	} else {
		err = c.upload(ctx, subject, reply, body, in)
	}
	if err == nil {
		body, err = gather(ctx, in)
	}
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", subject, err)
	}
	return body, nil
}

// upload announces a large request, waits until somebody has taken it, and
// sends its parts to that one.
func (c *Client) upload(ctx context.Context, subject, reply string, body []byte, in *mailbox) error {
	id := c.streamID(reply)
	if err := c.send(&nats.Msg{Subject: subject, Reply: reply, Header: nats.Header{headerUpload: []string{id}}}); err != nil {
		return err
	}
	m, err := in.take(ctx)
	if err != nil {
		return err
	}
	if err := failure(m); err != nil {
		return err
	}
	return c.parts(subject+"."+id, reply, body)
}

// streamID is a token that nobody else uses: the connection's and the reply's.
func (c *Client) streamID(reply string) string {
	return strings.ReplaceAll(strings.TrimPrefix(reply, inboxPrefix(c.user)+"."), ".", "-")
}

// parts sends a body in as many messages as it takes, at least one.
func (c *Client) parts(subject, reply string, body []byte) error {
	for {
		n := min(len(body), partSize)
		m := &nats.Msg{Subject: subject, Reply: reply, Data: body[:n]}
		body = body[n:]
		if len(body) > 0 {
			m.Header = nats.Header{headerMore: []string{"1"}}
		}
		if err := c.send(m); err != nil || len(body) == 0 {
			return err
		}
	}
}

// gather takes parts up to the last one.
func gather(ctx context.Context, in *mailbox) ([]byte, error) {
	var whole []byte
	for {
		m, err := in.take(ctx)
		if err != nil {
			return nil, err
		}
		if err := failure(m); err != nil {
			return nil, err
		}
		more := m.Header.Get(headerMore) != ""
		if whole == nil && !more {
			return m.Data, nil
		}
		if whole = append(whole, m.Data...); len(whole) > bus.MaxRequest {
			return nil, fmt.Errorf("more than %d bytes: %w", bus.MaxRequest, bus.ErrTooLarge)
		}
		if !more {
			return whole, nil
		}
	}
}

func failure(m *nats.Msg) error {
	if noResponders(m) {
		return bus.ErrNoServer
	}
	if s := m.Header.Get(headerFailed); s != "" {
		return fmt.Errorf("refused: %s", s)
	}
	return nil
}

// Serve implements bus.Wires.
func (c *Client) Serve(subject string, answer func(ctx context.Context, r bus.Request) []byte) (stop func(), err error) {
	return c.serve(subject, bus.MaxRequests, answer)
}

// ServeWaiting implements bus.Wires.
func (c *Client) ServeWaiting(subject string, answer func(ctx context.Context, r bus.Request) []byte) (stop func(), err error) {
	return c.serve(subject, bus.MaxWaiting, answer)
}

func (c *Client) serve(subject string, most int, answer func(ctx context.Context, r bus.Request) []byte) (stop func(), err error) {
	slots, large := make(chan struct{}, most), make(chan struct{}, bus.MaxRequests)
	var busy sync.WaitGroup
	return c.serving(subject, &busy, func(m *nats.Msg) {
		slots <- struct{}{} // holds up the subscription: requests wait in it
		busy.Add(1)
		go func() {
			defer busy.Done()
			defer func() { <-slots }()
			if m.Header.Get(headerUpload) != "" || len(m.Data) > bus.SmallRequest {
				large <- struct{}{}
				defer func() { <-large }()
			}
			c.answer(m, answer)
		}()
	})
}

// serving subscribes take to the requests of a subject. stop waits for busy.
func (c *Client) serving(subject string, busy *sync.WaitGroup, take func(*nats.Msg)) (stop func(), err error) {
	var mu sync.Mutex // held while a request is being taken, so that stop misses none
	stopped := false
	sub, err := c.nats.QueueSubscribe(subject, group, func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if !stopped && trusted(m) {
			take(m)
		}
	})
	end, err := c.subscribed(subject, sub, err)
	if err != nil {
		return nil, err
	}
	return func() {
		end()
		mu.Lock()
		stopped = true
		mu.Unlock()
		busy.Wait()
	}, nil
}

// trusted tells whether a request wants its reply where its own user listens. A
// server with more rights than the asker would else publish for it anywhere,
// into the log for one.
func trusted(m *nats.Msg) bool {
	user := bus.Requester(m.Subject)
	return user != "" && strings.HasPrefix(m.Reply, inboxPrefix(user)+".")
}

func (c *Client) answer(m *nats.Msg, answer func(context.Context, bus.Request) []byte) {
	ctx := context.Background()
	body := m.Data
	if id := m.Header.Get(headerUpload); id != "" {
		var err error
		if body, err = c.receive(ctx, m, id); err != nil {
			c.refuse(m, err)
			return
		}
	}
	reply := answer(ctx, bus.Request{Subject: m.Subject, From: bus.Requester(m.Subject), Body: body})
	if len(reply) > bus.MaxRequest {
		c.refuse(m, fmt.Errorf("reply of %d bytes, at most %d: %w", len(reply), bus.MaxRequest, bus.ErrTooLarge))
		return
	}
	_ = c.parts(m.Reply, "", reply) // the asker sees that its connection broke
}

func (c *Client) refuse(m *nats.Msg, err error) {
	_ = c.send(&nats.Msg{Subject: m.Reply, Header: nats.Header{headerFailed: []string{strconv.Quote(err.Error())}}}) // as above
}

// receive takes a large request's parts.
func (c *Client) receive(ctx context.Context, m *nats.Msg, id string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, uploadTime)
	defer cancel()
	in := newMailbox()
	stop, err := c.listen(m.Subject, id, in.put)
	if err != nil {
		return nil, err
	}
	defer stop()
	if err := c.send(&nats.Msg{Subject: m.Reply, Header: nats.Header{headerGo: []string{"1"}}}); err != nil {
		return nil, err
	}
	return gather(ctx, in)
}

// listen subscribes to the private subject of one upload or stream.
func (c *Client) listen(subject, id string, put func(*nats.Msg, error)) (stop func(), err error) {
	if id == "" || strings.ContainsAny(id, ".*> \t\r\n") {
		return nil, fmt.Errorf("%q is no token", id)
	}
	sub, err := c.nats.Subscribe(subject+"."+id, func(m *nats.Msg) { put(m, nil) })
	if err == nil {
		err = sub.SetPendingLimits(-1, bus.MaxRequest+bus.MaxPayload)
	}
	return c.subscribed(subject, sub, err)
}
