package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Bounds of forwarding: how long one server may take, and how many questions may wait.
const (
	upstreamTimeout = 2 * time.Second
	maxForwards     = 512
)

var errNoUpstream = errors.New("no name server to forward to")

// upstreams forwards questions. Servers are fixed, or those of a resolv.conf that is read
// again when it changes.
type upstreams struct {
	file string
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	slot chan struct{} // one for each question under way

	mu      sync.Mutex
	servers []string
	read    time.Time
}

func newUpstreams(o Options) *upstreams {
	u := &upstreams{file: o.ResolvConf, dial: o.Dial, slot: make(chan struct{}, maxForwards)}
	if u.dial == nil {
		u.dial = new(net.Dialer).DialContext
	}
	if o.Upstreams != nil {
		u.file = ""
		for _, s := range o.Upstreams {
			u.servers = append(u.servers, s.String())
		}
	}
	return u
}

// list is the servers to ask, in order; self is left out, lest we ask ourselves.
func (u *upstreams) list(self netip.AddrPort) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reread()
	var out []string
	for _, s := range u.servers {
		if s != self.String() {
			out = append(out, s)
		}
	}
	return out
}

// reread keeps the last servers when the file can't be read: it is replaced now and then.
func (u *upstreams) reread() {
	if u.file == "" {
		return
	}
	st, err := os.Stat(u.file)
	if err != nil || st.ModTime().Equal(u.read) {
		return
	}
	conf, err := dns.ClientConfigFromFile(u.file)
	if err != nil {
		return
	}
	u.read, u.servers = st.ModTime(), nil
	for _, s := range conf.Servers {
		u.servers = append(u.servers, net.JoinHostPort(s, conf.Port))
	}
}

// ask forwards a question to the servers in turn until one answers it.
func (u *upstreams) ask(ctx context.Context, q *dns.Msg, network string, self netip.AddrPort) (*dns.Msg, error) {
	select {
	case u.slot <- struct{}{}:
		defer func() { <-u.slot }()
	default:
		return nil, fmt.Errorf("forward: %d questions are waiting already", maxForwards)
	}
	err := errNoUpstream
	for _, server := range u.list(self) {
		var answer *dns.Msg
		if answer, err = u.exchange(ctx, q, network, server); err == nil && answer.Rcode != dns.RcodeServerFailure {
			return answer, nil
		}
	}
	if err == nil {
		err = errors.New("every name server failed")
	}
	return nil, fmt.Errorf("forward: %w", err)
}

// exchange asks one server; an answer that did not fit comes again over TCP.
func (u *upstreams) exchange(ctx context.Context, q *dns.Msg, network, server string) (*dns.Msg, error) {
	ask := q.Copy()
	ask.Id = dns.Id()
	ctx, cancel := context.WithTimeout(ctx, upstreamTimeout)
	defer cancel()
	conn, err := u.dial(ctx, network, server)
	if err != nil {
		return nil, fmt.Errorf("ask %s over %s: %w", server, network, err)
	}
	defer conn.Close()
	client := &dns.Client{Net: network, Timeout: upstreamTimeout}
	answer, _, err := client.ExchangeWithConnContext(ctx, ask, &dns.Conn{Conn: conn})
	if err == nil && answer.Truncated && network == "udp" {
		return u.exchange(ctx, q, "tcp", server)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s over %s: %w", server, network, err)
	}
	return answer, nil
}
