package jetstream

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// DialOptions say where a server is and who asks.
type DialOptions struct {
	URL        string // nats://127.0.0.1:port
	Credential Credential
}

// Client is one connection: the wires of its user, and as much of the log as
// that user may append.
type Client struct {
	user  string
	nats  *nats.Conn
	wrote func(events.Seq) // told of every acknowledged append
	hears func(subject string) bool

	prefix string // of this connection's reply subjects

	mu      sync.Mutex
	next    uint64
	waiting map[string]*waiter // by the last token of the reply subject
	closed  bool
}

// waiter waits for what arrives on a reply subject of its own.
type waiter struct {
	subject string // that it spoke to
	// got is called in order of arrival, from one goroutine, and must not
	// block; with an error when nothing more can arrive.
	got func(*nats.Msg, error)
}

// dialTimeout bounds a first connection: a CLI must not hang when nothing runs.
const dialTimeout = 2 * time.Second

// reconnectEvery is how often a client that lost its server tries again.
const reconnectEvery = 250 * time.Millisecond

// Both ends ask each other whether they are still there: of a cut link nobody is told, and
// until it is noticed requests go to a connection that nobody reads.
const (
	pingEvery = 5 * time.Second
	maxPings  = 2 // unanswered ones
)

// Dial connects. It fails within two seconds with bus.ErrUnreachable when there
// is no server and with bus.ErrUnauthorized when it refuses the credential. A
// connection that breaks later comes back by itself; meanwhile everything
// fails with bus.ErrUnreachable.
func Dial(ctx context.Context, o DialOptions) (*Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := dial(o.URL, o.Credential, nats.Timeout(dialTimeout))
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", o.URL, err)
	}
	return c, nil
}

func dial(url string, cred Credential, more ...nats.Option) (*Client, error) {
	c := &Client{user: cred.User, waiting: map[string]*waiter{}, wrote: func(events.Seq) {}, hears: func(string) bool { return true }}
	options := append([]nats.Option{
		nats.Name("stave " + cred.User), nats.UserInfo(cred.User, cred.Password),
		nats.CustomInboxPrefix(inboxPrefix(cred.User)),
		nats.MaxReconnects(-1), nats.ReconnectWait(reconnectEvery), nats.ReconnectJitter(reconnectEvery, reconnectEvery),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(maxPings),
		nats.ReconnectBufSize(-1), // what cannot be sent now fails now
		nats.DisconnectErrHandler(func(*nats.Conn, error) { c.fail(bus.ErrUnreachable) }),
		nats.ClosedHandler(func(*nats.Conn) { c.fail(bus.ErrUnreachable) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.refused(err) }),
	}, more...)
	var err error
	if c.nats, err = nats.Connect(url, options...); err != nil {
		return nil, connectError(err)
	}
	c.prefix = nats.NewInbox()
	c.prefix = inboxPrefix(cred.User) + c.prefix[strings.LastIndexByte(c.prefix, '.'):] + "."
	sub, err := c.nats.Subscribe(c.prefix+"*", c.dispatch)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1) // replies are bounded by what was asked
	}
	if err != nil {
		c.nats.Close()
		return nil, fmt.Errorf("subscribe to replies: %w", err)
	}
	return c, nil
}

func connectError(err error) error {
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
		return fmt.Errorf("%w: %w", bus.ErrUnauthorized, err)
	}
	return fmt.Errorf("%w: %w", bus.ErrUnreachable, err)
}

// Listens implements bus.Audience. A client that is not the server's own cannot know, and says yes.
func (c *Client) Listens(subject string) bool { return c.hears(subject) }

// Close ends the connection; whoever waits for something gets bus.ErrUnreachable.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.nats.Close()
	c.fail(bus.ErrUnreachable)
}

// await makes a reply subject. forget must be called when nothing more is wanted.
func (c *Client) await(subject string, got func(*nats.Msg, error)) (reply string, forget func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	key := strconv.FormatUint(c.next, 36)
	c.waiting[key] = &waiter{subject, got}
	return c.prefix + key, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, key)
	}
}

func (c *Client) dispatch(m *nats.Msg) {
	c.mu.Lock()
	w := c.waiting[m.Subject[len(c.prefix):]]
	c.mu.Unlock()
	if w != nil {
		w.got(m, nil)
	}
}

// fail tells everybody who waits that the connection is gone: replies are not
// repeated to a new one.
func (c *Client) fail(err error) {
	c.mu.Lock()
	waiting := c.waiting
	c.waiting = map[string]*waiter{}
	c.mu.Unlock()
	for _, w := range waiting {
		w.got(nil, err)
	}
}

// refusedSubject finds the subject in the server's words about a violation,
// which come without saying which message they are about.
var refusedSubject = regexp.MustCompile(`(?i)for publish to "([^"]*)"`)

// refused fails whoever spoke to a subject that the user may not use; it would
// wait for ever.
func (c *Client) refused(err error) {
	m := refusedSubject.FindStringSubmatch(err.Error())
	if m == nil {
		return
	}
	var failed []*waiter
	c.mu.Lock()
	for key, w := range c.waiting {
		if w.subject == m[1] {
			failed = append(failed, w)
			delete(c.waiting, key)
		}
	}
	c.mu.Unlock()
	for _, w := range failed {
		w.got(nil, fmt.Errorf("%s may not publish to %s: %w", c.user, m[1], bus.ErrUnauthorized))
	}
}

// send publishes, or says that there is no connection.
func (c *Client) send(m *nats.Msg) error {
	err := c.nats.PublishMsg(m)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("publish to %s: %w", m.Subject, bus.ErrTooLarge)
	case errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrInvalidMsg), errors.Is(err, nats.ErrBadHeaderMsg):
		return fmt.Errorf("publish to %q: %w", m.Subject, err)
	}
	return fmt.Errorf("publish to %s: %w: %w", m.Subject, bus.ErrUnreachable, err)
}

// noResponders tells whether the server says that nobody listens.
func noResponders(m *nats.Msg) bool { return len(m.Data) == 0 && m.Header.Get("Status") == "503" }
