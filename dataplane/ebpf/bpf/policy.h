// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Judging packets by network policies. A packet is judged as the pods at its ends see it: by who really sent it, and
// whom it really reaches, whatever service it was sent to.
#ifndef STAVE_POLICY_H
#define STAVE_POLICY_H

#include "packet.h"
#include "flow.h"

// The sets of a pod, 0 for a direction in which it is not isolated.
struct isolation {
	__u32 ingress, egress;
};

// Pods that policies select, by the node's end of their link: an address could be forged.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct isolation);
} isolated SEC(".maps");

struct policy_port {
	__u32 bits;
	__u32 set;
	__u8 proto; // 0: those without ports
	__u8 pad;
	__be16 port;
};

// What a set holds of a port → the class of peers that may use it.
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1 << 17);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_port);
	__type(value, __u32);
} policy_ports SEC(".maps");

struct policy_peer {
	__u32 bits;
	__u32 class;
	__be32 addr;
};

// Whether an address is in a class.
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1 << 18);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_peer);
	__type(value, __u8);
} policy_peers SEC(".maps");

// What was let through to or from an isolated pod and is no TCP, so that it may be answered: when, in seconds. A TCP
// connection needs none: without its first packet there is none.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct tuple);
	__type(value, __u64);
} asked SEC(".maps");

// How long an answer may take.
#define ANSWER_WITHIN 180

// holds says whether a set allows a peer a port. Global for the verifier's sake, as is member().
__attribute__((noinline)) int holds(__u32 set, __u32 proto, __u32 port, __u32 peer)
{
	struct policy_port at = { .bits = 64, .set = set, .port = port };
	struct policy_peer who = { .bits = 64, .addr = peer };
	__u32 *class;
	__u8 *in;

	if (proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP)
		at.proto = proto;
	class = bpf_map_lookup_elem(&policy_ports, &at);
	if (!class)
		return 0;
	who.class = *class;
	in = bpf_map_lookup_elem(&policy_peers, &who);
	return in && *in;
}

static __always_inline void expect_answer(const struct tuple *t)
{
	__u64 now = now_seconds();

	bpf_map_update_elem(&asked, t, &now, BPF_ANY);
}

static __always_inline bool is_answer(const struct tuple *t)
{
	struct tuple back = reversed(t);
	__u64 *at = bpf_map_lookup_elem(&asked, &back);

	if (!at || now_seconds() - *at > ANSWER_WITHIN)
		return false;
	*at = now_seconds();
	return true;
}

// may says whether the policies of the pod at a link let a packet out, or in. What goes between a pod and its own node
// always may: the node probes it, resolves its names and brings it to the API.
static __always_inline bool may(__u32 link, bool out, const struct tuple *t, const struct packet *p)
{
	struct isolation *i = bpf_map_lookup_elem(&isolated, &link);
	__be32 peer = out ? t->dst : t->src;
	__u32 set;

	if (!i)
		return true;
	if (t->proto == IPPROTO_TCP && !p->syn && !p->blind)
		return true;
	if (bpf_map_lookup_elem(&node_addrs, &peer))
		return true;
	set = out ? i->egress : i->ingress;
	if (!set || holds(set, t->proto, t->dport, peer)) {
		if (t->proto != IPPROTO_TCP)
			expect_answer(t);
		return true;
	}
	return t->proto != IPPROTO_TCP && is_answer(t);
}

// others_may is may for what parse has given up.
static __always_inline bool others_may(__u32 link, bool out, const struct packet *p)
{
	if (!p->ip || p->error || (p->piece && !p->later))
		return true;
	if (p->odd) // its ports are elsewhere
		return !bpf_map_lookup_elem(&isolated, &link);
	return may(link, out, &p->t, p);
}

#endif
