// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// ICMP errors: translating those about flows that are translated, and telling a sender why
// its packet goes nowhere.
#ifndef STAVE_ERROR_H
#define STAVE_ERROR_H

#include "flow.h"

#define UNREACHABLE_PORT 3
#define UNREACHABLE_TOO_LARGE 4
// The packet that an error is about: its header and the ports.
#define INNER (L4 + 8)
#define QUOTED (sizeof(struct iphdr) + 8)

// quoted reads what an error is about; false when the packet is no error, or about a
// fragment, options, or something that is never translated.
static __always_inline bool quoted(struct __sk_buff *skb, struct tuple *t, __be32 *from)
{
	struct packet inner = {};
	void *data, *end;
	struct iphdr *ip;
	__u8 type;

	if (bpf_skb_pull_data(skb, INNER + QUOTED))
		return false;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (data + INNER + QUOTED > end || ((struct ethhdr *)data)->h_proto != bpf_htons(ETH_P_IP))
		return false;
	ip = data + L3;
	if (ip->ihl != 5 || ip->protocol != IPPROTO_ICMP || (ip->frag_off & bpf_htons(FRAGMENT_OFFSET)))
		return false;
	*from = ip->saddr;
	type = *(__u8 *)(data + L4);
	if (type != ICMP_UNREACHABLE && type != ICMP_TIME_EXCEEDED && type != ICMP_PARAMETER_PROBLEM)
		return false;
	ip = data + INNER;
	if (ip->ihl != 5 || (ip->frag_off & bpf_htons(FRAGMENT_OFFSET)))
		return false;
	inner.t.src = ip->saddr;
	inner.t.dst = ip->daddr;
	inner.t.proto = ip->protocol;
	if (!parse_ports(&inner, data + INNER + sizeof(struct iphdr), end))
		return false;
	*t = inner.t;
	return true;
}

// set_inner replaces a number of the quoted header. Its own checksum makes up for it in
// that of the error.
static __always_inline void set_inner(struct __sk_buff *skb, __u32 at, __be32 from, __be32 to)
{
	if (from == to)
		return;
	bpf_l3_csum_replace(skb, INNER + offsetof(struct iphdr, check), from, to, 4);
	bpf_skb_store_bytes(skb, INNER + at, &to, 4, 0);
}

static __always_inline void set_inner_port(struct __sk_buff *skb, __u32 at, __be16 from, __be16 to)
{
	if (from == to)
		return;
	bpf_l4_csum_replace(skb, checksum_at(IPPROTO_ICMP), from, to, 2);
	bpf_skb_store_bytes(skb, INNER + sizeof(struct iphdr) + at, &to, 2, 0);
}

// requote makes an error one about the packet that its receiver has sent: the quoted packet
// went from here as t, and was translated on its way as the answers are translated back.
static __always_inline void requote(struct __sk_buff *skb, const struct tuple *t, __be32 from, const struct flow *back)
{
	struct tuple sent = reversed(&back->to);
	__be32 to = reversed(t).dst;

	set_inner(skb, offsetof(struct iphdr, saddr), t->src, sent.src);
	set_inner(skb, offsetof(struct iphdr, daddr), t->dst, sent.dst);
	if (t->proto == IPPROTO_ICMP) {
		__u32 id = offsetof(struct icmp_echo, id);

		// On the asking side the "port" is the source, on the other the destination.
		set_inner_port(skb, id, t->sport ? t->sport : t->dport, t->sport ? sent.sport : sent.dport);
	} else {
		set_inner_port(skb, 0, t->sport, sent.sport);
		set_inner_port(skb, 2, t->dport, sent.dport);
	}
	// Who was to get the packet complains under the name that the sender knows; a router
	// on the way keeps its own.
	if (from == t->dst)
		set_addr(skb, IPPROTO_ICMP, offsetof(struct iphdr, saddr), from, back->to.src);
	set_addr(skb, IPPROTO_ICMP, offsetof(struct iphdr, daddr), to, back->to.dst);
}

// error finds the flow of a packet that an ICMP error is about, and translates the error.
static __always_inline bool error(struct __sk_buff *skb, struct flow *back)
{
	struct tuple t = {}, answers;
	__be32 from = 0;
	struct flow *f;

	if (!quoted(skb, &t, &from))
		return false;
	answers = reversed(&t);
	f = bpf_map_lookup_elem(&flows, &answers);
	if (!f)
		return false;
	*back = *f;
	requote(skb, &t, from, back);
	return true;
}

static __always_inline __u16 folded(__s64 sum)
{
	__u32 s = sum;

	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return ~s;
}

// turn makes the packet one to its sender, and sends it out by the link it came from.
static __always_inline int turn(struct __sk_buff *skb, const struct tuple *t, __u8 proto, __u16 length)
{
	struct iphdr ip = {
		.version = 4, .ihl = 5, .ttl = 64, .protocol = proto, .tot_len = bpf_htons(length), .saddr = t->dst, .daddr = t->src,
	};
	__u8 macs[12], back[12];

	ip.check = folded(bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0));
	bpf_skb_store_bytes(skb, L3, &ip, sizeof(ip), 0);
	bpf_skb_load_bytes(skb, 0, macs, sizeof(macs));
	__builtin_memcpy(back, macs + 6, 6);
	__builtin_memcpy(back + 6, macs, 6);
	bpf_skb_store_bytes(skb, 0, back, sizeof(back), 0);
	return bpf_redirect(skb->ifindex, 0);
}

// complain answers a packet, untranslated yet, with an ICMP error.
static __always_inline int complain(struct __sk_buff *skb, const struct tuple *t, __u8 code, __u16 mtu)
{
	struct {
		struct icmp_echo icmp;
		__u8 quote[QUOTED];
	} e = { .icmp = { .type = ICMP_UNREACHABLE, .code = code, .sequence = bpf_htons(mtu) } };

	if (bpf_skb_load_bytes(skb, L3, e.quote, QUOTED) ||
	    bpf_skb_change_tail(skb, L3 + QUOTED, 0) ||
	    bpf_skb_adjust_room(skb, sizeof(struct iphdr) + sizeof(e.icmp), BPF_ADJ_ROOM_MAC, 0))
		return TC_ACT_SHOT;
	e.icmp.checksum = folded(bpf_csum_diff(NULL, 0, (__be32 *)&e, sizeof(e), 0));
	bpf_skb_store_bytes(skb, L4, &e, sizeof(e), 0);
	return turn(skb, t, IPPROTO_ICMP, sizeof(struct iphdr) + sizeof(e));
}

// refuse answers for a service that has nobody behind it as a closed port does.
static __always_inline int refuse(struct __sk_buff *skb, const struct tuple *t)
{
	struct {
		__be32 src, dst;
		__be16 proto, length;
		struct tcphdr tcp;
	} r = {
		.src = t->dst, .dst = t->src, .proto = bpf_htons(IPPROTO_TCP), .length = bpf_htons(sizeof(struct tcphdr)),
		.tcp = { .source = t->dport, .dest = t->sport, .doff = 5, .rst = 1, .ack = 1 },
	};
	__be32 seq;

	if (t->proto != IPPROTO_TCP)
		return complain(skb, t, UNREACHABLE_PORT, 0);
	if (bpf_skb_load_bytes(skb, L4 + offsetof(struct tcphdr, seq), &seq, sizeof(seq)) ||
	    bpf_skb_change_tail(skb, L4 + sizeof(struct tcphdr), 0))
		return TC_ACT_SHOT;
	r.tcp.ack_seq = bpf_htonl(bpf_ntohl(seq) + 1);
	r.tcp.check = folded(bpf_csum_diff(NULL, 0, (__be32 *)&r, sizeof(r), 0));
	bpf_skb_store_bytes(skb, L4, &r.tcp, sizeof(r.tcp), 0);
	return turn(skb, t, IPPROTO_TCP, sizeof(struct iphdr) + sizeof(struct tcphdr));
}

#endif
