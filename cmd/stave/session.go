package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// session is one run of the CLI: its flags, its terminal and, once somebody
// asks, its connection.
type session struct {
	globals
	*terminal
	door      door
	user      string
	wires     bus.Wires
	namespace string // of the context
	at        moment // what is read is read as it was then; zero is now
	hangUp    func()
	done      <-chan struct{} // closed when the person wants no more of it
}

func newSession(ctx context.Context, g globals, t *terminal) *session {
	s := &session{globals: g, terminal: t, done: ctx.Done()}
	known.askBy(ctx, s)
	return s
}

// hints tells whether somebody sits there who may want to know more.
func (s *session) hints() bool { return s.tty && s.told && !s.Quiet }

func (s *session) close() {
	if s.hangUp != nil {
		s.hangUp()
	}
}

// connect opens the connection once.
func (s *session) connect(ctx context.Context) error {
	if s.wires != nil {
		return nil
	}
	d, ns, err := findDoor(s.globals)
	if err != nil {
		return err
	}
	cred, err := jetstream.LoadCredential(d.Credential)
	if errors.Is(err, fs.ErrPermission) {
		return helped{fmt.Errorf("read credential: %w", err), "whoever can read that file can use the cluster: sudo, or a copy from its owner"}
	}
	if err != nil {
		return fmt.Errorf("read credential: %w", err)
	}
	c, err := jetstream.Dial(ctx, jetstream.DialOptions{URL: d.Address, Credential: cred})
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	s.door, s.user, s.wires, s.hangUp, s.namespace = d, cred.User, c, c.Close, ns
	return nil
}

// inNamespace is the namespace of a request: the flag's, the context's, or default.
func (s *session) inNamespace() string {
	for _, ns := range []string{s.Namespace, s.namespace} {
		if ns != "" {
			return ns
		}
	}
	return "default"
}

// ask sends one request of a verb and decodes its reply.
func ask[R any](ctx context.Context, s *session, verb string, request any) (R, error) {
	var reply R
	if err := s.connect(ctx); err != nil {
		return reply, err
	}
	body, err := json.Marshal(request)
	if err != nil {
		return reply, fmt.Errorf("encode %s request: %w", verb, err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.RequestTimeout)
	defer cancel()
	raw, err := s.request(ctx, verb, body)
	if err != nil {
		return reply, fmt.Errorf("ask for %s: %w", verb, err)
	}
	if err := json.Unmarshal(raw, &reply); err != nil {
		return reply, fmt.Errorf("decode %s reply: %w", verb, err)
	}
	return reply, nil
}

// startPatience is how long a request waits for a server that listens and does
// not serve yet: one that folds its log after a restart.
const startPatience = 10 * time.Second

// request asks, again while nobody serves: then nobody has heard it.
func (s *session) request(ctx context.Context, verb string, body []byte) ([]byte, error) {
	for began := time.Now(); ; sleep(ctx, 200*time.Millisecond) {
		raw, err := s.wires.Request(ctx, wire.Subject(s.user, verb), body)
		if !errors.Is(err, bus.ErrNoServer) || ctx.Err() != nil || time.Since(began) > startPatience {
			return raw, err
		}
	}
}

// dial opens a stream of a subject, its request as JSON in front.
func (s *session) dial(ctx context.Context, subject string, request any) (bus.Stream, error) {
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	hello, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return s.wires.Dial(ctx, subject, hello)
}

// change asks for changes with an id of their own, so that a retry inside the
// wires cannot become a second wish.
func (s *session) change(ctx context.Context, r wire.ChangeRequest) ([]wire.Result, error) {
	reply, err := s.changeAll(ctx, r)
	return reply.Results, err
}

// changeAll is change with what else became of it.
func (s *session) changeAll(ctx context.Context, r wire.ChangeRequest) (wire.ChangeReply, error) {
	var err error
	if r.ID, err = newChange(); err != nil {
		return wire.ChangeReply{}, err
	}
	if r.Message == "" {
		r.Message = ownLine()
	}
	if err := s.connect(ctx); err != nil {
		return wire.ChangeReply{}, err
	}
	reply, err := ask[wire.ChangeReply](ctx, s, wire.VerbChange, r)
	if err != nil {
		return reply, inDoubt(err)
	}
	if err := refused(reply.Error); err != nil {
		return reply, err
	}
	if len(reply.Results) != len(r.Items) && len(reply.Moved) == 0 {
		return reply, fmt.Errorf("ask for %s: %d results for %d objects", r.Operation, len(reply.Results), len(r.Items))
	}
	return reply, nil
}

// changeLetters are the digits of the ids of changes.
const changeLetters = "zyxwvutsrqponmlk"

// newChange makes the id of a change. It is written in letters from the end of
// the alphabet, so that nobody takes it for a sequence or a hash.
func newChange() (string, error) {
	var raw [12]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", fmt.Errorf("make request id: %w", err)
	}
	var id strings.Builder
	for _, b := range raw {
		id.WriteByte(changeLetters[b>>4])
		id.WriteByte(changeLetters[b&15])
	}
	return id.String(), nil
}

// read asks for objects.
func (s *session) read(ctx context.Context, r wire.ReadRequest) (wire.ReadReply, error) {
	if r.At.IsZero() {
		r.At = s.at.Moment
	}
	defer s.longAgo(r.At)()
	reply, err := ask[wire.ReadReply](ctx, s, wire.VerbRead, r)
	if err != nil {
		return reply, err
	}
	return reply, refused(reply.Error)
}

// instant is the time of the moment that is read; zero is now.
func (s *session) instant(ctx context.Context) (time.Time, error) {
	if s.at.Seq == 0 {
		return s.at.Time, nil
	}
	reply, err := s.read(ctx, wire.ReadRequest{Resource: events.Nodes}) // any: ages count from the event's time
	return reply.Now, err
}

// readOne asks for one object, typed, or says NotFound.
func readOne[T events.Object](ctx context.Context, s *session, k events.Key) (T, error) {
	var none T
	reply, err := s.read(ctx, wire.ReadRequest{Resource: k.Resource, Namespace: k.Namespace, Names: []string{k.Name}})
	if err != nil {
		return none, err
	}
	if len(reply.Objects) == 0 {
		return none, notFound(k)
	}
	kind, _ := kindOf(k.Resource)
	o := kind.New()
	if err := json.Unmarshal(reply.Objects[0], o); err != nil {
		return none, fmt.Errorf("decode %s: %w", k, err)
	}
	return o.(T), nil
}

// inDoubt is a change without an answer: it may have been made.
func inDoubt(err error) error {
	if errors.Is(err, bus.ErrNoServer) || errors.Is(err, bus.ErrTooLarge) || errors.Is(err, bus.ErrUnauthorized) {
		return err // nobody heard it
	}
	const doubt = "the server may have made the change, whole or in part: 'stave tail --no-follow' shows what stands in the log; 'stave apply' can be repeated"
	if errors.Is(err, context.Canceled) {
		return goesOn{err, doubt}
	}
	return helped{err, doubt}
}
