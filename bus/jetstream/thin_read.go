package jetstream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/stave-run/stave/bus"
)

// The lines of the protocol that are always the same.
var (
	ping = []byte("PING\r\n")
	pong = []byte("PONG\r\n")
)

// buffers are lent to the connections that have something to read: to many at a time where all are told the same. What is
// larger is read without one.
var buffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

// patient is a connection that can be waited for without a buffer: with the room for one byte.
type patient struct {
	net.Conn
	first [1]byte
	rest  []byte // read already
	until time.Time
}

// wait waits until there is something to read. Who is silent for so long is asked, as the server asks.
func (p *patient) wait(every time.Duration, ask func() error) error {
	for silent := 0; len(p.rest) == 0; silent++ {
		if now := time.Now(); p.until.Sub(now) < every { // seldom: each time costs
			p.until = now.Add(every + every/2)
			if err := p.SetReadDeadline(p.until); err != nil {
				return fmt.Errorf("bound read: %w", err)
			}
		}
		_, err := p.Conn.Read(p.first[:])
		switch {
		case err == nil:
			p.rest = p.first[:]
		case !errors.Is(err, os.ErrDeadlineExceeded) || silent >= maxPings:
			return err
		default:
			err = ask()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Read implements io.Reader.
func (p *patient) Read(b []byte) (int, error) {
	if n := copy(b, p.rest); n > 0 {
		p.rest = p.rest[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// read takes what comes until the connection breaks.
func (t *thin) read(p *patient) {
	for p.wait(pingEvery, func() error { return t.send(ping) }) == nil {
		if t.burst(p) != nil {
			return
		}
	}
}

// burst reads with a borrowed buffer until nothing more is there.
func (t *thin) burst(p *patient) error {
	r := buffers.Get().(*bufio.Reader)
	r.Reset(p)
	err := t.take(r)
	for err == nil && r.Buffered() > 0 {
		err = t.take(r)
	}
	r.Reset(nil) // keeps nobody's connection
	buffers.Put(r)
	return err
}

// errGarbled is a line that is not the protocol's.
var errGarbled = errors.New("the server speaks another protocol")

// take reads one line and what belongs to it.
func (t *thin) take(r *bufio.Reader) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	switch op, rest := verb(line); op {
	case "MSG", "HMSG":
		return t.message(r, strings.Fields(rest), op == "HMSG")
	case "PING":
		return t.send(pong)
	case "PONG":
		t.ponged()
	case "-ERR":
		t.refused(errors.New("nats: " + unquoted(rest)))
	case "+OK", "INFO":
	default:
		return errGarbled
	}
	return nil
}

// verb parts a line of the protocol.
func verb(line string) (op, rest string) {
	op, rest, _ = strings.Cut(strings.TrimSpace(line), " ")
	return op, rest
}

func unquoted(words string) string { return strings.Trim(words, "' ") }

func (t *thin) ponged() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pongs) > 0 {
		t.pongs[0] <- struct{}{}
		t.pongs = t.pongs[1:]
	}
}

// message reads subject, subscription, perhaps a reply subject, perhaps the size of headers, and the size of all; and then all.
func (t *thin) message(r *bufio.Reader, words []string, headed bool) error {
	least, head := 3, 0
	if headed {
		least = 4
	}
	if len(words) < least {
		return errGarbled
	}
	m := &nats.Msg{Subject: words[0]}
	if len(words) > least {
		m.Reply = words[2]
	}
	id, err := strconv.ParseUint(words[1], 10, 64)
	size, bad := strconv.Atoi(words[len(words)-1])
	if headed && bad == nil {
		head, bad = strconv.Atoi(words[len(words)-2])
	}
	if err != nil || bad != nil || head < 0 || head > size || size > bus.MaxPayload+maxHead {
		return errGarbled
	}
	m.Data = make([]byte, size)
	if _, err := io.ReadFull(r, m.Data); err != nil {
		return err
	}
	if _, err := r.Discard(len("\r\n")); err != nil {
		return err
	}
	if headed {
		if m.Header, err = nats.DecodeHeadersMsg(m.Data[:head]); err != nil {
			return fmt.Errorf("read headers: %w", err)
		}
		m.Data = m.Data[head:]
	}
	t.mu.Lock()
	s := t.subs[id]
	t.mu.Unlock()
	if s != nil {
		s.told(m)
	}
	return nil
}

// maxHead is how many bytes of headers come with a message at most.
const maxHead = 64 << 10

// lines are lent to those who write.
var lines = sync.Pool{New: func() any { return new([]byte) }}

// maxLent is how long a line may be that is kept for the next.
const maxLent = 64 << 10

// PublishMsg implements link.
func (t *thin) PublishMsg(m *nats.Msg) error {
	switch {
	case m.Subject == "" || strings.ContainsAny(m.Subject+m.Reply, " \t\r\n"):
		return nats.ErrBadSubject
	case len(m.Data) > bus.MaxPayload:
		return nats.ErrMaxPayload
	}
	line := lines.Get().(*[]byte)
	b, err := encode((*line)[:0], m)
	if err == nil {
		err = t.send(b)
	}
	if cap(b) <= maxLent {
		*line = b
	}
	lines.Put(line)
	return err
}

// encode appends a message as it is sent.
func encode(b []byte, m *nats.Msg) ([]byte, error) {
	if len(m.Header) == 0 {
		b = fmt.Appendf(b, "PUB %s %s %d\r\n", m.Subject, m.Reply, len(m.Data))
		return append(append(b, m.Data...), "\r\n"...), nil
	}
	head := []byte("NATS/1.0\r\n")
	for name, values := range m.Header {
		for _, v := range values {
			if strings.ContainsAny(name+v, "\r\n") {
				return b, nats.ErrBadHeaderMsg
			}
			head = fmt.Appendf(head, "%s: %s\r\n", name, v)
		}
	}
	head = append(head, "\r\n"...)
	b = fmt.Appendf(b, "HPUB %s %s %d %d\r\n", m.Subject, m.Reply, len(head), len(head)+len(m.Data))
	return append(append(append(b, head...), m.Data...), "\r\n"...), nil
}
