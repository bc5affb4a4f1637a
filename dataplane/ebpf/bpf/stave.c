// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// The dataplane's programs. Here are those on packets: NodePort for the outside,
// ClusterIP for pods that do not go through the socket hooks, and the translation of
// pods' addresses towards the outside. They run on the node's links and on the pods'.
#include <linux/pkt_cls.h>
#include "sock.h"
#include "error.h"
#include "policy.h"

// To the next program on the link: another cluster's, or the kernel's own path.
#define PASS TC_ACT_UNSPEC

#define FROM_NET 0
#define FROM_POD 1

volatile const __be32 node_ip = 0;

// The pods of this node → the node's end of their link.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __be32);
	__type(value, __u32);
} pods SEC(".maps");

// The node's links to the outside → the address that pods' flows take there.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __be32);
} uplinks SEC(".maps");

struct prefix {
	__u32 bits;
	__be32 addr;
};

// Where pods are known by their own addresses: the cluster's pods and nodes. Without the
// nodes, answers to another node's translated flows would be translated once more.
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u8);
} inside SEC(".maps");

static __always_inline bool is_inside(__be32 addr)
{
	struct prefix p = { .bits = 32, .addr = addr };
	return bpf_map_lookup_elem(&inside, &p) != NULL;
}

// judged says whether policies let a packet to whom it goes. What the kernel brings to a pod is judged at the pod's link.
static __always_inline bool judged(struct __sk_buff *skb, const struct packet *p, const struct tuple *to, int from)
{
	struct tuple seen = p->t;
	__u32 *pod;

	seen.dst = to->dst;
	seen.dport = to->dport;
	if (seen.src == seen.dst) // through a service to itself
		return true;
	if (from == FROM_POD && !may(skb->ifindex, true, &seen, p))
		return false;
	pod = bpf_map_lookup_elem(&pods, &seen.dst);
	return !pod || may(*pod, false, &seen, p);
}

// forged tells a pod's packet under an address of the cluster that is not its own.
static __always_inline bool forged(struct __sk_buff *skb, const struct packet *p)
{
	__u32 *owner = bpf_map_lookup_elem(&pods, &p->t.src);

	return (!owner || *owner != skb->ifindex) && is_inside(p->t.src);
}

// outbound asks the routing table by which link an address is left for; 0 when it is the
// node itself, unreachable, or not by one of the uplinks. *src is that link's address.
static __always_inline __u32 outbound(struct __sk_buff *skb, const struct tuple *t, __be32 *src)
{
	struct bpf_fib_lookup q = {
		.family = 2, // AF_INET
		.ifindex = skb->ifindex,
		.l4_protocol = t->proto,
		.ipv4_src = t->src,
		.ipv4_dst = t->dst,
	};
	long r = bpf_fib_lookup(skb, &q, sizeof(q), 0);
	__u32 link = q.ifindex;
	__be32 *addr;

	// What is too large for the link is dealt with when it is sent.
	if (r != BPF_FIB_LKUP_RET_SUCCESS && r != BPF_FIB_LKUP_RET_NO_NEIGH && r != BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return 0;
	addr = bpf_map_lookup_elem(&uplinks, &link);
	if (!addr)
		return 0;
	*src = *addr;
	return link;
}

// forward sends a rewritten packet on. Both directions of a translated flow stay clear of
// the kernel's own connection tracking, which would see only one of them.
static __always_inline int forward(const struct flow *f)
{
	__u32 *pod = bpf_map_lookup_elem(&pods, &f->to.dst);

	if (pod)
		return bpf_redirect_peer(*pod, 0);
	if (f->ifindex)
		return bpf_redirect_neigh(f->ifindex, NULL, 0, 0);
	return TC_ACT_OK;
}

// stale: UDP has no end that could be seen, so a flow is looked at again when its
// service's backends have changed, and moved if its own is gone. TCP flows stay.
static __always_inline bool stale(struct flow *f, __u32 *id)
{
	union slot s = { .addr = f->to.dst, .port = f->to.dport };
	__u32 key = f->id;
	struct entry *e;
	__u64 desc;

	if (f->to.proto != IPPROTO_UDP || !(f->flags & FLOW_SERVICE))
		return false;
	e = bpf_map_lookup_elem(&entries, &key);
	if (!id || *id != key || !e)
		return true;
	desc = READ_ONCE(e->desc);
	if (desc == f->desc)
		return false;
	if (!member(desc, s.raw))
		return true;
	f->desc = desc;
	return false;
}

// A SYN that nobody answers is sent again after a minute at the latest.
#define SYN_AGAIN 64

// again tells a SYN that is sent again from one of a new connection on a used tuple. With another port, or to another
// backend, it would begin a second connection there, and its client would take the answers of both for one's.
static __always_inline bool again(const struct flow *f, const __u32 *id)
{
	__u32 key = f->id;
	struct entry *e = bpf_map_lookup_elem(&entries, &key);

	return id && *id == key && e && READ_ONCE(e->desc) == f->desc && now_seconds() - f->seen <= SYN_AGAIN;
}

// too_large: the kernel drops silently what is redirected to a link that is too narrow for
// it, so its sender is told.
static __always_inline bool too_large(struct __sk_buff *skb, const struct flow *f, __u16 *mtu)
{
	__u32 limit = 0;

	if (!f->ifindex || bpf_map_lookup_elem(&pods, &f->to.dst))
		return false;
	if (bpf_check_mtu(skb, f->ifindex, &limit, 0, BPF_MTU_CHK_SEGS) <= 0)
		return false;
	*mtu = limit;
	return true;
}

// send translates a packet and sends it on.
static __always_inline int send(struct __sk_buff *skb, const struct packet *p, const struct flow *f)
{
	__u16 mtu = 0;

	if (too_large(skb, f, &mtu))
		return complain(skb, &p->t, UNREACHABLE_TOO_LARGE, mtu);
	rewrite(skb, p, &f->to);
	return forward(f);
}

// find_outside looks up what is there for packets from outside alone: a load balancer's
// address, or a node port that leads elsewhere than for who is inside.
static __always_inline __u32 *find_outside(const struct tuple *t)
{
	struct frontend at = { .addr = t->dst, .port = t->dport, .proto = t->proto, .outside = 1 };
	__u32 *id = bpf_map_lookup_elem(&frontends, &at);

	if (id)
		return id;
	at.addr = 0;
	id = bpf_map_lookup_elem(&frontends, &at);
	return id && bpf_map_lookup_elem(&node_addrs, &t->dst) ? id : NULL;
}

// find_inside looks up what is there for all.
static __always_inline __u32 *find_inside(const struct tuple *t, int from)
{
	struct frontend at = { .addr = t->dst, .port = t->dport, .proto = t->proto };
	bool node = false;
	__u32 *id = find(&at, &node);

	// A ClusterIP is for the cluster's own pods; the outside has the node ports.
	if (id && (node ? !bpf_map_lookup_elem(&node_addrs, &t->dst) : from == FROM_NET))
		return NULL;
	return id;
}

// elsewhere tells whether who has no backend for packets from outside on this node has one on another.
static __always_inline bool elsewhere(const struct tuple *t)
{
	struct frontend at = { .addr = t->dst, .port = t->dport, .proto = t->proto };
	bool node = false;
	__u32 *found = find(&at, &node), id;
	struct entry *e;

	if (!found)
		return false;
	id = *found;
	e = bpf_map_lookup_elem(&entries, &id);
	return e && (__u32)READ_ONCE(e->desc);
}

// begin chooses a backend for a packet to a service and tracks the flow. A node port
// without backends is left to the kernel, which refuses as for any closed port; the
// service's own address is nobody's, so the refusal is made here. What is kept local gets
// no answer where nobody is: there is somebody on another node, to whom a balancer shall turn.
static __always_inline int begin(struct __sk_buff *skb, const struct packet *p, __u32 id, int from, bool outside)
{
	struct entry *e = bpf_map_lookup_elem(&entries, &id);
	struct flow f = { .to = p->t, .id = id, .flags = FLOW_SERVICE };
	bool snat = false, remote;
	union slot s;
	__be32 src = 0;

	if (!e)
		return PASS;
	f.desc = READ_ONCE(e->desc);
	s.raw = pick(id, e, f.desc, p->t.src, bpf_get_hash_recalc(skb));
	if (!s.raw && outside && elsewhere(&p->t))
		return TC_ACT_SHOT;
	if (!s.raw)
		return bpf_map_lookup_elem(&node_addrs, &p->t.dst) ? PASS : refuse(skb, &p->t);
	f.to.dst = s.addr;
	f.to.dport = s.port;
	if (!judged(skb, p, &f.to, from))
		return TC_ACT_SHOT;
	remote = !bpf_map_lookup_elem(&pods, &s.addr) && !bpf_map_lookup_elem(&node_addrs, &s.addr);
	if (remote && (from == FROM_NET || !is_inside(s.addr))) {
		// The answer must come back through here.
		f.ifindex = outbound(skb, &f.to, &src);
		snat = f.ifindex != 0;
	} else if (s.addr == p->t.src) {
		// A pod that is its own backend would answer itself.
		src = node_ip;
		snat = true;
	}
	if (snat)
		f.to.src = src;
	if (!track(&p->t, &f, snat, from == FROM_NET ? skb->ifindex : 0))
		return TC_ACT_SHOT;
	return send(skb, p, &f);
}

// masquerade lets a pod's new flow to the outside go out under the node's address.
static __always_inline int masquerade(struct __sk_buff *skb, const struct packet *p)
{
	struct flow f = { .to = p->t, .flags = FLOW_MASQ };
	__be32 src = 0;

	if (is_inside(p->t.dst))
		return PASS;
	f.ifindex = outbound(skb, &p->t, &src);
	if (!f.ifindex)
		return PASS;
	f.to.src = src;
	if (!track(&p->t, &f, true, 0))
		return TC_ACT_SHOT;
	return send(skb, p, &f);
}

static __always_inline int incoming(struct __sk_buff *skb, int from)
{
	bool outside = false;
	struct packet p = {};
	struct flow *f;
	__u32 *id, *pod;

	if (!parse(skb, &p)) {
		struct flow back;

		if (from == FROM_POD && !others_may(skb->ifindex, true, &p))
			return TC_ACT_SHOT;
		return error(skb, &back) ? forward(&back) : PASS;
	}
	if (from == FROM_POD && forged(skb, &p))
		return TC_ACT_SHOT;
	f = bpf_map_lookup_elem(&flows, &p.t);
	// A new connection on a used tuple chooses its backend, or its port, again.
	if (f && p.syn && (f->flags & FLOW_FIN))
		f = NULL;
	if (f && !(f->flags & FLOW_SERVICE)) {
		id = NULL;
	} else {
		id = from == FROM_NET ? find_outside(&p.t) : NULL;
		outside = id;
		if (!id)
			id = find_inside(&p.t, from);
	}
	if (f && p.syn && (f->flags & FLOW_SERVICE) && !again(f, id))
		f = NULL;
	if (f && !stale(f, id)) {
		struct flow now = *f;

		if (!judged(skb, &p, &now.to, from))
			return TC_ACT_SHOT;
		note(f, &p);
		return send(skb, &p, &now);
	}
	if (id && p.first)
		return begin(skb, &p, *id, from, outside);
	if (p.syn)
		forget_replies(&p.t);
	if (from != FROM_POD)
		return PASS;
	if (!judged(skb, &p, &p.t, from))
		return TC_ACT_SHOT;
	// Between pods of one node there is nothing to route, and no firewall of the node's to
	// ask: those that container engines set up drop whatever is forwarded.
	pod = bpf_map_lookup_elem(&pods, &p.t.dst);
	if (pod)
		return bpf_redirect_peer(*pod, 0);
	return p.first ? masquerade(skb, &p) : PASS;
}

SEC("tc/from_net")
int from_net(struct __sk_buff *skb)
{
	return incoming(skb, FROM_NET);
}

SEC("tc/from_pod")
int from_pod(struct __sk_buff *skb)
{
	return incoming(skb, FROM_POD);
}

// answers translates answers of the node's own sockets (its DNS server, pods on the host network) to flows that were
// translated on their way in.
static __always_inline int answers(struct __sk_buff *skb, const struct packet *p)
{
	struct flow *f = bpf_map_lookup_elem(&flows, &p->t);

	if (!f || !(f->flags & FLOW_REPLY))
		return PASS;
	struct flow now = *f;

	note(f, p);
	rewrite(skb, p, &now.to);
	return PASS;
}

// untranslated is what else leaves the node.
static __always_inline int untranslated(struct __sk_buff *skb)
{
	struct flow back;

	error(skb, &back);
	return PASS;
}

SEC("tc/from_node")
int from_node(struct __sk_buff *skb)
{
	struct packet p = {};

	return parse(skb, &p) ? answers(skb, &p) : untranslated(skb);
}

// What the kernel brings to a pod, from the node or from outside.
SEC("tc/to_pod")
int to_pod(struct __sk_buff *skb)
{
	struct packet p = {};

	if (!parse(skb, &p))
		return others_may(skb->ifindex, false, &p) ? untranslated(skb) : TC_ACT_SHOT;
	return may(skb->ifindex, false, &p.t, &p) ? answers(skb, &p) : TC_ACT_SHOT;
}

char _license[] SEC("license") = "Dual BSD/GPL";
