/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* Flows: one entry for both directions, its key, its TCP state, its idle limit, its life. */
#ifndef NEST_FLOW_H
#define NEST_FLOW_H

#include <nest/flow_life.h>

#include "packet.h"

static __always_inline bool nest_flow_key_swaps(const struct nest_packet *packet)
{
	for (int i = 0; i < 4; i++) {
		const __u32 source = nest_from_be32(packet->source[i]);
		const __u32 destination = nest_from_be32(packet->destination[i]);

		if (source != destination)
			return source > destination;
		if (packet->family == 4)
			break;
	}
	return nest_from_be16(packet->source_port) > nest_from_be16(packet->destination_port);
}

/*
 * Builds the key of the packet's flow: endpoints sorted, so that both directions have the same. Whole words are
 * stored: the look-up reads whole words, and a processor cannot forward two halves to them.
 */
static __always_inline void nest_flow_key_build(struct nest_scratch *scratch)
{
	struct nest_packet *packet = &scratch->packet;
	const bool swaps = nest_flow_key_swaps(packet);
	const __u16 port0 = swaps ? packet->destination_port : packet->source_port;
	const __u16 port1 = swaps ? packet->source_port : packet->destination_port;
	const __u64 tail = (__u64)port0 | (__u64)port1 << 16 | (__u64)packet->protocol << 32;

	packet->swapped = swaps;
	if (packet->family == 4) {
		const __u32 address0 = swaps ? packet->destination[0] : packet->source[0];
		const __u32 address1 = swaps ? packet->source[0] : packet->destination[0];

		scratch->key_words[0] = (__u64)address0 | (__u64)address1 << 32;
		scratch->key_words[1] = tail;
		return;
	}
	for (int i = 0; i < 2; i++) {
		const __u64 source = (__u64)packet->source[i * 2] | (__u64)packet->source[i * 2 + 1]
									    << 32;
		const __u64 destination = (__u64)packet->destination[i * 2] |
					  (__u64)packet->destination[i * 2 + 1] << 32;

		scratch->key_words[i] = swaps ? destination : source;
		scratch->key_words[i + 2] = swaps ? source : destination;
	}
	scratch->key_words[4] = tail;
}

/* True when the packet comes from the responder. */
static __always_inline bool nest_flow_is_reverse(const struct nest_flow *flow,
						 const struct nest_packet *packet)
{
	return (flow->flags & NEST_FLOW_INITIATOR_SECOND) != packet->swapped;
}

static __always_inline bool nest_tcp_is_first_syn(const struct nest_packet *packet)
{
	return packet->l4 == NEST_L4_TCP &&
	       (packet->tcp_flags & (NEST_TCP_SYN | NEST_TCP_ACK | NEST_TCP_RST | NEST_TCP_FIN)) ==
		       NEST_TCP_SYN;
}

/* What a TCP packet says about its flow's state. */
static __always_inline __u8 nest_tcp_bits(const struct nest_packet *packet)
{
	__u8 bits = 0;

	if (packet->l4 != NEST_L4_TCP)
		return 0;
	if (packet->reverse)
		bits |= NEST_TCP_ESTABLISHED;
	else if (packet->tcp_flags & NEST_TCP_SYN)
		bits |= NEST_TCP_SYN_SEEN;
	if (packet->tcp_flags & NEST_TCP_FIN)
		bits |= packet->reverse ? NEST_TCP_FIN_REVERSE : NEST_TCP_FIN_FORWARD;
	if (packet->tcp_flags & NEST_TCP_RST)
		bits |= NEST_TCP_RESET;
	return bits;
}

/* Counts the packet in its flow and moves the TCP state on. packet->reverse is set. */
static __always_inline void nest_flow_touch(struct nest_flow *flow,
					    const struct nest_packet *packet, __u64 now_ns)
{
	const __u8 bits = nest_tcp_bits(packet);

	if (bits & ~flow->tcp)
		nest_runtime_tcp_set(flow, bits);
	flow->last_seen_ns = now_ns;
	if (packet->reverse) {
		nest_runtime_add(&flow->packets[1], 1);
		nest_runtime_add(&flow->bytes[1], packet->length);
	} else {
		nest_runtime_add(&flow->packets[0], 1);
		nest_runtime_add(&flow->bytes[0], packet->length);
	}
}

/* The entry of a flow that this packet begins. */
static __always_inline void nest_flow_begin(struct nest_scratch *scratch, __u16 mapping,
					    enum nest_reason reason)
{
	const struct nest_packet *packet = &scratch->packet;
	struct nest_flow *flow = &scratch->fresh;

	flow->first_seen_ns = scratch->now_ns;
	flow->last_seen_ns = scratch->now_ns;
	flow->packets[0] = 1;
	flow->packets[1] = 0;
	flow->bytes[0] = packet->length;
	flow->bytes[1] = 0;
	flow->sequence = scratch->control.sequence;
	flow->interface = packet->interface;
	flow->mapping = mapping;
	flow->flags = packet->swapped ? NEST_FLOW_INITIATOR_SECOND : 0;
	flow->tcp = nest_tcp_bits(packet);
	flow->reason = reason;
	__builtin_memset(flow->pad, 0, sizeof(flow->pad));
}

#endif
