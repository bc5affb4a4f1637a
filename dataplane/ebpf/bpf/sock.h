// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Services at the socket: the destination is chosen once, at connect() or sendmsg(), so
// that no packet needs translation. Attached to the root cgroup; acts only for the node
// and for pods of this cluster, known by their network namespaces.
#ifndef STAVE_SOCK_H
#define STAVE_SOCK_H

#include "peers.h"

#define ECONNREFUSED 111

static __always_inline __be16 port_of(struct bpf_sock_addr *ctx)
{
	return (__be16)(*(volatile __u32 *)&ctx->user_port);
}

// remember keeps the service's address for the answer. The same backend reached
// through another service replaces the older name.
static __always_inline void remember(struct bpf_sock_addr *ctx, const struct translation *t)
{
	struct translations *all;
	__u32 at;

	if (!ctx->sk)
		return;
	all = bpf_sk_storage_get(&translated, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!all)
		return;
	for (at = 0; at < MAX_TRANSLATIONS; at++)
		if (all->of[at].backend == t->backend && all->of[at].backend_port == t->backend_port)
			break;
	if (at == MAX_TRANSLATIONS)
		at = all->next++;
	all->of[at & (MAX_TRANSLATIONS - 1)] = *t;
}

// forget: a socket connected to a pod directly must not show an older service as its peer.
static __always_inline void forget(struct bpf_sock_addr *ctx, bool connecting)
{
	if (connecting && ctx->sk)
		bpf_sk_storage_delete(&translated, ctx->sk);
}

// visit notes that this namespace has a connected UDP socket, which stays with its backend
// until somebody closes it.
static __always_inline void visit(__u64 cookie, const struct frontend *at)
{
	struct visit key = { .cookie = cookie, .addr = at->addr, .port = at->port };
	__u32 zero = 0, *lost;
	__u8 yes = 1;

	if (bpf_map_lookup_elem(&visits, &key) || !bpf_map_update_elem(&visits, &key, &yes, BPF_ANY))
		return;
	lost = bpf_map_lookup_elem(&visits_lost, &zero);
	if (lost)
		*lost = 1;
}

// node_port says whether this address is one where the caller may use NodePorts;
// loopback is the node itself only when the caller is on it.
static __always_inline bool node_port(__be32 addr, __u32 member)
{
	if (is_loopback(addr))
		return member == MEMBER_NODE;
	return bpf_map_lookup_elem(&node_addrs, &addr) != NULL;
}

// translate replaces a service's address by a backend's. It returns the hook's verdict.
static __always_inline int translate(struct bpf_sock_addr *ctx, __be32 addr, __be32 *to, bool connecting)
{
	__u8 proto = ctx->protocol;
	__be16 port = port_of(ctx);
	struct frontend at = { .addr = addr, .port = port, .proto = proto };
	bool node = false;
	union slot s;
	struct entry *e;
	__u64 cookie;
	__u32 *idp, *caller, id, hash;

	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP)
		return 1;
	idp = find(&at, &node);
	if (!idp) {
		forget(ctx, connecting);
		return 1;
	}
	id = *idp;
	cookie = bpf_get_netns_cookie(ctx);
	caller = bpf_map_lookup_elem(&members, &cookie);
	if (!caller || (node && !node_port(addr, *caller)))
		return 1;
	e = bpf_map_lookup_elem(&entries, &id);
	if (!e)
		return 1;
	// A UDP socket keeps its backend from packet to packet while the set stands.
	hash = proto == IPPROTO_TCP ? bpf_get_prandom_u32()
				    : (__u32)(bpf_get_socket_cookie(ctx) * 0x9E3779B97F4A7C15ull >> 32);
	s.raw = pick(id, e, READ_ONCE(e->desc), cookie, hash);
	if (!s.raw) {
		bpf_set_retval(-ECONNREFUSED);
		return 0;
	}
	struct translation t = {
		.backend = s.addr, .backend_port = s.port, .service = addr, .service_port = port,
	};
	remember(ctx, &t);
	if (connecting && proto == IPPROTO_UDP)
		visit(cookie, &at);
	*to = s.addr;
	ctx->user_port = s.port;
	return 1;
}

// untranslate gives a peer the name by which the application called it.
static __always_inline bool untranslate(struct bpf_sock_addr *ctx, __be32 addr, __be32 *to)
{
	__be16 port = port_of(ctx);
	struct translations *all;

	if (!ctx->sk)
		return false;
	all = bpf_sk_storage_get(&translated, ctx->sk, 0, 0);
	if (!all)
		return false;
	for (__u32 i = 0; i < MAX_TRANSLATIONS; i++) {
		if (all->of[i].backend != addr || all->of[i].backend_port != port)
			continue;
		*to = all->of[i].service;
		ctx->user_port = all->of[i].service_port;
		return true;
	}
	return false;
}

static __always_inline bool v4_mapped(struct bpf_sock_addr *ctx)
{
	return ctx->user_ip6[0] == 0 && ctx->user_ip6[1] == 0 && ctx->user_ip6[2] == bpf_htonl(0xffff);
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	__be32 from = ctx->user_ip4, to = from;
	int verdict = translate(ctx, from, &to, true);

	if (to != from)
		ctx->user_ip4 = to;
	return verdict;
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	__be32 from, to;
	int verdict;

	if (!v4_mapped(ctx))
		return 1;
	from = to = ctx->user_ip6[3];
	verdict = translate(ctx, from, &to, true);
	if (to != from)
		ctx->user_ip6[3] = to;
	return verdict;
}

// Also runs for IPv6 sockets that send to a mapped address: the kernel hands those to
// the IPv4 path before it would ask a sendmsg6 program.
SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	__be32 from = ctx->user_ip4, to = from;
	int verdict = translate(ctx, from, &to, false);

	if (to != from)
		ctx->user_ip4 = to;
	return verdict;
}

static __always_inline int name4(struct bpf_sock_addr *ctx)
{
	__be32 to;

	if (untranslate(ctx, ctx->user_ip4, &to))
		ctx->user_ip4 = to;
	return 1;
}

static __always_inline int name6(struct bpf_sock_addr *ctx)
{
	__be32 to;

	if (v4_mapped(ctx) && untranslate(ctx, ctx->user_ip6[3], &to))
		ctx->user_ip6[3] = to;
	return 1;
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	return name4(ctx);
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	return name6(ctx);
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	return name4(ctx);
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	return name6(ctx);
}

#endif
