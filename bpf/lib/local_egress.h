/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The verdict on packets that the host itself sends. They begin and refresh flows like packets from the wire, so that
 * what comes back is known there. The host's packets are never translated here: its sockets were steered when they
 * connected. A packet's payload may lie elsewhere, and be cut into segments later: lengths are those of the socket
 * buffer, not of what can be read.
 */
#ifndef NEST_LOCAL_EGRESS_H
#define NEST_LOCAL_EGRESS_H

#include "verdict.h"

#include "local_kernel.h"

static __always_inline enum nest_reason nest_egress_ipv4(struct nest_cursor *cursor,
							 struct nest_packet *packet)
{
	const __u8 *start = cursor->position;
	const struct nest_ipv4 *ip = nest_take(cursor, sizeof(*ip));
	__u32 header_bytes;
	__u16 fragment;

	if (!ip)
		return NEST_REASON_TRUNCATED;
	header_bytes = (ip->version_ihl & 0xf) * 4;
	if (ip->version_ihl >> 4 != 4 || header_bytes < sizeof(*ip))
		return NEST_REASON_MALFORMED;
	if (start + header_bytes > cursor->end || header_bytes > cursor->left)
		return NEST_REASON_TRUNCATED;
	packet->family = 4;
	packet->source[0] = ip->source;
	packet->destination[0] = ip->destination;
	packet->protocol = ip->protocol;
	fragment = nest_from_be16(ip->fragment);
	/* The first fragment was judged here: without it nobody can use the others. */
	if (fragment & 0x1fff)
		return NEST_REASON_FRAGMENT;
	cursor->position = start + header_bytes;
	cursor->left -= header_bytes;
	return nest_parse_l4(cursor, packet, 0);
}

static __always_inline enum nest_reason nest_egress_ipv6(struct nest_cursor *cursor,
							 struct nest_scratch *scratch)
{
	struct nest_packet *packet = &scratch->packet;
	const struct nest_ipv6 *ip = nest_take_ip(cursor, sizeof(*ip));
	enum nest_reason reason;

	if (!ip)
		return NEST_REASON_TRUNCATED;
	if (ip->version_class >> 4 != 6)
		return NEST_REASON_MALFORMED;
	packet->family = 6;
	for (int i = 0; i < 4; i++) {
		packet->source[i] = ip->source[i];
		packet->destination[i] = ip->destination[i];
	}
	packet->protocol = ip->next;
	if (nest_is_extension(ip->next)) {
		reason = nest_parse_extensions(cursor, scratch);
		if (reason)
			return reason;
		if (packet->parse & NEST_TRACE_PARSE_LATER_FRAGMENT)
			return NEST_REASON_FRAGMENT;
	}
	return nest_parse_l4(cursor, packet, ip->hop_limit);
}

/* As nest_parse; `bytes` is the length of the whole packet, of which the cursor sees the beginning. */
static __always_inline enum nest_reason nest_egress_parse(struct nest_cursor *cursor,
							  struct nest_scratch *scratch, __u32 bytes)
{
	const struct nest_ethernet *ethernet = nest_take(cursor, sizeof(*ethernet));
	__be16 type;

	if (!ethernet)
		return NEST_REASON_TRUNCATED;
	type = ethernet->type;
	for (__u8 i = 1; i <= NEST_VLAN_TAGS_MAX && nest_is_vlan(type); i++) {
		const struct nest_vlan *vlan = nest_take(cursor, sizeof(*vlan));

		if (!vlan)
			return NEST_REASON_TRUNCATED;
		type = vlan->type;
		scratch->packet.vlan_tags = i;
	}
	cursor->left = bytes - nest_l3_offset(&scratch->packet);
	if (type == nest_to_be16(NEST_ETHERTYPE_IPV4))
		return nest_egress_ipv4(cursor, &scratch->packet);
	if (type == nest_to_be16(NEST_ETHERTYPE_IPV6))
		return nest_egress_ipv6(cursor, scratch);
	if (type == nest_to_be16(NEST_ETHERTYPE_ARP))
		return NEST_REASON_ARP;
	return nest_is_vlan(type) ? NEST_REASON_TOO_MANY_TAGS : NEST_REASON_NOT_IP;
}

/*
 * Parses the packet and settles it when it belongs to a live flow (FLOW) or needs no judgement. UNSPECIFIED: it goes
 * on to nest_egress_judge.
 */
static __always_inline enum nest_reason nest_egress_begin(struct nest_scratch *scratch,
							  struct nest_cursor *cursor, __u32 bytes)
{
	struct nest_packet *packet = &scratch->packet;
	struct nest_flow *flow;
	enum nest_reason reason;

	nest_packet_clear(packet);
	if (scratch->control.sequence == 0)
		return NEST_REASON_NO_POLICY;
	reason = nest_unless_empty(scratch, nest_egress_parse(cursor, scratch, bytes));
	scratch->now_ns = nest_runtime_clock(scratch);
	if (reason)
		return reason;
	/* Only packets from outside have their datagrams followed. */
	packet->parse &= (__u8)~NEST_TRACE_PARSE_FIRST_FRAGMENT;
	/* The kernel's answer to a packet that came in. */
	if (nest_icmp_is_error(packet))
		return NEST_REASON_FLOW_RELATED;
	if (!packet->has_flow)
		return NEST_REASON_UNSPECIFIED;
	nest_flow_key_build(scratch);
	if (!nest_is_plain(packet))
		return NEST_REASON_UNSPECIFIED;
	flow = nest_runtime_flow_find(scratch);
	if (!flow || nest_flow_has_twin(flow) || flow->sequence != scratch->control.sequence ||
	    flow->flags & NEST_FLOW_LIMITED ||
	    nest_flow_is_idle(flow, packet->protocol, scratch->now_ns))
		return NEST_REASON_UNSPECIFIED;
	packet->reverse = nest_flow_is_reverse(flow, packet);
	nest_flow_touch(flow, packet, scratch->now_ns);
	nest_count_mapping(packet, scratch->control.sequence, flow->mapping);
	if (flow->flags & NEST_FLOW_STEERED)
		nest_count_backend(packet, scratch->control.sequence, flow->rewrite.backend, false);
	return NEST_REASON_FLOW;
}

/* What the packet's socket asked for, NULL when no hook had to do with it. */
static __always_inline const struct nest_local_peer *
nest_egress_peer(const struct nest_packet *packet, __u64 cookie)
{
	struct nest_local_key key = {};

	if (!cookie)
		return NULL;
	key.cookie = cookie;
	key.family = packet->family;
	key.port = packet->destination_port;
	for (int i = 0; i < 4; i++)
		key.address[i] = packet->destination[i];
	return nest_local_peer_find(&key);
}

/* Before the ruling: nothing is known yet of what becomes of the packet. */
static __always_inline void nest_egress_reset(struct nest_scratch *scratch)
{
	scratch->limit = NEST_TRACE_LIMIT_NONE;
	scratch->source_identity = NEST_IDENTITY_ANY;
	scratch->destination_identity = NEST_IDENTITY_ANY;
	scratch->match = NEST_MATCH_NONE;
	scratch->balancer = 0;
	scratch->ring_position = 0;
	__builtin_memset(&scratch->out, 0, sizeof(scratch->out));
	scratch->out.backend = NEST_BACKEND_NONE;
}

/* The stage that a packet has to go to which no live flow answers for. */
static __always_inline __u32 nest_egress_ask(struct nest_scratch *scratch, __u64 cookie)
{
	struct nest_packet *packet = &scratch->packet;
	const struct nest_local_peer *peer;

	if (packet->flow_state == NEST_TRACE_FLOW_HIT)
		return NEST_TAIL_RULE;
	peer = nest_egress_peer(packet, cookie);
	if (!peer)
		return NEST_TAIL_RULE;
	if (peer->flags & NEST_LOCAL_OWN) {
		scratch->mapping = NEST_MAPPING_DEFAULT;
		packet->reason = NEST_REASON_DEFAULT_ALLOW;
		return NEST_TAIL_BEGIN;
	}
	if (peer->flags & NEST_LOCAL_STEERED && packet->flow_state != NEST_TRACE_FLOW_STALE)
		nest_steered_aim(scratch, peer->address, peer->port);
	return NEST_TAIL_RULE;
}

/* Finds the packet's flow. False: it is translated on its way through this host, which is no end of it. */
static __always_inline bool nest_egress_fetch(struct nest_scratch *scratch,
					      struct nest_known *known)
{
	struct nest_packet *packet = &scratch->packet;

	scratch->is_unfolded = 0;
	if (packet->has_flow)
		known->flow = nest_runtime_flow_find(scratch);
	if (!known->flow)
		return true;
	if (nest_flow_has_twin(known->flow))
		return false;
	packet->reverse = nest_flow_is_reverse(known->flow, packet);
	return true;
}

static __always_inline __u32 nest_egress_go_on(struct nest_scratch *scratch,
					       struct nest_known *known)
{
	if (known->flow) {
		if (known->flow->flags & NEST_FLOW_STEERED)
			scratch->out.backend = known->flow->rewrite.backend;
		nest_flow_continue(scratch, known);
	}
	return nest_decide(scratch, NEST_REASON_FLOW);
}

/* Goes on with the packet's flow, or sends the packet to the ruling; returns the next stage. */
static __always_inline __u32 nest_egress_judge(struct nest_scratch *scratch, __u64 cookie)
{
	struct nest_known known = {};

	nest_egress_reset(scratch);
	if (!nest_egress_fetch(scratch, &known))
		return nest_decide(scratch, NEST_REASON_FLOW);
	scratch->packet.flow_state = nest_flow_state(scratch, &known);
	if (nest_flow_needs_ruling(scratch, &known, false))
		return nest_egress_ask(scratch, cookie);
	return nest_egress_go_on(scratch, &known);
}

/* After the ruling, which found the flow to stay. */
static __always_inline __u32 nest_egress_continue(struct nest_scratch *scratch)
{
	struct nest_known known = {};

	if (!nest_egress_fetch(scratch, &known))
		return nest_decide(scratch, NEST_REASON_FLOW);
	return nest_egress_go_on(scratch, &known);
}

/* The entry of a steered connection, in scratch->out: where its packets go, and the virtual end. */
static __always_inline void nest_egress_describe(struct nest_scratch *scratch,
						 const struct nest_local_peer *peer)
{
	const struct nest_packet *packet = &scratch->packet;
	struct nest_rewrite *out = &scratch->out;

	for (int i = 0; i < 4; i++) {
		out->source[i] = peer->address[i];
		out->destination[i] = packet->destination[i];
	}
	out->source_port = peer->port;
	out->destination_port = packet->destination_port;
	/* Else it is found when a new policy asks for it. */
	if (peer->sequence == scratch->control.sequence)
		out->backend = peer->backend;
	scratch->flow_flags |= NEST_FLOW_BALANCED | NEST_FLOW_STEERED;
}

/* A steered flow whose backend the policy no longer has: its socket cannot go to another one. */
static __always_inline __u32 nest_egress_cut(struct nest_scratch *scratch, struct nest_flow *flow)
{
	const struct nest_known known = {.flow = flow};
	const struct nest_ruling ruling = {
		.reason = NEST_REASON_NO_BACKEND,
		.mapping = scratch->mapping,
	};

	nest_count_mapping(&scratch->packet, scratch->control.sequence, ruling.mapping);
	nest_flow_cut(scratch, &known, &ruling);
	return nest_decide(scratch, NEST_REASON_NO_BACKEND);
}

/* Begins the flow that the ruling allowed, or gives it the present stamp. */
static __always_inline __u32 nest_egress_open(struct nest_scratch *scratch, __u64 cookie)
{
	struct nest_packet *packet = &scratch->packet;
	const bool moves = packet->flow_state == NEST_TRACE_FLOW_STALE;
	const bool is_steered = scratch->is_unfolded;
	const struct nest_action *action = NULL;
	const enum nest_reason reason = packet->reason;
	const struct nest_local_peer *peer;
	struct nest_flow *flow;

	if (reason == NEST_REASON_POLICY_ALLOW)
		action = nest_runtime_action(scratch->control.sequence & 1, scratch->mapping);
	scratch->flow_flags = nest_action_is_limited(action) ? NEST_FLOW_LIMITED : 0;
	nest_packet_fold(scratch);
	flow = moves ? nest_runtime_flow_find(scratch) : NULL;
	if (flow && flow->flags & NEST_FLOW_STEERED)
		return nest_egress_cut(scratch, flow);
	peer = is_steered ? nest_egress_peer(packet, cookie) : NULL;
	if (peer)
		nest_egress_describe(scratch, peer);
	nest_count_mapping(packet, scratch->control.sequence, scratch->mapping);
	nest_count_backend(packet, scratch->control.sequence, scratch->out.backend, true);
	if (!packet->has_flow || (packet->tcp_flags & NEST_TCP_RST && !moves))
		return nest_decide(scratch, reason);
	if (!moves)
		nest_flow_start(scratch, reason);
	else
		nest_flow_move(scratch, reason);
	return nest_decide(scratch, moves ? NEST_REASON_FLOW : reason);
}

/* A packet that is cut into segments later: what it counts beyond the first. Bytes are those of all already. */
static __always_inline void nest_egress_segments(struct nest_scratch *scratch, __u32 more)
{
	const struct nest_packet *packet = &scratch->packet;
	const __u32 half = (scratch->control.sequence & 1) * (NEST_MAPPINGS_MAX + 1);
	struct nest_counter *counter;
	struct nest_backend_counter *backend;
	struct nest_flow *flow = nest_runtime_flow_find(scratch);

	if (!flow || nest_flow_has_twin(flow))
		return;
	nest_runtime_add(&flow->packets[packet->reverse ? 1 : 0], more);
	counter = nest_runtime_mapping_counter(half + flow->mapping);
	if (counter)
		counter->packets += more;
	if (!(flow->flags & NEST_FLOW_STEERED) || flow->rewrite.backend >= NEST_BACKENDS_MAX)
		return;
	backend = nest_runtime_backend_counter((scratch->control.sequence & 1) * NEST_BACKENDS_MAX +
					       flow->rewrite.backend);
	if (backend)
		backend->packets += more;
}

#endif
