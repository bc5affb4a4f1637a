// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Reading a packet's flow and rewriting its addresses, with checksums.
#ifndef STAVE_PACKET_H
#define STAVE_PACKET_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stddef.h>
#include "tables.h"

// Only what an echo needs; <linux/icmp.h> pulls in the C library.
#define ICMP_ECHOREPLY 0
#define ICMP_ECHO 8
#define ICMP_UNREACHABLE 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
struct icmp_echo {
	__u8 type, code;
	__u16 checksum;
	__be16 id, sequence;
};

#define MORE_FRAGMENTS 0x2000
#define FRAGMENT_OFFSET 0x1fff

#define L3 ETH_HLEN
#define L4 (ETH_HLEN + sizeof(struct iphdr))
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

// A flow in one direction. For an echo the "port" on the asking side is the echo's id.
struct tuple {
	__be32 src, dst;
	__be16 sport, dport;
	__u8 proto;
	__u8 pad[3];
};

struct packet {
	struct tuple t;
	bool first;  // may begin a flow: SYN, any UDP, echo request
	bool syn;
	bool fin, reset;
	bool later;  // a fragment without a transport header
	// What is not translated is still judged by policies.
	bool ip;     // IPv4, so that addresses and protocol are known
	bool odd;    // options stand before the ports
	bool piece;  // a later fragment of a datagram whose first one has not come by
	bool error;  // an ICMP error
	bool blind;  // TCP whose flags are in another fragment
};

// A datagram in pieces: only the first one says between which ports it goes.
struct pieces {
	__be32 src, dst;
	__be16 id;
	__u8 proto;
	__u8 pad;
};

struct ports {
	__be16 sport, dport;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct pieces);
	__type(value, struct ports);
} fragments SEC(".maps");

static __always_inline bool parse_icmp(struct packet *p, struct icmp_echo *h)
{
	p->error = h->type == ICMP_UNREACHABLE || h->type == ICMP_TIME_EXCEEDED || h->type == ICMP_PARAMETER_PROBLEM;
	if (h->code)
		return false;
	if (h->type == ICMP_ECHO) {
		p->t.sport = h->id;
		p->first = true;
		return true;
	}
	p->t.dport = h->id;
	return h->type == ICMP_ECHOREPLY;
}

// parse_later takes a later fragment's ports from the first one of its datagram.
static __always_inline bool parse_later(struct packet *p, const struct pieces *key)
{
	struct ports *known = bpf_map_lookup_elem(&fragments, key);

	if (!known)
		return false;
	p->t.sport = known->sport;
	p->t.dport = known->dport;
	p->later = true;
	return true;
}

static __always_inline bool parse_ports(struct packet *p, void *at, void *end)
{
	__be16 *ports = at;

	if (at + 8 > end)
		return false;
	if (p->t.proto == IPPROTO_ICMP)
		return parse_icmp(p, at);
	if (p->t.proto != IPPROTO_TCP && p->t.proto != IPPROTO_UDP && p->t.proto != IPPROTO_SCTP)
		return false;
	p->t.sport = ports[0];
	p->t.dport = ports[1];
	if (p->t.proto == IPPROTO_SCTP)
		return false; // nothing balances it
	p->blind = p->t.proto == IPPROTO_TCP && at + 20 > end;
	p->first = p->t.proto == IPPROTO_UDP;
	if (p->t.proto == IPPROTO_TCP && at + 20 <= end) {
		__u8 flags = ((__u8 *)ports)[13];

		p->syn = p->first = (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
		p->fin = flags & TCP_FIN;
		p->reset = flags & TCP_RST;
	}
	return true;
}

// parse is false for what is never translated: not IPv4, options, other protocols. 8 bytes
// of transport header are enough but for TCP's flags; a last fragment may have fewer.
static __always_inline bool parse(struct __sk_buff *skb, struct packet *p)
{
	void *data, *end;
	struct iphdr *ip;
	__u16 frag;

	if (bpf_skb_pull_data(skb, L4 + 20) && bpf_skb_pull_data(skb, L4 + 8) && bpf_skb_pull_data(skb, L4))
		return false;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (data + L4 > end || ((struct ethhdr *)data)->h_proto != bpf_htons(ETH_P_IP))
		return false;
	ip = data + L3;
	p->ip = true;
	p->odd = ip->ihl != 5;
	if (p->odd)
		return false;
	p->t.src = ip->saddr;
	p->t.dst = ip->daddr;
	p->t.proto = ip->protocol;
	frag = bpf_ntohs(ip->frag_off) & (MORE_FRAGMENTS | FRAGMENT_OFFSET);
	if (!frag)
		return parse_ports(p, data + L4, end);
	struct pieces key = { .src = ip->saddr, .dst = ip->daddr, .id = ip->id, .proto = ip->protocol };

	p->piece = frag & FRAGMENT_OFFSET;
	if (p->piece)
		return parse_later(p, &key);
	if (!parse_ports(p, data + L4, end))
		return false;
	struct ports ports = { .sport = p->t.sport, .dport = p->t.dport };

	bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY);
	return true;
}

static __always_inline int checksum_at(__u8 proto)
{
	if (proto == IPPROTO_TCP)
		return L4 + offsetof(struct tcphdr, check);
	if (proto == IPPROTO_UDP)
		return L4 + offsetof(struct udphdr, check);
	return L4 + offsetof(struct icmp_echo, checksum);
}

// set_addr replaces an address; TCP and UDP checksums cover it, an echo's does not. Of a
// datagram in pieces the first one has the checksum of the whole.
static __always_inline void set_addr(struct __sk_buff *skb, __u8 proto, __u32 at, __be32 from, __be32 to)
{
	__u64 flags = BPF_F_PSEUDO_HDR | 4;

	if (from == to)
		return;
	if (proto == IPPROTO_UDP)
		flags |= BPF_F_MARK_MANGLED_0;
	if (proto == IPPROTO_UDP || proto == IPPROTO_TCP)
		bpf_l4_csum_replace(skb, checksum_at(proto), from, to, flags);
	bpf_l3_csum_replace(skb, L3 + offsetof(struct iphdr, check), from, to, 4);
	bpf_skb_store_bytes(skb, L3 + at, &to, 4, 0);
}

static __always_inline void set_port(struct __sk_buff *skb, __u8 proto, __u32 at, __be16 from, __be16 to)
{
	__u64 flags = 2;

	if (from == to)
		return;
	if (proto == IPPROTO_UDP)
		flags |= BPF_F_MARK_MANGLED_0;
	if (proto == IPPROTO_ICMP)
		at = offsetof(struct icmp_echo, id);
	bpf_l4_csum_replace(skb, checksum_at(proto), from, to, flags);
	bpf_skb_store_bytes(skb, L4 + at, &to, 2, 0);
}

// rewrite gives the packet the addresses and ports of another tuple.
static __always_inline void rewrite(struct __sk_buff *skb, const struct packet *p, const struct tuple *to)
{
	// What has no transport header here has no checksum to mend either.
	__u8 proto = p->later ? 0 : p->t.proto;

	set_addr(skb, proto, offsetof(struct iphdr, saddr), p->t.src, to->src);
	set_addr(skb, proto, offsetof(struct iphdr, daddr), p->t.dst, to->dst);
	if (p->later)
		return;
	set_port(skb, proto, 0, p->t.sport, to->sport);
	set_port(skb, proto, 2, p->t.dport, to->dport);
}

#endif
