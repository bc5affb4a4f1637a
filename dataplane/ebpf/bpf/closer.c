// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Closes connected UDP sockets whose backend is no longer one of the service that they were
// connected to: UDP has no end, and a DNS client would ask a dead pod for ever. Apart from
// the other programs, because kernels before 6.5 cannot close a socket from a program.
#include "peers.h"

struct sock_common {
	__be32 skc_daddr;
	__be16 skc_dport;
} __attribute__((preserve_access_index));

struct udp_sock;

struct bpf_iter__udp {
	struct udp_sock *udp_sk;
} __attribute__((preserve_access_index));

extern int bpf_sock_destroy(struct sock_common *sk) __ksym;

// called is the service's address by which the owner knows this peer of its socket.
static __always_inline bool called(struct sock_common *sk, union slot peer, struct frontend *at)
{
	struct translations *all = bpf_sk_storage_get(&translated, sk, 0, 0);

	if (!all)
		return false;
	for (__u32 i = 0; i < MAX_TRANSLATIONS; i++) {
		if (all->of[i].backend != peer.addr || all->of[i].backend_port != peer.port)
			continue;
		at->addr = all->of[i].service;
		at->port = all->of[i].service_port;
		return true;
	}
	return false;
}

// The iterator walks the UDP sockets of the network namespace in which it was opened.
SEC("iter/udp")
int close_udp(struct bpf_iter__udp *ctx)
{
	struct sock_common *sk = (struct sock_common *)ctx->udp_sk;
	struct frontend at = { .proto = IPPROTO_UDP };
	union slot peer = {};
	struct entry *e;
	bool node;
	__u32 *id;

	if (!sk)
		return 0;
	peer.addr = sk->skc_daddr;
	peer.port = sk->skc_dport;
	// A socket that is not connected chooses its backend with every packet.
	if (!peer.addr || !called(sk, peer, &at))
		return 0;
	id = find(&at, &node);
	e = id ? bpf_map_lookup_elem(&entries, id) : NULL;
	if (!e || !member(READ_ONCE(e->desc), peer.raw))
		bpf_sock_destroy(sk);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
