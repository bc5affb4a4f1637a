package bus

import (
	"context"
	"errors"
	"time"
)

// Wires are what goes past the log: requests and replies, the live feed and
// byte streams. Subjects are NATS subjects.
type Wires interface {
	// Request sends one request and waits for its reply. Both may be larger
	// than one message. It fails with ErrNoServer when nobody serves the subject.
	Request(ctx context.Context, subject string, body []byte) ([]byte, error)
	// Serve answers requests, each in a goroutine of its own, at most
	// MaxRequests at a time. stop waits for those under way.
	Serve(subject string, answer func(ctx context.Context, r Request) []byte) (stop func(), err error)
	// ServeWaiting is Serve for requests whose answers take little but time, since they wait for one thing together: at most
	// MaxWaiting at a time, and of those that are larger than SmallRequest at most MaxRequests.
	ServeWaiting(subject string, answer func(ctx context.Context, r Request) []byte) (stop func(), err error)
	// Publish sends one message to whoever listens now; it is never stored.
	Publish(m Message) error
	// Subscribe calls f for each message in order. A subscriber that is too
	// slow loses messages; feeds carry positions so that a gap shows.
	Subscribe(subject string, f func(Message)) (stop func(), err error)
	// Dial opens a stream to whoever accepts on the subject.
	Dial(ctx context.Context, subject string, hello []byte) (Stream, error)
	// Accept serves streams, each in a goroutine of its own; the stream is
	// closed when serve returns.
	Accept(subject string, serve func(ctx context.Context, hello Request, s Stream)) (stop func(), err error)
}

// Audience is what some wires know: whether anybody listens on a subject now. What nobody hears need not be said.
type Audience interface {
	Listens(subject string) bool
}

// Request is what a server is asked.
type Request struct {
	Subject string
	From    string // the requester's user name: the token after "req." that the server's permissions vouch for
	Body    []byte
}

// Message is one message of a feed.
type Message struct {
	Subject string
	Header  map[string]string // single-valued
	Body    []byte
}

// Frame is one piece of a stream. What a channel means is the protocol's.
type Frame struct {
	Channel byte
	Data    []byte
}

// Stream is a two-way, ordered, flow-controlled sequence of frames.
type Stream interface {
	// Send blocks while the other side is MaxWindow bytes behind.
	Send(ctx context.Context, f Frame) error
	// Recv returns io.EOF after the other side closed in order, and
	// ErrStreamLost when it went away.
	Recv(ctx context.Context) (Frame, error)
	// Close tells the other side that nothing more comes; Recv still works.
	Close() error
}

// The limits of the wires.
const (
	// MaxPayload is the most bytes one NATS message may have.
	MaxPayload = 8 << 20
	// MaxRequests is how many requests one Serve answers at a time.
	MaxRequests = 64
	// MaxWaiting is how many one ServeWaiting answers at a time, and SmallRequest how many bytes one of them may have that
	// takes no place of a large one.
	MaxWaiting   = 512
	SmallRequest = 64 << 10
	// MaxRequest is the most bytes that one request may have in all.
	MaxRequest = 64 << 20
	// MaxWindow is how many bytes a stream's sender may be ahead of its reader.
	MaxWindow = 256 << 10
	// StreamSilence is how long a stream may be silent before it counts as lost;
	// both sides send something more often.
	StreamSilence = 15 * time.Second
)

// Errors of the wires.
var (
	// ErrNoServer: nobody serves the subject.
	ErrNoServer = errors.New("nobody answers")
	// ErrStreamLost: the other side went away without closing.
	ErrStreamLost = errors.New("stream lost")
	// ErrUnreachable: there is no connection to the server.
	ErrUnreachable = errors.New("server unreachable")
	// ErrUnauthorized: the server does not take the credential.
	ErrUnauthorized = errors.New("credential refused")
)
