// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Our own connection tracking: only translated flows are in it, two entries each.
#ifndef STAVE_FLOW_H
#define STAVE_FLOW_H

#include "packet.h"

#define FLOW_SERVICE  0x01 // towards a backend
#define FLOW_REPLY    0x02 // back to the client, under the service's name
#define FLOW_MASQ     0x04 // a pod's flow to the outside
#define FLOW_ANSWERED 0x08 // a reply has come
#define FLOW_FIN      0x40 // this direction has ended
#define FLOW_CLOSED   0x80 // both have, or one was reset: the port is free to be taken

// Ports for translated sources: above those that the kernel gives to the node's own
// sockets (ip_local_port_range ends at 60999 by default). Set before loading; clusters on
// one machine get different ones.
volatile const __u16 snat_first = 61440;
volatile const __u16 snat_count = 1024;
#define SNAT_TRIES 32
// A TCP connection that is silent for longer loses its port to a new flow that finds no other.
#define TCP_IDLE 7200

struct flow {
	struct tuple to; // what the packet becomes
	__u32 ifindex;   // where it leaves; 0 = a pod of this node, or as routed
	__u32 id;        // of a service's entry, and
	__u64 desc;      // the backend set it was chosen from
	__u32 flags;
	__u32 seen;      // seconds since boot
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 17);
	__type(key, struct tuple);
	__type(value, struct flow);
} flows SEC(".maps");

static __always_inline struct tuple reversed(const struct tuple *t)
{
	struct tuple r = {
		.src = t->dst, .dst = t->src, .sport = t->dport, .dport = t->sport, .proto = t->proto,
	};
	return r;
}

// opposite is the flow's other direction.
static __always_inline struct flow *opposite(const struct flow *f)
{
	struct tuple back = reversed(&f->to);

	return bpf_map_lookup_elem(&flows, &back);
}

// age is for how many seconds neither direction was seen; below zero if the flow must keep
// its port: TCP connections that are alive.
static __always_inline __s32 age(const struct tuple *t, struct flow *f, __u32 now)
{
	struct flow *other = opposite(f);
	__u32 seen = other && other->seen > f->seen ? other->seen : f->seen;
	bool ends = (f->flags & FLOW_FIN) || (other && (other->flags & FLOW_FIN));

	if (t->proto == IPPROTO_TCP && (f->flags & FLOW_ANSWERED) && !ends && now - seen < TCP_IDLE)
		return -1;
	return now - seen;
}

// take_over makes a reply's tuple another flow's. The flow that had it must choose anew.
static __always_inline bool take_over(const struct tuple *back, const struct flow *reply)
{
	struct flow *old = bpf_map_lookup_elem(&flows, back), *forward;

	if (old) {
		struct tuple t = reversed(&old->to);

		forward = bpf_map_lookup_elem(&flows, &t);
		if (forward && forward->to.sport == back->dport)
			bpf_map_delete_elem(&flows, &t);
	}
	return !bpf_map_update_elem(&flows, back, reply, BPF_ANY);
}

// claim_port finds a source port whose answers are not another flow's: a free one, one of
// a closed flow, or at last that of the flow which was silent for longest, for UDP has no
// end. Without taking over, the ports would run out within a second of short flows.
// A function of its own for the verifier's sake, as is member().
__attribute__((noinline)) int claim_port(struct tuple *back, const struct flow *reply)
{
	__u32 start = bpf_get_prandom_u32(), now = now_seconds();
	__be16 oldest_port = 0;
	__s32 oldest = -1;
	struct tuple key;
	struct flow value;

	if (!back || !reply)
		return 0;
	// Kernels before 6.2 take keys and values of tables from their own stack alone.
	key = *back;
	value = *reply;
	for (__u32 i = 0; i < SNAT_TRIES && i < snat_count; i++) {
		struct flow *other;

		back->dport = key.dport = bpf_htons(snat_first + (start + i) % snat_count);
		if (!bpf_map_update_elem(&flows, &key, &value, BPF_NOEXIST))
			return 1;
		other = bpf_map_lookup_elem(&flows, &key);
		if (!other)
			continue;
		if (other->flags & FLOW_CLOSED)
			return take_over(&key, &value);
		if (age(&key, other, now) > oldest) {
			oldest = age(&key, other, now);
			oldest_port = key.dport;
		}
	}
	back->dport = key.dport = oldest_port;
	return oldest_port && take_over(&key, &value);
}

// track records both directions of a new flow t → f->to. With snat the source port of
// f->to is chosen here.
static __always_inline bool track(const struct tuple *t, struct flow *f, bool snat, __u32 reply_ifindex)
{
	struct tuple back = reversed(&f->to);
	struct flow reply = {
		.to = reversed(t), .flags = FLOW_REPLY, .ifindex = reply_ifindex, .seen = now_seconds(),
	};

	f->seen = reply.seen;

	if (snat) {
		if (!claim_port(&back, &reply))
			return false;
		f->to.sport = back.dport;
	} else {
		bpf_map_update_elem(&flows, &back, &reply, BPF_ANY);
	}
	return !bpf_map_update_elem(&flows, t, f, BPF_ANY);
}

// note keeps the flow's state by a packet of it.
static __always_inline void note(struct flow *f, const struct packet *p)
{
	__u32 now = now_seconds();
	struct flow *other;

	if (f->seen != now)
		f->seen = now;
	if ((f->flags & FLOW_REPLY) && !(f->flags & FLOW_ANSWERED))
		f->flags |= FLOW_ANSWERED;
	if (!p->fin && !p->reset)
		return;
	f->flags |= FLOW_FIN;
	other = opposite(f);
	if (other && (p->reset || (other->flags & FLOW_FIN))) {
		f->flags |= FLOW_CLOSED;
		other->flags |= FLOW_CLOSED;
	}
}

// forget_replies: a direct flow that reuses the tuple of an earlier service flow must not
// have its answers translated.
static __always_inline void forget_replies(const struct tuple *t)
{
	struct tuple back = reversed(t);
	struct flow *f = bpf_map_lookup_elem(&flows, &back);

	if (f && (f->flags & FLOW_REPLY))
		bpf_map_delete_elem(&flows, &back);
}

#endif
