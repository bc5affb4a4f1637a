package jetstream

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/stave-run/stave/bus"
)

// The kinds of a stream's messages: kind, channel, number (big-endian, from 1,
// of data and end alone), then the data. The numbers show a message that NATS
// dropped; then the stream is lost rather than wrong.
const (
	kindAccept byte = iota
	kindData
	kindCredit // data: how many more bytes may come, big-endian
	kindBeat
	kindEnd
)

const frameHead = 6

// creditStep is how much a reader takes before it says so. The sender may always
// go on while fewer than twice as many bytes are out, so that a frame larger
// than what is left of the window cannot wait for ever.
const creditStep = bus.MaxWindow / 8

// stream is one end of a stream.
type stream struct {
	client *Client
	to     string // the other end's subject
	own    string // ours: the reply of each message, so that the server says when nobody is there
	done   func() // takes our end out of the connection

	sending sync.Mutex // keeps numbers in the order of sending
	sent    uint32

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at every change
	frames   []bus.Frame
	received uint32
	out      int // bytes sent and not credited
	taken    int // bytes taken and not credited to the sender
	heard    time.Time
	accepted bool
	ended    bool // we closed
	eof      bool // they closed
	err      error
	lost     chan struct{} // closed when err is set
	over     chan struct{} // closed when both ends have closed
}

func newStream(c *Client) *stream {
	return &stream{client: c, changed: make(chan struct{}), lost: make(chan struct{}), over: make(chan struct{}), heard: time.Now(), done: func() {}}
}

// put takes what arrives; it never blocks.
func (s *stream) put(m *nats.Msg, err error) {
	switch {
	case err != nil:
		s.lose(fmt.Errorf("%w: %w", bus.ErrStreamLost, err))
	case noResponders(m):
		s.mu.Lock()
		accepted := s.accepted
		s.mu.Unlock()
		if !accepted {
			s.lose(bus.ErrNoServer)
		} else {
			s.lose(bus.ErrStreamLost)
		}
	case m.Header.Get(headerFailed) != "":
		s.lose(fmt.Errorf("refused: %s", m.Header.Get(headerFailed)))
	case len(m.Data) >= frameHead:
		s.take(m.Data)
	}
}

func (s *stream) take(b []byte) {
	kind, channel, number, data := b[0], b[1], binary.BigEndian.Uint32(b[2:]), b[frameHead:]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = time.Now()
	switch kind {
	case kindAccept:
		s.accepted = true
	case kindCredit:
		if len(data) == 4 {
			s.out -= int(binary.BigEndian.Uint32(data))
		}
	case kindData, kindEnd:
		if s.received++; number != s.received || s.eof { // nothing comes after the end
			s.loseLocked(bus.ErrStreamLost)
			return
		}
		if kind == kindEnd {
			s.eof = true
			s.end()
		} else {
			s.frames = append(s.frames, bus.Frame{Channel: channel, Data: data})
		}
	}
	s.tell()
}

// end notes the end of both directions; the caller holds the lock.
func (s *stream) end() {
	if s.ended && s.eof {
		close(s.over)
	}
}

// tell wakes whoever waits; the caller holds the lock.
func (s *stream) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stream) lose(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loseLocked(err)
}

func (s *stream) loseLocked(err error) {
	if s.err == nil {
		s.err = err
		close(s.lost)
		s.tell()
	}
}

// wait runs try under the lock until it says that it is done.
func (s *stream) wait(ctx context.Context, try func() (done bool, err error)) error {
	for {
		s.mu.Lock()
		done, err := try()
		changed := s.changed
		s.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// message sends one message to the other end.
func (s *stream) message(kind, channel byte, number uint32, data []byte) error {
	b := make([]byte, frameHead, frameHead+len(data))
	b[0], b[1] = kind, channel
	binary.BigEndian.PutUint32(b[2:], number)
	return s.client.send(&nats.Msg{Subject: s.to, Reply: s.own, Data: append(b, data...)})
}

// numbered sends data or the end.
func (s *stream) numbered(kind, channel byte, data []byte) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.sent++
	if err := s.message(kind, channel, s.sent, data); err != nil {
		s.lose(fmt.Errorf("%w: %w", bus.ErrStreamLost, err))
		return fmt.Errorf("%w: %w", bus.ErrStreamLost, err)
	}
	return nil
}

// Send implements bus.Stream.
func (s *stream) Send(ctx context.Context, f bus.Frame) error {
	if len(f.Data) > bus.MaxBody {
		return fmt.Errorf("send frame of %d bytes, at most %d: %w", len(f.Data), bus.MaxBody, bus.ErrTooLarge)
	}
	err := s.wait(ctx, func() (bool, error) {
		switch {
		case s.err != nil:
			return false, s.err
		case s.ended:
			return false, io.ErrClosedPipe
		case s.out >= 2*creditStep && s.out+len(f.Data) > bus.MaxWindow:
			return false, nil
		}
		s.out += len(f.Data)
		return true, nil
	})
	if err != nil {
		return err
	}
	return s.numbered(kindData, f.Channel, f.Data)
}

// Recv implements bus.Stream.
func (s *stream) Recv(ctx context.Context) (f bus.Frame, err error) {
	credit := 0
	err = s.wait(ctx, func() (bool, error) {
		if len(s.frames) > 0 {
			f = s.frames[0]
			s.frames = s.frames[1:]
			if s.taken += len(f.Data); s.taken >= creditStep {
				credit, s.taken = s.taken, 0
			}
			return true, nil
		}
		if s.eof {
			return false, io.EOF // what ended in order stays so
		}
		return false, s.err
	})
	if credit > 0 {
		// A credit that cannot be sent shows as a lost stream at the next frame.
		_ = s.message(kindCredit, 0, 0, binary.BigEndian.AppendUint32(nil, uint32(credit)))
	}
	return f, err
}

// Close implements bus.Stream.
func (s *stream) Close() error {
	s.mu.Lock()
	if s.ended || s.err != nil {
		s.mu.Unlock()
		return nil
	}
	s.ended = true
	s.end()
	s.tell()
	s.mu.Unlock()
	return s.numbered(kindEnd, 0, nil)
}

// watch keeps a stream alive, sees when the other end is not, and takes our end
// away when both have closed or it is lost.
func (s *stream) watch() {
	defer s.done()
	beat := time.NewTicker(bus.StreamSilence / 3)
	defer beat.Stop()
	for {
		s.mu.Lock()
		silent := time.Since(s.heard) > bus.StreamSilence
		s.mu.Unlock()
		if silent {
			s.lose(bus.ErrStreamLost)
		}
		select {
		case <-s.lost:
			return
		case <-s.over:
			return
		case <-beat.C:
			if err := s.message(kindBeat, 0, 0, nil); err != nil {
				s.lose(fmt.Errorf("%w: %w", bus.ErrStreamLost, err))
			}
		}
	}
}

// Dial implements bus.Wires.
func (c *Client) Dial(ctx context.Context, subject string, hello []byte) (bus.Stream, error) {
	s := newStream(c)
	s.own, s.done = c.await(subject, s.put)
	id := c.streamID(s.own)
	s.to = subject + "." + id
	err := c.send(&nats.Msg{Subject: subject, Reply: s.own, Data: hello, Header: nats.Header{headerStream: []string{id}}})
	if err == nil {
		err = s.wait(ctx, func() (bool, error) { return s.accepted, s.err })
	}
	if err != nil {
		s.done()
		return nil, fmt.Errorf("dial %s: %w", subject, err)
	}
	go s.watch()
	return s, nil
}

// Accept implements bus.Wires.
func (c *Client) Accept(subject string, serve func(ctx context.Context, hello bus.Request, s bus.Stream)) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	var busy sync.WaitGroup
	end, err := c.serving(subject, &busy, func(m *nats.Msg) {
		busy.Add(1)
		go func() {
			defer busy.Done()
			c.accept(ctx, m, serve)
		}()
	})
	if err != nil {
		cancel()
		return nil, err
	}
	return func() {
		cancel()
		end()
	}, nil
}

// accept serves one stream; its ctx ends when the stream is lost.
func (c *Client) accept(ctx context.Context, m *nats.Msg, serve func(context.Context, bus.Request, bus.Stream)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	id := m.Header.Get(headerStream)
	s := newStream(c)
	s.to, s.own, s.accepted = m.Reply, m.Subject+"."+id, true
	_, forget := c.await("", s.put) // only to hear that the connection broke
	defer forget()
	stop, err := c.listen(m.Subject, id, s.put)
	if err != nil {
		c.refuse(m, err)
		return
	}
	defer stop()
	if err := s.message(kindAccept, 0, 0, nil); err != nil {
		return
	}
	go s.watch()
	go func() {
		select {
		case <-s.lost:
			cancel()
		case <-ctx.Done():
		}
	}()
	serve(ctx, bus.Request{Subject: m.Subject, From: bus.Requester(m.Subject), Body: m.Data}, s)
	_ = s.Close() // a stream that is lost need not be closed
	s.lose(bus.ErrStreamLost)
}

var (
	_ bus.Wires    = (*Client)(nil)
	_ bus.Appender = (*Client)(nil)
)
