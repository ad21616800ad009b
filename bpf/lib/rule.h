/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The ruling on a packet that no live flow answers for: deny lists, policy, rate limit. It refuses the
 * packet, or leaves it to begin a flow, or gives its flow the stamp of the present policy.
 */
#ifndef NEST_RULE_H
#define NEST_RULE_H

#include "begin.h"
#include "deny.h"
#include "limit.h"
#include "policy.h"
#include "steered.h"

/*
 * Deny lists, then the policy; what is on a list reaches no mapping. A live flow is asked only what its
 * mapping does beyond allowing, or, for a trace, why it is allowed.
 */
static __always_inline void nest_tables_judge(struct nest_scratch *scratch,
					      struct nest_ruling *ruling, bool is_traced)
{
	const struct nest_packet *packet = &scratch->packet;
	const bool is_live = packet->flow_state == NEST_TRACE_FLOW_HIT;
	bool is_steered;

	ruling->reason = NEST_REASON_FLOW;
	ruling->mapping = NEST_MAPPING_DEFAULT;
	if (is_live && !is_traced) {
		ruling->mapping = scratch->mapping;
		ruling->action =
			nest_runtime_action(scratch->control.sequence & 1, scratch->mapping);
		return;
	}
	if (!is_traced)
		nest_count_stat(NEST_STAT_JUDGED);
	if (!is_live && nest_deny_judge(scratch, is_traced)) {
		ruling->reason = NEST_REASON_DENY_LIST;
		return;
	}
	is_steered = nest_steered_unfold(scratch);
	ruling->reason =
		nest_policy_judge(scratch, packet->reverse, &ruling->mapping, &ruling->action);
	if (is_steered)
		nest_packet_fold(scratch);
	ruling->balancer = nest_action_balancer(scratch, ruling->action);
	if (is_live)
		ruling->reason = NEST_REASON_FLOW;
}

/* Cuts a flow that the present policy does not allow. */
static __always_inline void nest_flow_cut(struct nest_scratch *scratch,
					  const struct nest_known *known,
					  const struct nest_ruling *ruling)
{
	struct nest_flow *flow = known->flow;
	const bool was_cut = flow->sequence == 0;

	flow->sequence = 0;
	flow->last_seen_ns = scratch->now_ns;
	if (known->twin) {
		known->twin->sequence = 0;
		known->twin->last_seen_ns = scratch->now_ns;
	}
	if (was_cut)
		nest_record_deny(scratch, ruling->mapping, ruling->reason);
	else
		nest_record_emit(scratch, NEST_RECORD_REJUDGED, nest_flow_whole(scratch, known),
				 ruling->mapping, ruling->reason, scratch->packet.reverse);
}

/* A packet that does not pass. What is over a limit, or on a list, is counted there and on no mapping. */
static __always_inline void nest_packet_refuse(struct nest_scratch *scratch,
					       const struct nest_ruling *ruling,
					       enum nest_reason reason)
{
	struct nest_known known = {};

	if (reason != NEST_REASON_DENY_LIST && reason != NEST_REASON_RATE_LIMIT)
		nest_count_mapping(&scratch->packet, scratch->control.sequence, ruling->mapping);
	if (reason == ruling->reason && scratch->packet.flow_state == NEST_TRACE_FLOW_STALE)
		nest_flow_refetch(scratch, &known);
	if (known.flow)
		nest_flow_cut(scratch, &known, ruling);
	else
		nest_record_deny(scratch, ruling->mapping, reason);
}

/* The present policy stands behind the entry: its marking, and the backend's index there. */
static __always_inline void nest_entry_renew(const struct nest_scratch *scratch,
					     struct nest_flow *flow,
					     const struct nest_ruling *ruling, __u16 backend)
{
	const struct nest_action *action = ruling->action;
	struct nest_rewrite *rewrite = &flow->rewrite;
	const bool is_limited = nest_action_is_limited(action) && !(flow->flags & NEST_FLOW_ALIAS);
	__u8 flags = rewrite->flags & (__u8)~NEST_REWRITE_DSCP;

	if (action && action->dscp != NEST_DSCP_KEEP) {
		rewrite->dscp = action->dscp & 63;
		flags |= NEST_REWRITE_DSCP;
	}
	rewrite->flags = flags;
	rewrite->backend = backend;
	if (flags)
		flow->flags |= NEST_FLOW_REWRITE;
	else
		flow->flags &= (__u8)~NEST_FLOW_REWRITE;
	nest_flow_stamp(flow, scratch->control.sequence, ruling->mapping, ruling->reason,
			is_limited);
}

/*
 * Whether a flow of an older policy may stay translated as it is; gives it the present index of its
 * backend.
 */
static __always_inline bool nest_nat_holds(struct nest_scratch *scratch,
					   const struct nest_flow *flow,
					   const struct nest_ruling *ruling, __u16 *backend)
{
	const struct nest_action *action = ruling->action;
	const struct nest_balancer *balancer = ruling->balancer;
	const struct nest_packet *packet = &scratch->packet;
	const struct nest_rewrite *rewrite = &flow->rewrite;
	const __u8 flags = flow->flags & NEST_FLOW_REWRITE ? rewrite->flags : 0;
	const bool hides_source = action && nest_action_hides_source(scratch, action, balancer);
	__be32 difference = 0;

	*backend = NEST_BACKEND_NONE;
	if (flow->flags & NEST_FLOW_STEERED)
		return nest_steered_holds(scratch, flow, ruling, backend);
	if (hides_source != !!(flags & NEST_REWRITE_SOURCE) ||
	    !!balancer != !!(flow->flags & NEST_FLOW_BALANCED))
		return false;
	if (balancer) {
		if ((balancer->nat == NEST_NAT_DIRECT) != !!(flags & NEST_REWRITE_DIRECT))
			return false;
		*backend = nest_balance_keep(scratch, action->balancer - 1, rewrite,
					     packet->reverse ? packet->source_port
							     : packet->destination_port);
		if (*backend == NEST_BACKEND_NONE)
			return false;
	}
	if (!hides_source || !(action->flags & NEST_ACTION_SNAT))
		return true;
	if (packet->family == 4)
		return rewrite->source[0] == action->source4;
	for (int i = 0; i < 4; i++)
		difference |= rewrite->source[i] ^ action->source6[i];
	return difference == 0;
}

/*
 * Whether an allowed packet begins a flow, or makes its own begin anew. A flow that an older policy let
 * in keeps its translation where the present one has it too; else it is translated anew when its
 * initiator speaks next, and until then the responder's packets go the old way.
 */
static __always_inline bool nest_flow_begins(struct nest_scratch *scratch,
					     const struct nest_ruling *ruling, bool is_traced)
{
	const struct nest_packet *packet = &scratch->packet;
	struct nest_known known = {};
	__u16 backend;

	if (packet->flow_state == NEST_TRACE_FLOW_HIT)
		return false;
	if (packet->flow_state != NEST_TRACE_FLOW_STALE)
		return true;
	nest_flow_refetch(scratch, &known);
	if (!known.flow)
		return !packet->reverse;
	if (known.is_torn || !nest_nat_holds(scratch, known.flow, ruling, &backend))
		return !packet->reverse;
	if (is_traced)
		return false;
	nest_entry_renew(scratch, known.flow, ruling, backend);
	if (known.twin)
		nest_entry_renew(scratch, known.twin, ruling, backend);
	return false;
}

static __always_inline __u32 nest_stage_rule(struct nest_scratch *scratch, bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	struct nest_ruling ruling = {};
	enum nest_reason reason;

	nest_tables_judge(scratch, &ruling, is_traced);
	reason = ruling.reason;
	if (reason == NEST_REASON_TABLE_MISSING)
		return nest_settle(scratch, ruling.mapping, reason, is_traced);
	if (!nest_is_dropped(reason) && !packet->reverse &&
	    !nest_limit_allows(scratch, ruling.action, ruling.mapping, is_traced))
		reason = NEST_REASON_RATE_LIMIT;
	if (nest_is_dropped(reason)) {
		if (!is_traced)
			nest_packet_refuse(scratch, &ruling, reason);
		return nest_settle(scratch, ruling.mapping, reason, is_traced);
	}
	scratch->mapping = ruling.mapping;
	packet->reason = ruling.reason;
	if (nest_flow_begins(scratch, &ruling, is_traced))
		return NEST_TAIL_BEGIN;
	packet->reason = NEST_REASON_FLOW;
	nest_packet_fold(scratch);
	return NEST_TAIL_CONTINUE;
}

#endif
