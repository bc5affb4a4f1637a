package jetstream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/stave-run/stave/bus"
)

func dialThinTest(t *testing.T, s *Server, cred Credential) *Client {
	t.Helper()
	c, err := Dial(t.Context(), DialOptions{URL: s.Address(), Credential: cred, Thin: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestThinIsRefused(t *testing.T) {
	creds := testCredentials(t)
	s := openTest(t, t.TempDir(), creds)
	wrong := creds[0]
	wrong.Password = "wrong"
	if _, err := Dial(t.Context(), DialOptions{URL: s.Address(), Credential: wrong, Thin: true}); !errors.Is(err, bus.ErrUnauthorized) {
		t.Errorf("a wrong password: %v", err)
	}
	c := dialThinTest(t, s, creds[0])
	if _, err := c.Request(t.Context(), "req.somebody.change", nil); !errors.Is(err, bus.ErrUnauthorized) {
		t.Errorf("a request in another's name: %v", err)
	}
	if err := c.Publish(bus.Message{Subject: "req.admin.a b"}); !errors.Is(err, nats.ErrBadSubject) {
		t.Errorf("a subject with a space: %v", err)
	}
	if err := c.Publish(bus.Message{Subject: "req.admin.x", Body: make([]byte, bus.MaxPayload+1)}); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("a message that is too large: %v", err)
	}
	if err := c.Publish(bus.Message{Subject: "req.admin.x", Header: map[string]string{"a": "b\r\nc"}}); !errors.Is(err, nats.ErrBadHeaderMsg) {
		t.Errorf("a header of two lines: %v", err)
	}
}

// A thin connection that breaks comes back, with what it had subscribed to; one that nobody takes any more stays away.
func TestThinComesBack(t *testing.T) {
	creds := testCredentials(t)
	s := openTest(t, t.TempDir(), creds)
	c := dialThinTest(t, s, creds[0])
	heard := make(chan string, 100)
	stop, err := c.Subscribe("live.x", func(m bus.Message) { heard <- m.Header["Say"] + string(m.Body) })
	if err != nil {
		t.Fatal(err)
	}
	comes := func(want string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; {
			if err := s.Wires().Publish(bus.Message{Subject: "live.x", Body: []byte(want), Header: map[string]string{"Say": "it:"}}); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-heard:
				if got == "it:"+want {
					return
				}
			case <-time.After(50 * time.Millisecond):
			}
			if time.Now().After(end) {
				t.Fatalf("%s is not heard", want)
			}
		}
	}
	comes("before")
	if err := s.hangUp(creds[0].User); err != nil {
		t.Fatal(err)
	}
	comes("after")
	if stop(); c.link.FlushTimeout(dialTimeout) != nil {
		t.Fatal("the connection is gone")
	}
	for len(heard) > 0 {
		<-heard
	}
	if err := s.Wires().Publish(bus.Message{Subject: "live.x"}); err != nil {
		t.Fatal(err)
	}
	if err := s.control.link.FlushTimeout(dialTimeout); err != nil || c.link.FlushTimeout(dialTimeout) != nil || len(heard) != 0 {
		t.Errorf("%d messages after the end of a subscription, %v", len(heard), err)
	}
	if err := s.Expel(creds[0].User); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); c.link.(*thin).isTaken(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("who was expelled still has a connection")
		}
	}
	if err := c.Publish(bus.Message{Subject: "req.admin.x"}); !errors.Is(err, bus.ErrUnreachable) {
		t.Errorf("without a connection: %v", err)
	}
}

func (t *thin) isTaken() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.conn != nil
}

// What a server may say is read however it arrives, and what it must not say ends the connection.
func TestThinReads(t *testing.T) {
	for _, c := range []struct{ name, said, want string }{
		{"a message", "MSG a.b 1 2\r\nhi\r\n", "a.b  hi"},
		{"one with a reply", "MSG a.b 1 back 2\r\nhi\r\n", "a.b back hi"},
		{"an empty one", "MSG a.b 1 0\r\n\r\n", "a.b  "},
		{"headers", "HMSG a.b 1 back 20 22\r\nNATS/1.0\r\nK: v w\r\n\r\nhi\r\n", "a.b back v whi"},
		{"nobody answers", "HMSG a.b 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", "a.b  503"},
		{"two", "MSG a 1 1\r\nx\r\n+OK\r\nINFO {}\r\nMSG b 1 1\r\ny\r\n", "a  x,b  y"},
		{"another's", "MSG a 7 1\r\nx\r\n", ""},
		{"no size", "MSG a 1\r\n", "garbled"},
		{"a size that is none", "MSG a 1 x\r\n", "garbled"},
		{"a size below zero", "MSG a 1 -1\r\n", "garbled"},
		{"too large", "MSG a 1 99999999\r\n", "garbled"},
		{"more head than message", "HMSG a 1 9 2\r\n", "garbled"},
		{"another protocol", "HTTP/1.1 400 Bad Request\r\n", "garbled"},
	} {
		for _, piece := range []int{1, 5, 1000} {
			var got []string
			link := &thin{subs: map[uint64]*thinSub{1: {told: func(m *nats.Msg) {
				got = append(got, fmt.Sprint(m.Subject, " ", m.Reply, " ", m.Header.Get("Status"), m.Header.Get("K"), string(m.Data)))
			}}}}
			r := bufio.NewReaderSize(&dribble{c.said, piece}, 4096)
			var err error
			for err == nil {
				err = link.take(r)
			}
			have := strings.Join(got, ",")
			if !errors.Is(err, io.EOF) {
				have = "garbled"
			}
			if have != c.want {
				t.Errorf("%s in pieces of %d: %q, %v; want %q", c.name, piece, have, err, c.want)
			}
		}
	}
}

// dribble reads a text in pieces.
type dribble struct {
	text string
	most int
}

func (d *dribble) Read(b []byte) (int, error) {
	if d.text == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), d.most)], d.text)
	d.text = d.text[n:]
	return n, nil
}

// A server that says nothing is asked, and left when it does not answer.
func TestThinLeavesTheSilent(t *testing.T) {
	const every = 20 * time.Millisecond
	here, there := net.Pipe()
	defer there.Close()
	var asked sync.WaitGroup
	asked.Add(maxPings)
	began := time.Now()
	err := (&patient{Conn: here}).wait(every, func() error { asked.Done(); return nil })
	if asked.Wait(); err == nil || time.Since(began) < (maxPings+1)*every {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}
