/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The judge: what nest_verdict_begin does not settle at once. It finds the flow (known.h), and either goes
 * on with it (continue.h) or sends the packet to the ruling (rule.h).
 */
#ifndef NEST_JUDGE_H
#define NEST_JUDGE_H

#include "continue.h"
#include "fragment.h"
#include "icmp_error.h"
#include "known.h"

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

/* Judges a packet that is no later fragment. */
static __always_inline __u32 nest_packet_judge(void *context, struct nest_scratch *scratch,
					       bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	struct nest_known known = {};

	scratch->is_unfolded = 0;
	if (packet->has_flow)
		nest_flow_fetch(scratch, &known, is_traced);
	packet->flow_state = nest_flow_state(scratch, &known);
	if (nest_flow_needs_ruling(scratch, &known, is_traced))
		return NEST_TAIL_RULE;
	return nest_packet_continue(context, scratch, &known, is_traced);
}

/* Judges what nest_verdict_begin left: scratch->packet holds its findings. */
static __always_inline __u32 nest_stage_judge(void *context, struct nest_scratch *scratch,
					      bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	enum nest_reason reason = packet->reason;

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
		return nest_packet_judge(context, scratch, is_traced);
	}
	if (!reason)
		reason = nest_unless_empty(scratch,
					   nest_fragment_follow(context, scratch, is_traced));
	if (!is_traced && nest_is_dropped(reason))
		nest_record_deny(scratch, NEST_MAPPING_DEFAULT, reason);
	return nest_decide(scratch, reason);
}

#endif
