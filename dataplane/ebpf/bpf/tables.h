// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// The tables that the agent writes and all programs read, and how a backend is chosen.
#ifndef STAVE_TABLES_H
#define STAVE_TABLES_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

// Bounds; the agent's planner has the same two in its own package and a test compares them.
#define MAX_ENTRIES (1 << 16)
#define MAX_SLOTS   (1 << 21)
// How often a range of that many slots can be halved.
#define SLOT_ORDER  21

#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))

// A frontend: address 0 stands for "any address of the node" (a NodePort).
struct frontend {
	__be32 addr;
	__be16 port;
	__u8 proto;
	__u8 outside; // 1: for packets from outside of the cluster, before the others
};

// An entry is mapped into the agent, which swaps a whole backend set by one store to desc.
struct entry {
	__u64 desc;     // base slot << 32 | number of backends
	__u32 affinity; // seconds; 0 = off
	__u32 pad;
};

// A backend, small enough to be read and written at once.
union slot {
	__u64 raw;
	struct {
		__be32 addr;
		__be16 port;
		__u16 pad;
	};
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4 * MAX_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct frontend);
	__type(value, __u32);
} frontends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ENTRIES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct entry);
} entries SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SLOTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} slots SEC(".maps");

// Every IPv4 address of the node: where its NodePorts answer.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __be32);
	__type(value, __u8);
} node_addrs SEC(".maps");

struct sticky_key {
	__u64 client; // network namespace cookie, or address for packets
	__u32 id;
	__u32 pad;
};

struct sticky {
	__u64 slot;
	__u64 seen; // seconds
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct sticky_key);
	__type(value, struct sticky);
} stickies SEC(".maps");

static __always_inline __u64 now_seconds(void)
{
	return bpf_ktime_get_coarse_ns() / 1000000000ull;
}

static __always_inline __u64 slot_at(__u32 i)
{
	__u64 *p = bpf_map_lookup_elem(&slots, &i);
	return p ? READ_ONCE(*p) : 0;
}

// rank is a slot as a number by which the agent sorts backends: address, then port.
static __always_inline __u64 rank(__u64 slot)
{
	union slot s = { .raw = slot };

	return (__u64)bpf_ntohl(s.addr) << 16 | bpf_ntohs(s.port);
}

// member says whether a backend is in the set that desc describes, however large it is: the
// sets are sorted. Not inlined, and global, so that the verifier walks its loop once and not
// on every path that leads here.
__attribute__((noinline)) int member(__u64 desc, __u64 slot)
{
	__u32 low = desc >> 32, high = low + (__u32)desc;
	__u64 want = rank(slot);

	for (int i = 0; i <= SLOT_ORDER && low < high; i++) {
		__u32 middle = low + (high - low) / 2;
		__u64 have = rank(slot_at(middle));

		if (have == want)
			return 1;
		if (have < want)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

// scatter spreads clients of which nothing is known over backends. It is the same each time, so that a client whose
// row was pushed out of the full table of stickies finds its backend again while the set stands.
static __always_inline __u32 scatter(__u64 client, __u32 id)
{
	__u64 x = (client + id) * 0x9E3779B97F4A7C15ull;

	x = (x ^ x >> 29) * 0xBF58476D1CE4E5B9ull;
	return x >> 32;
}

// pick chooses a backend of the set by hash, or the one the client had and may keep; 0
// means that there is none.
static __always_inline __u64 pick(__u32 id, struct entry *e, __u64 desc, __u64 client, __u32 hash)
{
	__u32 n = (__u32)desc, base = desc >> 32;
	struct sticky_key key = { .client = client, .id = id };
	struct sticky fresh = {};
	struct sticky *had;

	if (!n)
		return 0;
	if (!e->affinity)
		return slot_at(base + hash % n);
	had = bpf_map_lookup_elem(&stickies, &key);
	fresh.seen = now_seconds();
	if (had && fresh.seen - had->seen < e->affinity && member(desc, had->slot)) {
		had->seen = fresh.seen;
		return had->slot;
	}
	fresh.slot = slot_at(base + (had ? hash : scatter(client, id)) % n);
	bpf_map_update_elem(&stickies, &key, &fresh, BPF_ANY);
	return fresh.slot;
}

static __always_inline bool is_loopback(__be32 addr)
{
	return (addr & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

// find looks a destination up as an address of its own first, then as a port of every
// address of the node: then at->addr becomes 0. *node is set for what is an address of the
// node: the caller has to check that it may be used from where it is.
static __always_inline __u32 *find(struct frontend *at, bool *node)
{
	__u32 *id = bpf_map_lookup_elem(&frontends, at);

	if (id) {
		*node = is_loopback(at->addr) || bpf_map_lookup_elem(&node_addrs, &at->addr);
		return id;
	}
	at->addr = 0;
	*node = true;
	return bpf_map_lookup_elem(&frontends, at);
}

#endif
