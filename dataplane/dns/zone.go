package dns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// ttl is how long, in seconds, answers may be kept by clients. Short, because endpoints
// move; not zero, because a burst of lookups should not all come here.
const ttl = 5

// Row is what is known of one service's names.
type Row struct {
	Name, Namespace string
	ClusterIP       netip.Addr // zero for a headless service
	ExternalName    string     // the service is an alias of this name
	Ports           []Port
	Hosts           []Host // the endpoints of a headless service
}

// Port is a named port of a service, which has an SRV record.
type Port struct {
	Name      string
	Proto     string // "TCP", "UDP"
	Port      uint16
	Endpoints []netip.AddrPort // of a headless service
}

// Host is one endpoint, under its own name when its pod has one.
type Host struct {
	Addr     netip.Addr
	Hostname string
}

// zone is the content of the cluster's domain, and the reverse names of its addresses.
// Each service has its own part of it, so that a change costs what changed. It is not safe
// for concurrent use.
type zone struct {
	domain     string           // "cluster.local."
	fixed      map[string]*name // what is there without any service
	services   map[string]*part // by "namespace/name"
	namespaces map[string]int   // how many services each has
	reverse    map[string]string
	serial     uint32 // counts the changes
}

// part is what one service contributes.
type part struct {
	base    string // "web.default.svc.cluster.local."
	below   string // the same behind a dot: how the names below it end
	names   map[string]*name
	reverse map[string]string // "5.0.96.10.in-addr.arpa." → name
}

// name is what is known under one name; one without any record exists nevertheless when
// there are names below it.
type name struct {
	addrs []netip.Addr
	alias string
	srv   []target
	ptr   string
	text  string
}

type target struct {
	host string
	port uint16
	addr netip.Addr
}

// specVersion is the version of Kubernetes' DNS specification that the names follow.
const specVersion = "1.1.0"

func newZone(domain string) *zone {
	domain = dns.CanonicalName(domain)
	return &zone{
		domain: domain,
		fixed: map[string]*name{
			domain: {}, "svc." + domain: {}, "dns-version." + domain: {text: specVersion},
		},
		services: map[string]*part{}, namespaces: map[string]int{}, reverse: map[string]string{},
	}
}

// change puts services, and drops others by "namespace/name".
func (z *zone) change(put []Row, drop []string) {
	z.serial++
	for _, key := range drop {
		z.drop(key)
	}
	for _, r := range put {
		z.drop(r.Namespace + "/" + r.Name)
		p := newPart(r, z.domain)
		z.services[r.Namespace+"/"+r.Name] = p
		z.namespaces[r.Namespace]++
		for from, to := range p.reverse {
			z.reverse[from] = to
		}
	}
}

func (z *zone) drop(key string) {
	p, ok := z.services[key]
	if !ok {
		return
	}
	delete(z.services, key)
	for from, to := range p.reverse {
		if z.reverse[from] == to { // another service may have the address by now
			delete(z.reverse, from)
		}
	}
	namespace, _, _ := strings.Cut(key, "/")
	if z.namespaces[namespace]--; z.namespaces[namespace] == 0 {
		delete(z.namespaces, namespace)
	}
}

// find is the entry of a name; nil if there is no such name.
func (z *zone) find(fqdn string) *name {
	fqdn = dns.CanonicalName(fqdn)
	if n, ok := z.fixed[fqdn]; ok {
		return n
	}
	if to, ok := z.reverse[fqdn]; ok {
		return &name{ptr: to}
	}
	rest, ok := strings.CutSuffix(fqdn, ".svc."+z.domain)
	if !ok {
		return nil
	}
	labels := dns.SplitDomainName(rest)
	if len(labels) == 0 {
		return nil
	}
	namespace := labels[len(labels)-1]
	if len(labels) == 1 {
		if z.namespaces[namespace] > 0 {
			return &name{}
		}
		return nil
	}
	if p, ok := z.services[namespace+"/"+labels[len(labels)-2]]; ok {
		return p.names[fqdn]
	}
	return nil
}

func newPart(r Row, domain string) *part {
	base := dns.CanonicalName(r.Name + "." + r.Namespace + ".svc." + domain)
	p := &part{base: base, below: "." + base, names: make(map[string]*name, len(r.Hosts)+len(r.Ports)+1), reverse: map[string]string{}}
	n := p.at(p.base)
	switch {
	case r.ExternalName != "":
		n.alias = dns.Fqdn(r.ExternalName)
	case r.ClusterIP.IsValid():
		p.addClusterIP(r, n)
	default:
		p.addHeadless(r, n)
	}
	return p
}

// at is the entry of a name in canonical form, and makes sure that the names between it and the service's
// own exist.
func (p *part) at(fqdn string) *name {
	if n, ok := p.names[fqdn]; ok {
		return n
	}
	n := &name{}
	p.names[fqdn] = n
	if _, above, ok := strings.Cut(fqdn, "."); ok && (above == p.base || strings.HasSuffix(above, p.below)) {
		p.at(above)
	}
	return n
}

func (p *part) addClusterIP(r Row, n *name) {
	n.addrs = []netip.Addr{r.ClusterIP}
	p.reverseTo(r.ClusterIP, p.base)
	for _, port := range r.Ports {
		if port.Name != "" {
			srv := p.at(srvName(port, p.base))
			srv.srv = append(srv.srv, target{p.base, port.Port, r.ClusterIP})
		}
	}
}

// addHeadless names the endpoints themselves.
func (p *part) addHeadless(r Row, all *name) {
	hosts := map[netip.Addr]string{}
	for _, h := range r.Hosts {
		label := h.Hostname
		if label == "" {
			label = strings.ReplaceAll(h.Addr.String(), ".", "-")
		}
		host := dns.CanonicalName(label + "." + p.base)
		hosts[h.Addr] = host
		n := p.at(host)
		n.addrs = append(n.addrs, h.Addr)
		all.addrs = append(all.addrs, h.Addr)
		if h.Hostname != "" {
			p.reverseTo(h.Addr, host)
		}
	}
	for _, port := range r.Ports {
		var targets []target
		for _, e := range port.Endpoints {
			if host, ok := hosts[e.Addr()]; ok {
				targets = append(targets, target{host, e.Port(), e.Addr()})
			}
		}
		if port.Name != "" && len(targets) > 0 {
			srv := p.at(srvName(port, p.base))
			srv.srv = append(srv.srv, targets...)
		}
	}
}

func srvName(p Port, base string) string {
	return dns.CanonicalName("_" + p.Name + "._" + p.Proto + "." + base)
}

func (p *part) reverseTo(a netip.Addr, to string) {
	if r, err := dns.ReverseAddr(a.String()); err == nil {
		p.reverse[r] = to
	}
}

// owns says whether a question is answered here rather than upstream: all of the
// cluster's domain, and the reverse names that are known.
func (z *zone) owns(fqdn string) bool {
	fqdn = dns.CanonicalName(fqdn)
	_, known := z.reverse[fqdn]
	return known || dns.IsSubDomain(z.domain, fqdn)
}

// answer fills in a reply to a question about a name that the zone owns. It returns the
// name that is left to be resolved elsewhere, when the answer is an alias.
func (z *zone) answer(q dns.Question, reply *dns.Msg) (follow string) {
	reply.Authoritative = true
	n := z.find(q.Name)
	switch {
	case n == nil:
		reply.Rcode = dns.RcodeNameError
	case n.alias != "" && q.Qtype != dns.TypeSOA:
		reply.Answer = append(reply.Answer, &dns.CNAME{Hdr: header(q.Name, dns.TypeCNAME), Target: n.alias})
		if q.Qtype != dns.TypeCNAME {
			return n.alias
		}
	default:
		z.records(q, n, reply)
	}
	if len(reply.Answer) == 0 {
		reply.Ns = append(reply.Ns, z.soa())
	}
	return ""
}

func (z *zone) records(q dns.Question, n *name, reply *dns.Msg) {
	wants := func(t uint16) bool { return q.Qtype == t || q.Qtype == dns.TypeANY }
	put := func(rr dns.RR) { reply.Answer = append(reply.Answer, rr) }
	if wants(dns.TypeA) {
		for _, a := range n.addrs {
			if rr := addressRecord(q.Name, a); rr != nil {
				put(rr)
			}
		}
	}
	if wants(dns.TypeSRV) {
		for _, t := range n.srv {
			put(&dns.SRV{Hdr: header(q.Name, dns.TypeSRV), Weight: uint16(100 / len(n.srv)), Port: t.port, Target: t.host})
			if rr := addressRecord(t.host, t.addr); rr != nil && !slices.ContainsFunc(reply.Extra, same(rr)) {
				reply.Extra = append(reply.Extra, rr)
			}
		}
	}
	if wants(dns.TypePTR) && n.ptr != "" {
		put(&dns.PTR{Hdr: header(q.Name, dns.TypePTR), Ptr: n.ptr})
	}
	if wants(dns.TypeTXT) && n.text != "" {
		put(&dns.TXT{Hdr: header(q.Name, dns.TypeTXT), Txt: []string{n.text}})
	}
	if dns.CanonicalName(q.Name) != z.domain {
		return
	}
	if wants(dns.TypeSOA) {
		put(z.soa())
	}
	if wants(dns.TypeNS) {
		put(&dns.NS{Hdr: header(z.domain, dns.TypeNS), Ns: "ns.dns." + z.domain})
	}
}

func same(rr dns.RR) func(dns.RR) bool {
	return func(o dns.RR) bool { return dns.IsDuplicate(rr, o) }
}

// addressRecord is nil for what is not IPv4: the dataplane has no other addresses.
func addressRecord(fqdn string, a netip.Addr) dns.RR {
	if !a.Is4() {
		return nil
	}
	return &dns.A{Hdr: header(fqdn, dns.TypeA), A: a.AsSlice()}
}

func header(fqdn string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: fqdn, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

// soa also tells how long a "no" may be remembered.
func (z *zone) soa() dns.RR {
	return &dns.SOA{
		Hdr: header(z.domain, dns.TypeSOA), Ns: "ns.dns." + z.domain, Mbox: "hostmaster." + z.domain,
		Serial: z.serial, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl,
	}
}
