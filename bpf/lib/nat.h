/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * Address translation. A translated flow has two entries in the table: one under the key of the
 * packets that arrive from the initiator, one (NEST_FLOW_ALIAS) under the key of those that arrive
 * from the responder. Each is the other's twin: it says how the packets of its own direction are
 * rewritten, and the key of the rewritten packet is the key of the twin. So either can be restored
 * from the other when the table had to let it go.
 */
#ifndef NEST_NAT_H
#define NEST_NAT_H

#include "balance.h"
#include "flow.h"
#include "route.h"

#define NEST_EEXIST 17

/* A packet of the direction that the entry rewrites. */
static __always_inline bool nest_flow_is_own(const struct nest_flow *flow,
					     const struct nest_packet *packet)
{
	return !(flow->flags & NEST_FLOW_ALIAS) == !packet->reverse;
}

static __always_inline bool nest_flow_has_twin(const struct nest_flow *flow)
{
	return flow->flags & NEST_FLOW_REWRITE && flow->rewrite.flags & NEST_REWRITE_TRANSLATED;
}

/* Leaves the key of the rewritten packet in the scratch; returns whether its source is endpoint 1. */
static __always_inline bool nest_twin_key(struct nest_scratch *scratch,
					  const struct nest_rewrite *rewrite)
{
	const struct nest_end source = {rewrite->source, rewrite->source_port};
	const struct nest_end destination = {rewrite->destination, rewrite->destination_port};

	return nest_flow_key_make(scratch, &source, &destination, scratch->packet.protocol);
}

/*
 * Turns scratch->fresh, the entry that rewrites this packet, into its twin, all but the end that
 * depends on the twin's key: what goes back is this packet, before its rewrite, turned round.
 */
static __always_inline void nest_twin_make(struct nest_scratch *scratch)
{
	const struct nest_packet *packet = &scratch->packet;
	struct nest_flow *twin = &scratch->fresh;
	struct nest_rewrite *rewrite = &twin->rewrite;

	for (int i = 0; i < 2; i++) {
		twin->packets[i] = 0;
		twin->bytes[i] = 0;
	}
	twin->flags ^= NEST_FLOW_ALIAS;
	if (twin->flags & NEST_FLOW_ALIAS)
		twin->flags &= (__u8)~NEST_FLOW_LIMITED;
	else
		twin->sequence =
			~scratch->control.sequence; /* to be judged again, which limits it again */
	for (int i = 0; i < 4; i++) {
		rewrite->source[i] = packet->destination[i];
		rewrite->destination[i] = packet->source[i];
	}
	rewrite->source_port = packet->destination_port;
	rewrite->destination_port = packet->source_port;
	if ((rewrite->flags & NEST_REWRITE_TRANSLATED) != NEST_REWRITE_TRANSLATED)
		rewrite->flags ^= NEST_REWRITE_TRANSLATED;
	rewrite->flags &= (__u8)~NEST_REWRITE_ROUTED;
	rewrite->egress = 0;
	rewrite->route_second = 0;
	rewrite->mtu = 0;
}

/* Which end of the twin's key is the initiator. */
static __always_inline void nest_twin_turn(struct nest_flow *twin, bool is_swapped)
{
	/* This packet is the initiator's when its twin is the alias. */
	const bool is_second = twin->flags & NEST_FLOW_ALIAS ? is_swapped : !is_swapped;

	twin->flags &= (__u8)~NEST_FLOW_INITIATOR_SECOND;
	if (is_second)
		twin->flags |= NEST_FLOW_INITIATOR_SECOND;
}

/*
 * Whether the entry, found under the key of the rewritten packet, leads back to the packet as it came.
 * `is_same_way`: or, under the key of the packet as it came, to what it is now.
 */
static __always_inline bool nest_twin_is(const struct nest_flow *found,
					 const struct nest_packet *packet, bool is_same_way)
{
	const struct nest_rewrite *rewrite = &found->rewrite;
	const __be16 from_port = is_same_way ? packet->source_port : packet->destination_port;
	const __be16 to_port = is_same_way ? packet->destination_port : packet->source_port;
	__u32 difference = (__u32)(rewrite->source_port ^ from_port) |
			   (__u32)(rewrite->destination_port ^ to_port);

	for (int i = 0; i < 4; i++) {
		const __be32 from = is_same_way ? packet->source[i] : packet->destination[i];
		const __be32 to = is_same_way ? packet->destination[i] : packet->source[i];

		difference |= (rewrite->source[i] ^ from) | (rewrite->destination[i] ^ to);
	}
	return difference == 0 && nest_flow_has_twin(found);
}

/*
 * Takes the place of the twin in scratch->fresh for it, under the key in the scratch. False: another
 * flow has it; an alias that is over has been removed then, so that its place is free the next time.
 * A trace only looks.
 */
static __always_inline bool nest_twin_store(struct nest_scratch *scratch, bool is_traced)
{
	const struct nest_flow *found;
	long error = -NEST_EEXIST;
	bool is_over;

	if (!is_traced)
		error = nest_runtime_flow_store(scratch, false);
	if (error != -NEST_EEXIST) {
		if (error)
			nest_count_loss(NEST_LOSS_FLOW_TABLE);
		return error == 0;
	}
	found = nest_runtime_flow_find(scratch);
	if (!found || nest_twin_is(found, &scratch->packet, false))
		return true;
	is_over = found->flags & NEST_FLOW_ALIAS &&
		  nest_flow_is_idle(found, scratch->packet.protocol, scratch->now_ns);
	if (is_over && !is_traced)
		nest_runtime_flow_delete(scratch);
	return is_over && is_traced;
}

/*
 * The twin of the entry that rewrites this packet, restored if it was lost. NULL: its place is
 * taken, or, in a trace, empty.
 */
static __always_inline struct nest_flow *
nest_twin_find(struct nest_scratch *scratch, const struct nest_flow *flow, bool is_traced)
{
	struct nest_flow *found;

	scratch->fresh = *flow;
	nest_twin_make(scratch);
	nest_twin_turn(&scratch->fresh, nest_twin_key(scratch, &flow->rewrite));
	found = nest_runtime_flow_find(scratch);
	if (found)
		return nest_twin_is(found, &scratch->packet, false) ? found : NULL;
	if (is_traced || !nest_twin_store(scratch, false))
		return NULL;
	return nest_runtime_flow_find(scratch);
}

/*
 * Removes the twin of the entry that rewrites this packet; what it counted goes to the entry. The key
 * in the scratch is the packet's again.
 */
static __always_inline void nest_twin_remove(struct nest_scratch *scratch, struct nest_flow *flow)
{
	const struct nest_flow *found;

	if (!nest_flow_has_twin(flow))
		return;
	nest_twin_key(scratch, &flow->rewrite);
	found = nest_runtime_flow_find(scratch);
	if (found && nest_twin_is(found, &scratch->packet, false)) {
		for (int i = 0; i < 2; i++) {
			nest_runtime_add(&flow->packets[i], found->packets[i]);
			nest_runtime_add(&flow->bytes[i], found->bytes[i]);
		}
		nest_runtime_flow_delete(scratch);
	}
	nest_flow_key_build(scratch);
}

/* ---- source NAT ---- */

/* The address to appear as: the mapping's, or that of the way out. False: none in this family. */
static __always_inline bool nest_nat_address(struct nest_scratch *scratch,
					     const struct nest_action *action,
					     struct nest_rewrite *rewrite)
{
	const bool is_ipv4 = scratch->packet.family == 4;
	const struct nest_interface_address *own = NULL;
	__be32 any = 0;

	if (!(action->flags & NEST_ACTION_SNAT)) {
		own = nest_runtime_interface_address(rewrite->egress);
		if (!own)
			own = nest_runtime_interface_address(scratch->packet.interface);
		if (!own)
			return false;
	}
	if (is_ipv4) {
		rewrite->source[0] = own ? own->address4 : action->source4;
		return rewrite->source[0] != 0;
	}
	for (int i = 0; i < 4; i++) {
		rewrite->source[i] = own ? own->address6[i] : action->source6[i];
		any |= rewrite->source[i];
	}
	return any != 0;
}

/* The port, or ICMP identifier, of a try. A function of the flow, so that runtimes agree. */
static __always_inline void nest_nat_port(struct nest_scratch *scratch,
					  struct nest_rewrite *rewrite, __u32 try)
{
	const struct nest_packet *packet = &scratch->packet;
	const __u32 lanes = nest_runtime_lanes();
	const __u32 share = lanes < NEST_NAT_PORTS ? NEST_NAT_PORTS / lanes : 1;
	const __u32 first = NEST_NAT_PORT_FIRST + nest_runtime_lane() % lanes * share;
	const __u32 ports = packet->source_port | (__u32)packet->destination_port << 16;
	__u32 hash = nest_hash_word(NEST_HASH_SEED, try);

	hash = nest_hash_address(hash, packet->family, packet->destination);
	hash = nest_hash_address(nest_hash_word(hash, ports), packet->family, packet->source);
	rewrite->source_port = nest_to_be16((__u16)(first + hash % share));
	if (packet->l4 == NEST_L4_ICMP)
		rewrite->destination_port = rewrite->source_port;
}

/* ---- what a mapping makes of a new flow ---- */

static __always_inline const struct nest_balancer *
nest_action_balancer(const struct nest_scratch *scratch, const struct nest_action *action)
{
	if (!action || !action->balancer)
		return NULL;
	return nest_runtime_balancer(scratch->control.sequence & 1, action->balancer - 1);
}

/* Whether the source changes, in the family of the packet. */
static __always_inline bool nest_action_hides_source(const struct nest_scratch *scratch,
						     const struct nest_action *action,
						     const struct nest_balancer *balancer)
{
	__be32 any = action->source4;

	if (balancer && balancer->nat != NEST_NAT_DESTINATION)
		return balancer->nat == NEST_NAT_FULL;
	if (!(action->flags & NEST_ACTION_SNAT))
		return action->flags & NEST_ACTION_MASQUERADE;
	if (scratch->packet.family == 6)
		any = action->source6[0] | action->source6[1] | action->source6[2] |
		      action->source6[3];
	return any != 0;
}

/*
 * Decides how the flow that this packet begins is rewritten: scratch->out, of which flags 0 means
 * not at all. NEST_REASON_UNSPECIFIED, or why it cannot be.
 */
static __always_inline enum nest_reason nest_nat_choose(void *context, struct nest_scratch *scratch,
							const struct nest_action *action,
							const struct nest_balancer *balancer)
{
	const struct nest_packet *packet = &scratch->packet;
	const bool has_ports = packet->l4 == NEST_L4_TCP || packet->l4 == NEST_L4_UDP;
	struct nest_rewrite *out = &scratch->out;
	bool hides_source;

	nest_rewrite_begin(out, packet);
	if (!action)
		return NEST_REASON_UNSPECIFIED;
	if (action->dscp != NEST_DSCP_KEEP) {
		out->dscp = action->dscp & 63;
		out->flags = NEST_REWRITE_DSCP;
	}
	if (balancer) {
		__u16 index;

		if (!has_ports)
			return NEST_REASON_NOT_TRANSLATABLE;
		scratch->balancer = action->balancer;
		index = nest_balance_choose(scratch, balancer);
		if (index == NEST_BACKEND_NONE || !nest_balance_aim(scratch, balancer, index, out))
			return NEST_REASON_NO_BACKEND;
	}
	hides_source = nest_action_hides_source(scratch, action, balancer);
	if (!balancer && !hides_source)
		return NEST_REASON_UNSPECIFIED;
	if (!has_ports && !(packet->l4 == NEST_L4_ICMP && packet->has_flow))
		return NEST_REASON_NOT_TRANSLATABLE;
	if (!nest_route_refresh(context, scratch, out))
		return NEST_REASON_NO_ROUTE;
	if (hides_source) {
		out->flags |= NEST_REWRITE_SOURCE;
		if (!nest_nat_address(scratch, action, out))
			return NEST_REASON_NAT_EXHAUSTED;
	}
	return NEST_REASON_UNSPECIFIED;
}

/*
 * Takes the place of the alias of the flow in scratch->fresh, and the port that makes it unique, which
 * it sets in scratch->out. Leaves the alias in scratch->fresh. False: none is free.
 */
static __always_inline bool nest_nat_reserve(struct nest_scratch *scratch, bool is_traced)
{
	struct nest_rewrite *out = &scratch->out;
	const bool hides_source = out->flags & NEST_REWRITE_SOURCE;
	/* The second for the place of an alias that was over. */
	const __u32 tries = hides_source ? NEST_NAT_TRIES_MAX : 2;

	nest_twin_make(scratch);
	for (__u32 i = 0; i < NEST_NAT_TRIES_MAX && i < tries; i++) {
		if (hides_source)
			nest_nat_port(scratch, out, i);
		nest_twin_turn(&scratch->fresh, nest_twin_key(scratch, out));
		if (nest_twin_store(scratch, is_traced))
			return true;
	}
	return false;
}

#endif
