// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Who the clients are, and what their sockets are connected to: written at the socket hooks,
// read again when a backend goes.
#ifndef STAVE_PEERS_H
#define STAVE_PEERS_H

#include "tables.h"

#define MEMBER_NODE 0
// Backends that one socket remembers for translating answers back.
#define MAX_TRANSLATIONS 4

// Network namespaces to act for, by cookie: a service address means nothing elsewhere.
// The value is the pod's link, or MEMBER_NODE for the node itself.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} members SEC(".maps");

struct translation {
	__be32 backend, service;
	__be16 backend_port, service_port;
};

struct translations {
	struct translation of[MAX_TRANSLATIONS];
	__u32 next;
};

// What a socket's peers are called by its owner. Lives and dies with the socket.
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct translations);
} translated SEC(".maps");

// A network namespace with UDP sockets that were connected to a frontend, under the name
// that it has in frontends.
struct visit {
	__u64 cookie;
	__be32 addr;
	__be16 port;
	__u16 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct visit);
	__type(value, __u8);
} visits SEC(".maps");

// Set when there was no room for a visit: then every namespace has to be looked at.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} visits_lost SEC(".maps");

#endif
