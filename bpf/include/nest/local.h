/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* The contract between the hooks for the host's own traffic (bpf/nest_local.bpf.c) and their loader. */
#ifndef NEST_LOCAL_CONTRACT_H
#define NEST_LOCAL_CONTRACT_H

#include "abi.h"

/* At these: the least recently used socket shows the backend, not the virtual address; routes are left out. */
#define NEST_LOCAL_PEERS_MAX   131072u
#define NEST_LOCAL_SOURCES_MAX 4096u /* per address family */

/* Hooks that may be at work on one CPU at a time; one more lets its call pass unjudged, which is counted. */
#define NEST_LOCAL_LANES 8u

/* Places of the programs at the egress in their nest_tail: those of the same stages in scratch.h. */
#define NEST_LOCAL_TAIL_JUDGE    0u
#define NEST_LOCAL_TAIL_RULE     1u
#define NEST_LOCAL_TAIL_BEGIN    2u
#define NEST_LOCAL_TAIL_CONTINUE 3u

/* Who set the hooks: they concern sockets of its network namespace, and its own ones no policy cuts off. */
struct nest_local_self {
	__u64 namespace_cookie; /* as SO_NETNS_COOKIE has it; 0 = every namespace */
	__u32 process;          /* in the numbering of the first PID namespace; 0 = none */
	__u32 pad;
};

/* Whom a socket talks to, as the kernel knows it. */
struct nest_local_key {
	__u64 cookie;
	__be32 address[4]; /* IPv4 in [0] */
	__be16 port;
	__u8 family; /* 4 or 6 */
	__u8 pad[5];
};

#define NEST_LOCAL_STEERED 1u /* to a backend: the ends below are what the process asked for */
#define NEST_LOCAL_OWN     2u /* the agent's own socket, which no policy cuts off */

struct nest_local_peer {
	__be32 address[4]; /* of the virtual service */
	__be16 port;
	__u16 mapping;
	__u16 backend;  /* index, NEST_BACKEND_NONE = none */
	__u16 flags;    /* NEST_LOCAL_* */
	__u32 sequence; /* of the policy that allowed it */
	__u32 pad;
};

/* By mapping index, in two halves like nest_map_count. TCP connections that the mapping allowed. */
struct nest_local_counter {
	__u64 allowed; /* calls of connect and sendmsg */
	__u64 refused;
	__u64 established;
	__u64 closed;
	__u64 bytes_sent; /* acknowledged; of connections that are closed, like the rest */
	__u64 bytes_received;
	__u64 segments_sent;
	__u64 segments_received;
};

_Static_assert(sizeof(struct nest_local_key) == 32, "nest_local_key");
_Static_assert(sizeof(struct nest_local_peer) == 32, "nest_local_peer");
_Static_assert(sizeof(struct nest_local_counter) == 64, "nest_local_counter");

#endif
