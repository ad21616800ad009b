/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* Balancers: the backend of a new flow, and whether a flow may stay with the one it has. */
#ifndef NEST_BALANCE_H
#define NEST_BALANCE_H

#include <nest/maglev.h>

#include "counters.h"
#include "rewrite.h"

/* Where the packet stands in the ring: 0 .. NEST_RING_SIZE - 1. */
static __always_inline __u32 nest_balance_position(const struct nest_packet *packet, bool by_source)
{
	const __u32 ports = packet->source_port | (__u32)packet->destination_port << 16;
	__u32 hash = nest_hash_address(NEST_HASH_SEED, packet->family, packet->source);

	if (!by_source) {
		hash = nest_hash_address(hash, packet->family, packet->destination);
		hash = nest_hash_word(hash, ports);
		hash = nest_hash_word(hash, packet->protocol);
	}
	return hash % NEST_RING_SIZE;
}

/* Index of the backend that the ring has for this packet, NEST_BACKEND_NONE when none is up. */
static __always_inline __u16 nest_balance_choose(struct nest_scratch *scratch,
						 const struct nest_balancer *balancer)
{
	const struct nest_packet *packet = &scratch->packet;
	const __u32 ring = packet->family == 4 ? balancer->ring4 : balancer->ring6;

	if (ring == NEST_RING_NONE)
		return NEST_BACKEND_NONE;
	scratch->ring_position = nest_balance_position(packet, balancer->by_source);
	return nest_runtime_ring(scratch->control.sequence & 1, ring, scratch->ring_position);
}

/* Sends the flow to that backend. False when the tables contradict themselves. */
static __always_inline bool nest_balance_aim(struct nest_scratch *scratch,
					     const struct nest_balancer *balancer, __u16 index,
					     struct nest_rewrite *rewrite)
{
	const struct nest_backend *backend =
		nest_runtime_backend(scratch->control.sequence & 1, index);

	if (!backend)
		return false;
	for (int i = 0; i < 4; i++)
		rewrite->destination[i] = backend->address[i];
	rewrite->backend = index;
	if (balancer->nat == NEST_NAT_DIRECT) {
		rewrite->flags |= NEST_REWRITE_DIRECT;
		return true;
	}
	rewrite->flags |= NEST_REWRITE_DESTINATION;
	if (backend->port)
		rewrite->destination_port = nest_to_be16(backend->port);
	return true;
}

static __always_inline __u16 nest_balance_find(struct nest_scratch *scratch, __u32 balancer,
					       const struct nest_rewrite *rewrite, __u16 port)
{
	struct nest_backend_key *key = &scratch->backend_key;
	const __u32 *index;

	key->balancer = balancer;
	key->port = port;
	key->family = scratch->packet.family;
	key->pad = 0;
	for (int i = 0; i < 4; i++)
		key->address[i] = rewrite->destination[i];
	index = nest_runtime_backend_index(scratch->control.sequence & 1, key);
	return index ? (__u16)*index : NEST_BACKEND_NONE;
}

/*
 * The present index of the backend that a flow of an older policy goes to, NEST_BACKEND_NONE when
 * this policy's balancer does not have it or it is down. `port`: the flow's original one, which a
 * backend without a port of its own keeps.
 */
static __always_inline __u16 nest_balance_keep(struct nest_scratch *scratch, __u32 balancer,
					       const struct nest_rewrite *rewrite, __be16 port)
{
	__u16 index = nest_balance_find(scratch, balancer, rewrite,
					nest_from_be16(rewrite->destination_port));
	const struct nest_backend *backend;

	if (index == NEST_BACKEND_NONE && rewrite->destination_port == port)
		index = nest_balance_find(scratch, balancer, rewrite, 0);
	if (index == NEST_BACKEND_NONE)
		return NEST_BACKEND_NONE;
	backend = nest_runtime_backend(scratch->control.sequence & 1, index);
	if (!backend || backend->state == NEST_BACKEND_DOWN)
		return NEST_BACKEND_NONE;
	return index;
}

/* Counts the packet on its backend; `begins` a flow there. */
static __always_inline void nest_count_backend(const struct nest_packet *packet, __u32 sequence,
					       __u16 backend, bool begins)
{
	const __u32 half = (sequence & 1) * NEST_BACKENDS_MAX;
	struct nest_backend_counter *counter;

	if (backend >= NEST_BACKENDS_MAX)
		return;
	counter = nest_runtime_backend_counter(half + backend);
	if (!counter)
		return;
	counter->flows += begins;
	counter->packets++;
	counter->bytes += packet->length;
}

#endif
