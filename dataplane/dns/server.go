package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/miekg/dns"
)

// DefaultDomain is the cluster's domain unless it is set.
const DefaultDomain = "cluster.local"

// Options say where and for what the server answers.
type Options struct {
	// Listen is the address for UDP and TCP; it should not be one that the outside can
	// reach. Port 0 lets the kernel choose one, see [Server.Addr].
	Listen netip.AddrPort
	// Domain is the cluster's domain. Default [DefaultDomain].
	Domain string
	// Upstreams are asked about everything else. Nil means those in ResolvConf; empty none.
	Upstreams []netip.AddrPort
	// ResolvConf is read for the upstreams, again when it changes. Default /etc/resolv.conf.
	ResolvConf string
	// Dial connects to upstreams; nil dials from here.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Log takes what goes wrong with upstreams. Default: nowhere.
	Log *slog.Logger
}

// Server is a running name server.
type Server struct {
	opts Options
	addr netip.AddrPort
	up   *upstreams

	mu       sync.RWMutex
	zone     *zone // nil until it is known
	recalled bool  // it is of before, and may lack what came since

	ctx     context.Context
	stop    context.CancelFunc
	servers []*dns.Server
	running sync.WaitGroup
}

// Serve listens and answers until the context ends or the server is closed. Until the
// first [Server.Update] names of the cluster's domain fail for the moment, instead of
// being said not to exist.
func Serve(ctx context.Context, o Options) (*Server, error) {
	if !o.Listen.IsValid() {
		return nil, errors.New("serve DNS: no address to listen on")
	}
	udp, tcp, err := listen(o.Listen)
	for range portTries {
		if err == nil || o.Listen.Port() != 0 {
			break
		}
		udp, tcp, err = listen(o.Listen)
	}
	if err != nil {
		return nil, fmt.Errorf("listen for DNS: %w", err)
	}
	return ServeOn(ctx, udp, tcp, o), nil
}

// portTries is how often the kernel is asked for a port that is free for TCP, too.
const portTries = 10

// listen takes one port for both, also where the kernel chooses it.
func listen(at netip.AddrPort) (net.PacketConn, net.Listener, error) {
	udp, err := net.ListenPacket("udp", at.String())
	if err != nil {
		return nil, nil, err
	}
	tcp, err := net.Listen("tcp", udp.LocalAddr().String())
	if err != nil {
		return nil, nil, errors.Join(err, udp.Close())
	}
	return udp, tcp, nil
}

// ServeOn is [Serve] on sockets that the caller has opened, in another network namespace
// perhaps. Both are closed with the server.
func ServeOn(ctx context.Context, udp net.PacketConn, tcp net.Listener, o Options) *Server {
	o.Domain = cmp.Or(o.Domain, DefaultDomain)
	o.ResolvConf = cmp.Or(o.ResolvConf, "/etc/resolv.conf")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: o, up: newUpstreams(o)}
	s.addr, _ = netip.ParseAddrPort(udp.LocalAddr().String())
	s.ctx, s.stop = context.WithCancel(ctx)
	for _, d := range []*dns.Server{{PacketConn: udp, Handler: s}, {Listener: tcp, Handler: s}} {
		s.start(d)
	}
	context.AfterFunc(s.ctx, s.shutDown)
	return s
}

// start returns when the server answers.
func (s *Server) start(d *dns.Server) {
	up := make(chan struct{})
	d.NotifyStartedFunc = sync.OnceFunc(func() { close(up) })
	s.servers = append(s.servers, d)
	s.running.Go(func() {
		defer d.NotifyStartedFunc()
		if err := d.ActivateAndServe(); err != nil && s.ctx.Err() == nil {
			s.opts.Log.Error("serving DNS", "addr", s.addr, "err", err)
		}
	})
	<-up
}

func (s *Server) shutDown() {
	for _, d := range s.servers {
		if err := d.Shutdown(); err != nil {
			s.opts.Log.Debug("stopping DNS", "addr", s.addr, "err", err)
		}
	}
}

// Addr is where the server listens.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Update replaces everything that is known about services, at once.
func (s *Server) Update(rows []Row) {
	fresh := newZone(s.opts.Domain)
	fresh.change(rows, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.zone != nil {
		fresh.serial += s.zone.serial
	}
	s.zone, s.recalled = fresh, false
}

// Recall makes the server answer from what an earlier one knew, until the first [Server.Update]. A name of the cluster's
// domain that is not in it fails for the moment: it may have come since.
func (s *Server) Recall(rows []Row) {
	old := newZone(s.opts.Domain)
	old.change(rows, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.zone == nil {
		s.zone, s.recalled = old, true
	}
}

// Change puts single services and drops others by "namespace/name", at a cost that does not
// depend on how many there are. It is for after a first [Server.Update].
func (s *Server) Change(put []Row, drop []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.zone == nil {
		s.zone = newZone(s.opts.Domain)
	}
	s.zone.change(put, drop)
}

// Close stops the server and waits for the answers under way.
func (s *Server) Close() error {
	s.stop()
	s.running.Wait()
	return nil
}

// ServeDNS answers one question; it is called by the listeners.
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	network := w.LocalAddr().Network()
	reply := s.reply(q, network)
	if reply.Authoritative {
		spread(reply.Answer)
	}
	fit(reply, q, network)
	if err := w.WriteMsg(reply); err != nil {
		s.opts.Log.Debug("answering DNS", "client", w.RemoteAddr(), "err", err)
	}
}

func (s *Server) reply(q *dns.Msg, network string) *dns.Msg {
	reply := new(dns.Msg).SetReply(q)
	reply.RecursionAvailable = true
	switch {
	case q.Opcode != dns.OpcodeQuery:
		return reply.SetRcode(q, dns.RcodeNotImplemented)
	case len(q.Question) != 1:
		return reply.SetRcodeFormatError(q)
	}
	question := q.Question[0]
	follow, ours := s.answer(question, reply)
	if !ours {
		return s.forward(q, network)
	}
	// An alias is followed to its end, in our zone or elsewhere; one of another as far as a
	// sane one goes.
	const maxAliases = 8
	for range maxAliases {
		if follow == "" {
			return reply
		}
		question.Name = follow
		if follow, ours = s.answer(question, reply); !ours {
			more := s.forward(new(dns.Msg).SetQuestion(question.Name, question.Qtype), network)
			reply.Answer = append(reply.Answer, more.Answer...)
			reply.Rcode = more.Rcode
			return reply
		}
	}
	return reply.SetRcode(q, dns.RcodeServerFailure)
}

// answer adds what the zone knows of a question to the reply. It returns the name that an
// alias leads to, and whether the question is the zone's at all.
func (s *Server) answer(question dns.Question, reply *dns.Msg) (follow string, ours bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.zone == nil && dns.IsSubDomain(dns.Fqdn(s.opts.Domain), dns.CanonicalName(question.Name)):
		reply.Rcode = dns.RcodeServerFailure
		return "", true
	case s.zone == nil || question.Qclass != dns.ClassINET || !s.zone.owns(question.Name):
		return "", false
	}
	follow = s.zone.answer(question, reply)
	if s.recalled && reply.Rcode == dns.RcodeNameError {
		reply.Rcode, reply.Ns = dns.RcodeServerFailure, nil
	}
	return follow, true
}

// forward gives the question to the upstreams. Without any it is refused, which lets a
// client go on to its next server; a failure is temporary.
func (s *Server) forward(q *dns.Msg, network string) *dns.Msg {
	answer, err := s.up.ask(s.ctx, q, network, s.addr)
	if err == nil {
		answer.Id = q.Id
		return answer
	}
	s.opts.Log.Debug("forwarding DNS", "name", q.Question[0].Name, "err", err)
	code := dns.RcodeServerFailure
	if errors.Is(err, errNoUpstream) {
		code = dns.RcodeRefused
	}
	return new(dns.Msg).SetRcode(q, code)
}

// spread puts addresses in another order each time, as Kubernetes' name server does: most clients take the first, and of a
// headless service all would come to one pod. What leads to them stays before them.
func spread(answers []dns.RR) {
	first := slices.IndexFunc(answers, isAddress)
	if first < 0 {
		return
	}
	addresses := answers[first:]
	if !slices.ContainsFunc(addresses, func(rr dns.RR) bool { return !isAddress(rr) }) {
		rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	}
}

func isAddress(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeA }

// fit cuts a reply down to what the client can take, and answers its EDNS. What does not
// fit makes it ask again over TCP.
func fit(reply, q *dns.Msg, network string) {
	size := dns.MinMsgSize
	if opt := q.IsEdns0(); opt != nil {
		size = max(size, int(opt.UDPSize()))
		if reply.IsEdns0() == nil {
			reply.SetEdns0(opt.UDPSize(), opt.Do())
		}
	}
	if network == "tcp" {
		size = dns.MaxMsgSize
	}
	reply.Compress = true
	reply.Truncate(size)
}
