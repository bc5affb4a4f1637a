package jetstream

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/stave-run/stave/bus"
)

// thin is a connection for those who have a thousand in one process: pretended nodes. NATS' own client has 40 kB of buffers
// and a goroutine for each subscription and three more; a thin one has one goroutine, and borrows a buffer while there is
// something to read. It speaks as much of NATS' protocol as a Client needs.
type thin struct {
	address string
	hello   []byte      // what a new connection begins with
	lost    func(error) // told of each connection that broke, and of the end
	refused func(error) // told what the server complains about
	done    chan struct{}

	mu    sync.Mutex
	conn  net.Conn  // nil while there is none
	until time.Time // the deadline of its writes
	next  uint64
	subs  map[uint64]*thinSub
	pongs []chan struct{} // who waits for the server to have read all, in order
	over  bool
}

type thinSub struct {
	subject, group string
	told           nats.MsgHandler
}

// writeTimeout is how long the server may take at least to read what it is sent.
const writeTimeout = 10 * time.Second

var errNoLink = errors.New("no connection to the server")

// dialThin is dial with a thin connection.
func dialThin(where string, cred Credential) (*Client, error) {
	u, err := url.Parse(where)
	if err != nil {
		return nil, fmt.Errorf("read address: %w", err)
	}
	hello, err := json.Marshal(map[string]any{"verbose": false, "pedantic": false, "echo": true, "lang": "go", "protocol": 1, "headers": true,
		"no_responders": true, "name": "stave " + cred.User, "user": cred.User, "pass": cred.Password})
	if err != nil {
		return nil, fmt.Errorf("encode credential: %w", err)
	}
	c := newClient(cred.User)
	t := &thin{address: u.Host, hello: fmt.Appendf(nil, "CONNECT %s\r\nPING\r\n", hello), lost: c.fail, refused: c.refused,
		done: make(chan struct{}), subs: map[uint64]*thinSub{}}
	p, err := t.open()
	if err != nil {
		return nil, err
	}
	go t.live(p)
	return c.over(t)
}

// open connects and asks to be taken.
func (t *thin) open() (*patient, error) {
	conn, err := net.DialTimeout("tcp", t.address, dialTimeout)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", bus.ErrUnreachable, err)
	}
	p := &patient{Conn: conn}
	if err := t.enter(p); err != nil {
		_ = conn.Close()
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		_ = conn.Close()
		return nil, bus.ErrUnreachable
	}
	t.conn, t.until = conn, time.Time{}
	for id, s := range t.subs {
		if err := t.write(s.line(id)); err != nil {
			t.conn = nil
			_ = conn.Close()
			return nil, fmt.Errorf("%w: %w", bus.ErrUnreachable, err)
		}
	}
	return p, nil
}

// enter waits until the server has taken the credential.
func (t *thin) enter(p *patient) error {
	r := buffers.Get().(*bufio.Reader)
	defer buffers.Put(r)
	r.Reset(p)
	_ = p.SetDeadline(time.Now().Add(dialTimeout)) // a connection that has none fails below
	if _, err := p.Write(t.hello); err != nil {
		return fmt.Errorf("%w: %w", bus.ErrUnreachable, err)
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("%w: %w", bus.ErrUnreachable, err)
		}
		switch op, rest := verb(line); op {
		case "PONG":
			p.rest, err = r.Peek(r.Buffered())
			p.rest = slices.Clone(p.rest)
			return errors.Join(err, p.SetDeadline(time.Time{}))
		case "PING":
			_, err = p.Write(pong)
		case "-ERR":
			return refusal(unquoted(rest))
		}
		if err != nil {
			return fmt.Errorf("%w: %w", bus.ErrUnreachable, err)
		}
	}
}

// refusal is why the server did not take a connection.
func refusal(words string) error {
	if low := strings.ToLower(words); strings.Contains(low, "authorization") || strings.Contains(low, "authentication") {
		return fmt.Errorf("%w: %s", bus.ErrUnauthorized, words)
	}
	return fmt.Errorf("%w: %s", bus.ErrUnreachable, words)
}

// live reads, and connects again when the connection broke, until it is closed or no longer taken.
func (t *thin) live(p *patient) {
	for {
		t.read(p)
		t.drop(p.Conn)
		t.lost(bus.ErrUnreachable)
		for p = nil; p == nil; {
			select {
			case <-t.done:
				return
			case <-time.After(reconnectEvery + rand.N(reconnectEvery)):
			}
			var err error
			if p, err = t.open(); errors.Is(err, bus.ErrUnauthorized) {
				return
			}
		}
	}
}

// drop forgets a connection that broke.
func (t *thin) drop(conn net.Conn) {
	_ = conn.Close() // broken already
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn = nil
	for _, w := range t.pongs {
		close(w)
	}
	t.pongs = nil
}

// Close implements link.
func (t *thin) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	t.over = true
	close(t.done)
	if t.conn != nil {
		_ = t.conn.Close() // what was sent is sent
	}
}

// write sends bytes; mu is held.
func (t *thin) write(b []byte) error {
	if t.conn == nil {
		return errNoLink
	}
	if now := time.Now(); t.until.Sub(now) < writeTimeout { // seldom: each time costs
		t.until = now.Add(2 * writeTimeout)
		if err := t.conn.SetWriteDeadline(t.until); err != nil {
			return fmt.Errorf("bound write: %w", err)
		}
	}
	if _, err := t.conn.Write(b); err != nil {
		_ = t.conn.Close() // half of a message may be out: its reader connects again
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func (t *thin) send(b []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.write(b)
}

// subscribe implements link. Nothing waits for told, so there is nothing to bound.
func (t *thin) subscribe(subject, group string, _ int, told nats.MsgHandler) (stop func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	id, s := t.next, &thinSub{subject, group, told}
	if err := t.write(s.line(id)); err != nil {
		return nil, err
	}
	t.subs[id] = s
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.subs, id)
		_ = t.write(fmt.Appendf(nil, "UNSUB %d\r\n", id)) // a new connection does not know of it
	}, nil
}

func (s *thinSub) line(id uint64) []byte {
	return fmt.Appendf(nil, "SUB %s %s %d\r\n", s.subject, s.group, id)
}

// FlushTimeout implements link.
func (t *thin) FlushTimeout(d time.Duration) error {
	heard := make(chan struct{}, 1)
	t.mu.Lock()
	err := t.write(ping)
	if err == nil {
		t.pongs = append(t.pongs, heard)
	}
	t.mu.Unlock()
	if err != nil {
		return err
	}
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case _, ok := <-heard:
		if !ok {
			return errNoLink
		}
		return nil
	case <-late.C:
		return fmt.Errorf("no answer in %s", d)
	}
}
