/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * A packet of a known flow that may pass: its rewrite and its way out, and what it changes in the flow. The judge comes
 * here at once, or by way of the ruling, which then has found the flow to stay.
 */
#ifndef NEST_CONTINUE_H
#define NEST_CONTINUE_H

#include "decision.h"
#include "fragment.h"
#include "known.h"
#include "record.h"

/* The rewrite and the way out of a packet of a known flow, in scratch->out. False: no way. */
static __always_inline bool nest_flow_way(void *context, struct nest_scratch *scratch,
					  const struct nest_known *known, bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	struct nest_flow *own = packet->reverse && known->twin ? known->twin : known->flow;
	struct nest_rewrite *out = &scratch->out;
	bool is_found;

	*out = own->rewrite;
	if (!(own->flags & NEST_FLOW_REWRITE))
		out->flags = 0;
	else if (!nest_flow_is_own(own, packet))
		out->flags &= NEST_REWRITE_DSCP;
	if (!(out->flags & NEST_REWRITE_ANY_WAY) || nest_route_is_fresh(scratch, out))
		return true;
	is_found = nest_route_refresh(context, scratch, out);
	if (is_traced)
		return is_found;
	own->rewrite.flags = out->flags;
	own->rewrite.egress = out->egress;
	own->rewrite.mtu = out->mtu;
	nest_macs_copy(own->rewrite.destination_mac, out->destination_mac);
	own->rewrite.route_second = out->route_second;
	return is_found;
}

/* Counts a packet of a known flow, and reports and removes the flow when it ended. */
static __always_inline void nest_flow_continue(struct nest_scratch *scratch,
					       struct nest_known *known)
{
	struct nest_packet *packet = &scratch->packet;
	struct nest_flow *flow = known->flow;
	struct nest_flow *twin = known->twin;
	const bool was_finished = nest_tcp_is_finished(flow->tcp);
	const __u8 bits = nest_tcp_bits(packet);
	const __u16 mapping = flow->mapping;

	nest_count_mapping(packet, scratch->control.sequence, mapping);
	nest_count_backend(packet, scratch->control.sequence, scratch->out.backend, false);
	if (twin && packet->reverse) {
		nest_flow_touch(twin, packet, scratch->now_ns);
		flow->last_seen_ns = scratch->now_ns;
		if (bits & ~flow->tcp)
			nest_runtime_tcp_set(flow, bits);
	} else {
		nest_flow_touch(flow, packet, scratch->now_ns);
		if (twin) {
			twin->last_seen_ns = scratch->now_ns;
			if (bits & ~twin->tcp)
				nest_runtime_tcp_set(twin, bits);
		}
	}
	if (packet->l4 != NEST_L4_TCP)
		return;
	if (!was_finished && nest_tcp_is_finished(flow->tcp))
		nest_record_emit(scratch, NEST_RECORD_END, nest_flow_whole(scratch, known), mapping,
				 flow->reason, packet->reverse);
	if (!(packet->tcp_flags & NEST_TCP_RST))
		return;
	nest_flow_remove(scratch, known);
}

static __always_inline __u32 nest_packet_continue(void *context, struct nest_scratch *scratch,
						  struct nest_known *known, bool is_traced)
{
	enum nest_reason reason = NEST_REASON_FLOW;
	__u32 mapping = NEST_MAPPING_DEFAULT;

	if (!known->flow || !nest_flow_way(context, scratch, known, is_traced)) {
		reason = NEST_REASON_NO_ROUTE;
		if (!is_traced)
			nest_record_deny(scratch, NEST_MAPPING_DEFAULT, reason);
	} else {
		mapping = known->flow->mapping;
		if (known->flow->flags & NEST_FLOW_LIMITED && !scratch->packet.reverse)
			mapping |= NEST_FRAGMENT_LIMITED;
		if (!is_traced)
			nest_flow_continue(scratch, known);
	}
	return nest_settle(scratch, mapping, reason, is_traced);
}

/* After the ruling, which kept no pointer to the flow. */
static __always_inline __u32 nest_stage_continue(void *context, struct nest_scratch *scratch,
						 bool is_traced)
{
	struct nest_known known = {};

	scratch->is_unfolded = 0;
	if (scratch->packet.has_flow)
		nest_flow_fetch(scratch, &known, is_traced);
	return nest_packet_continue(context, scratch, &known, is_traced);
}

#endif
