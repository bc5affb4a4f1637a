package jetstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/sealed"
)

// Options say where the log lives and who may speak to it.
type Options struct {
	Dir  string // of the store; made with mode 0700
	Name string // of the server, as it tells its clients
	// Listen is a loopback address. Port 0 picks a free one and keeps it for
	// the next starts, so that agents and contexts find the server again.
	Listen      string
	Credentials []Credential
	// Progress is told what a start that takes long is doing; may be nil.
	Progress func(line string)
	// Warn is told what the server complains about; may be nil.
	Warn func(line string)
	// OnFatal is told that a sync failed. It must end the process: after a
	// failed sync nobody knows what the disk holds. Nil panics.
	OnFatal func(error)

	// Reserve is how much room on the disk is held for what nodes report, in
	// bytes; 0 holds a share of the disk.
	Reserve int64

	bounds *bounds // of tests; nil are the log's own
}

// bounds are how much of the log lies where, in events and in bytes.
type bounds struct{ seal, hot, bytes, hotBytes int }

// Server is the embedded server with its log.
type Server struct {
	options   Options
	nats      *server.Server
	password  string // of the control plane
	guests    *guests
	control   *Client
	log       *Log
	notes     *Notes
	stopFacts func()
	doors     []net.Listener // further ones, see Welcome
	visits    sync.WaitGroup
}

// startTimeout bounds the wait for a client's first connection; reading the
// store comes before it and takes as long as it takes.
const startTimeout = 20 * time.Second

// Open starts the server, judges the store, and makes the log if there is none.
// It fails with *DamageError on a store that has lost what was durable.
func Open(ctx context.Context, o Options) (*Server, error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	if o.OnFatal == nil {
		o.OnFatal = func(err error) { panic(err) }
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make store: %w", err)
	}
	s := &Server{options: o}
	if err := s.start(); err != nil {
		return nil, err
	}
	var err error
	if s.control, err = s.connect(controlUser, s.password); err == nil {
		s.control.hears = s.nats.GlobalAccount().SubscriptionInterest
		s.log, err = openLog(ctx, o, s.control)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	s.control.wrote = s.log.wrote
	if err = s.openNotes(ctx); err == nil {
		err = s.takeFacts()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) start() error {
	host, port, err := listenOn(s.options.Listen, s.options.Dir)
	if err != nil {
		return err
	}
	if s.password, err = newPassword(); err != nil {
		return err
	}
	if s.guests, err = newGuests(s.password, s.options.Credentials); err != nil {
		return err
	}
	s.nats, err = server.NewServer(&server.Options{
		ServerName: s.options.Name, Host: host, Port: port, NoSigs: true,
		CustomClientAuthentication: s.guests,
		JetStream:                  true, StoreDir: s.options.Dir, DisableJetStreamBanner: true,
		JetStreamMaxStore: maxStore,
		MaxPayload:        bus.MaxPayload, MaxPending: maxPending, WriteDeadline: 30 * time.Second,
		PingInterval: pingEvery, MaxPingsOut: maxPings,
	})
	if err != nil {
		return fmt.Errorf("configure server: %w", err)
	}
	s.nats.SetLoggerV2(&reporter{s.options}, false, false, false)
	s.nats.Start()
	if !s.nats.ReadyForConnections(startTimeout) {
		s.stop()
		return fmt.Errorf("start server on %s: not ready after %s", net.JoinHostPort(host, strconv.Itoa(port)), startTimeout)
	}
	return keepPort(s.options.Dir, s.nats.Addr())
}

// maxStore is no bound: by itself the server takes three quarters of what is free
// at its start, and a restart on a fuller disk would refuse everything.
const maxStore = 1 << 60

// maxPending is how many bytes a slow client may have waiting before it is cut
// off: a follower that replays the log while a garbage collection stops it.
const maxPending = 256 << 20

// listenOn reads a loopback address; port -1 is NATS' word for any.
func listenOn(listen, dir string) (host string, port int, err error) {
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	host, p, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("listen on %q: %w", listen, err)
	}
	if port, err = strconv.Atoi(p); err != nil {
		return "", 0, fmt.Errorf("listen on %q: %w", listen, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", 0, fmt.Errorf("listen on %q: only loopback addresses: the connection is not encrypted", listen)
	}
	if port == 0 {
		return host, keptPort(host, dir), nil
	}
	// The server would say so in its own log only, and be waited for in vain.
	if err := free(host, p); err != nil {
		return "", 0, err
	}
	return host, port, nil
}

// free says why a port cannot be listened on, if it cannot.
func free(host, port string) error {
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	return l.Close()
}

func portPath(dir string) string { return filepath.Join(dir, "port") }

// keptPort is the port of the last start when it is still free, else any.
func keptPort(host, dir string) int {
	b, err := os.ReadFile(portPath(dir))
	if err != nil {
		return server.RANDOM_PORT
	}
	port := strings.TrimSpace(string(b))
	if free(host, port) != nil {
		return server.RANDOM_PORT
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return server.RANDOM_PORT
	}
	return n
}

func keepPort(dir string, a net.Addr) error {
	_, port, err := net.SplitHostPort(a.String())
	if b, bad := os.ReadFile(portPath(dir)); err == nil && bad == nil && string(b) == port+"\n" {
		return nil // also on a full disk
	}
	if err == nil {
		err = sealed.Replace(portPath(dir), []byte(port+"\n"))
	}
	if err != nil {
		return fmt.Errorf("keep port: %w", err)
	}
	return nil
}

// Log is the log. It lives as long as the server.
func (s *Server) Log() *Log { return s.log }

// Address is where clients connect: nats://127.0.0.1:port.
func (s *Server) Address() string { return "nats://" + s.nats.Addr().String() }

// Wires are the control plane's own: they may use every subject.
func (s *Server) Wires() *Client { return s.control }

// Connect is a connection inside the process in somebody's name, with no more
// rights than that user has over the network.
func (s *Server) Connect(user string) (*Client, error) {
	if c, ok := s.guests.find(user); ok {
		return s.connect(c.User, c.Password)
	}
	return nil, fmt.Errorf("connect as %s: %w", user, bus.ErrUnauthorized)
}

func (s *Server) connect(user, password string) (*Client, error) {
	c, err := dial("", Credential{User: user, Password: password}, nats.InProcessServer(s.nats))
	if err != nil {
		return nil, fmt.Errorf("connect inside the process: %w", err)
	}
	return c, nil
}

// Close syncs the log and ends the server. Agents see it go and come back later.
func (s *Server) Close() error {
	if s.stopFacts != nil {
		s.stopFacts()
	}
	if s.notes != nil {
		s.notes.close()
	}
	err := s.log.Close()
	s.stop()
	return errors.Join(err, syncFileSystem(s.options.Dir))
}

func (s *Server) stop() {
	if s.control != nil {
		s.control.Close()
	}
	s.closeDoors()
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	s.visits.Wait()
}

// reporter takes the server's own log lines.
type reporter struct{ Options }

// Noticef passes on what takes long at a start.
func (r *reporter) Noticef(f string, a ...any) {
	if strings.Contains(f, "estor") {
		r.Progress(strings.TrimSpace(fmt.Sprintf(f, a...)))
	}
}

// Warnf implements server.Logger.
func (r *reporter) Warnf(f string, a ...any) {
	r.Warn(strings.TrimSpace(fmt.Sprintf(f, a...)))
}

// Errorf implements server.Logger.
func (r *reporter) Errorf(f string, a ...any) { r.Warnf(f, a...) }

// Fatalf implements server.Logger; the server does not end the process itself
// when it is embedded.
func (r *reporter) Fatalf(f string, a ...any) { r.Warnf(f, a...) }

// Debugf implements server.Logger and is off.
func (r *reporter) Debugf(string, ...any) {}

// Tracef implements server.Logger and is off.
func (r *reporter) Tracef(string, ...any) {}
