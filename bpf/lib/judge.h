/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The judge: what nest_verdict_begin does not settle at once. It finds the flow (known.h) and goes on
 * with it, or sends the packet on to the ruling (rule.h) first.
 */
#ifndef NEST_JUDGE_H
#define NEST_JUDGE_H

#include "begin.h"
#include "decision.h"
#include "fragment.h"
#include "icmp_error.h"
#include "known.h"
#include "record.h"

/*
 * Whether the tables have to be asked: no live flow, a rate limit on the way, or a trace. Leaves the
 * packet as the ruling has to see it.
 */
static __always_inline bool nest_flow_needs_ruling(struct nest_scratch *scratch,
						   struct nest_known *known, bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;

	if (packet->flow_state != NEST_TRACE_FLOW_HIT) {
		if (packet->flow_state != NEST_TRACE_FLOW_STALE)
			nest_flow_forget(scratch, known, is_traced);
		return true;
	}
	if (!known->flow)
		return true;
	scratch->mapping = known->flow->mapping;
	return is_traced || (known->flow->flags & NEST_FLOW_LIMITED && !packet->reverse);
}

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

/*
 * Judges a packet that is no later fragment. `is_ruled`: the tables have been asked, and say that it
 * goes on with its flow.
 */
static __always_inline __u32 nest_packet_judge(void *context, struct nest_scratch *scratch,
					       bool is_ruled, bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	struct nest_known known = {};
	enum nest_reason reason = NEST_REASON_FLOW;
	__u32 mapping = NEST_MAPPING_DEFAULT;

	scratch->is_unfolded = 0;
	if (packet->has_flow)
		nest_flow_fetch(scratch, &known, is_traced);
	if (!is_ruled) {
		packet->flow_state = nest_flow_state(scratch, &known);
		if (nest_flow_needs_ruling(scratch, &known, is_traced))
			return NEST_TAIL_RULE;
	}
	if (!known.flow || !nest_flow_way(context, scratch, &known, is_traced)) {
		reason = NEST_REASON_NO_ROUTE;
		if (!is_traced)
			nest_record_deny(scratch, NEST_MAPPING_DEFAULT, reason);
	} else {
		mapping = known.flow->mapping;
		if (known.flow->flags & NEST_FLOW_LIMITED && !packet->reverse)
			mapping |= NEST_FRAGMENT_LIMITED;
		if (!is_traced)
			nest_flow_continue(scratch, &known);
	}
	return nest_settle(scratch, mapping, reason, is_traced);
}

/* Judges what nest_verdict_begin left: scratch->packet holds its findings. */
static __always_inline __u32 nest_stage_judge(void *context, struct nest_scratch *scratch,
					      bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	enum nest_reason reason = packet->reason;

	if (reason == NEST_REASON_FLOW)
		return nest_packet_judge(context, scratch, true, is_traced);
	scratch->limit = NEST_TRACE_LIMIT_NONE;
	scratch->source_identity = NEST_IDENTITY_ANY;
	scratch->destination_identity = NEST_IDENTITY_ANY;
	scratch->match = NEST_MATCH_NONE;
	scratch->balancer = 0;
	scratch->ring_position = 0;
	__builtin_memset(&scratch->out, 0, sizeof(scratch->out));
	scratch->out.backend = NEST_BACKEND_NONE;
	if (!reason && nest_icmp_is_error(packet))
		return NEST_TAIL_RELATED;
	if (!reason && !(packet->parse & NEST_TRACE_PARSE_LATER_FRAGMENT)) {
		if (packet->parse & NEST_TRACE_PARSE_FIRST_FRAGMENT)
			nest_fragment_key_build(scratch);
		return nest_packet_judge(context, scratch, false, is_traced);
	}
	if (!reason)
		reason = nest_unless_empty(scratch,
					   nest_fragment_follow(context, scratch, is_traced));
	if (!is_traced && nest_is_dropped(reason))
		nest_record_deny(scratch, NEST_MAPPING_DEFAULT, reason);
	return nest_decide(scratch, reason);
}

#endif
