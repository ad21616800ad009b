/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* Flows: one entry for both directions, its key, its TCP state, its life. Translated flows have a twin entry: nat.h. */
#ifndef NEST_FLOW_H
#define NEST_FLOW_H

#include <nest/flow_life.h>

#include "packet.h"

/* One end of a packet, as it stands in the header or will stand there. */
struct nest_end {
	const __be32 *address;
	__be16 port;
};

static __always_inline __u64 nest_flow_key_tail(struct nest_ports ports, __u8 protocol, bool swaps)
{
	const __u64 first = swaps ? ports.destination : ports.source;
	const __u64 second = swaps ? ports.source : ports.destination;

	return first | second << 16 | (__u64)protocol << 32;
}

static __always_inline __u64 nest_word_of(const __be32 *pair)
{
	return (__u64)pair[0] | (__u64)pair[1] << 32;
}

/*
 * Flow keys: endpoints sorted as numbers, by address, then by port, so that both directions have one
 * key. True when the source is endpoint 1. Whole words are stored: the look-up reads whole words, and
 * a processor cannot forward two halves to them.
 */
static __always_inline bool nest_flow_key_make4(__u64 *words, __be32 source, __be32 destination,
						struct nest_ports ports, __u8 protocol)
{
	const bool swaps =
		source == destination
			? nest_from_be16(ports.source) > nest_from_be16(ports.destination)
			: nest_from_be32(source) > nest_from_be32(destination);

	words[0] = swaps ? destination | (__u64)source << 32 : source | (__u64)destination << 32;
	words[1] = nest_flow_key_tail(ports, protocol, swaps);
	return swaps;
}

static __always_inline bool nest_flow_key_make6(__u64 *words, const __be32 *source,
						const __be32 *destination, struct nest_ports ports,
						__u8 protocol)
{
	const __u64 from[2] = {nest_word_of(source), nest_word_of(source + 2)};
	const __u64 to[2] = {nest_word_of(destination), nest_word_of(destination + 2)};
	bool swaps;

	if (from[0] != to[0])
		swaps = nest_from_be64(from[0]) > nest_from_be64(to[0]);
	else if (from[1] != to[1])
		swaps = nest_from_be64(from[1]) > nest_from_be64(to[1]);
	else
		swaps = nest_from_be16(ports.source) > nest_from_be16(ports.destination);
	for (int i = 0; i < 2; i++) {
		words[i] = swaps ? to[i] : from[i];
		words[i + 2] = swaps ? from[i] : to[i];
	}
	words[4] = nest_flow_key_tail(ports, protocol, swaps);
	return swaps;
}

/* Leaves the key in the scratch; returns whether the source is endpoint 1. */
static __always_inline bool nest_flow_key_make(struct nest_scratch *scratch,
					       const struct nest_end *source,
					       const struct nest_end *destination, __u8 protocol)
{
	const struct nest_ports ports = {source->port, destination->port};

	if (scratch->packet.family == 4)
		return nest_flow_key_make4(scratch->key_words, source->address[0],
					   destination->address[0], ports, protocol);
	return nest_flow_key_make6(scratch->key_words, source->address, destination->address, ports,
				   protocol);
}

static __always_inline void nest_flow_key_build(struct nest_scratch *scratch)
{
	struct nest_packet *packet = &scratch->packet;
	const struct nest_end source = {packet->source, packet->source_port};
	const struct nest_end destination = {packet->destination, packet->destination_port};

	packet->swapped = nest_flow_key_make(scratch, &source, &destination, packet->protocol);
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

/* Counts a packet in its flow, and keeps the flow alive. */
static __always_inline void nest_flow_add(struct nest_flow *flow, bool is_reverse, __u32 length,
					  __u64 now_ns)
{
	flow->last_seen_ns = now_ns;
	if (is_reverse) {
		nest_runtime_add(&flow->packets[1], 1);
		nest_runtime_add(&flow->bytes[1], length);
	} else {
		nest_runtime_add(&flow->packets[0], 1);
		nest_runtime_add(&flow->bytes[0], length);
	}
}

/* Counts the packet in its flow and moves the TCP state on. packet->reverse is set. */
static __always_inline void nest_flow_touch(struct nest_flow *flow,
					    const struct nest_packet *packet, __u64 now_ns)
{
	const __u8 bits = nest_tcp_bits(packet);

	if (bits & ~flow->tcp)
		nest_runtime_tcp_set(flow, bits);
	nest_flow_add(flow, packet->reverse, packet->length, now_ns);
}

/* The policy that now stands behind the flow. */
static __always_inline void nest_flow_stamp(struct nest_flow *flow, __u32 sequence, __u16 mapping,
					    enum nest_reason reason, bool is_limited)
{
	flow->mapping = mapping;
	flow->reason = reason;
	if (is_limited)
		flow->flags |= NEST_FLOW_LIMITED;
	else
		flow->flags &= ~NEST_FLOW_LIMITED;
	flow->sequence = sequence;
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
