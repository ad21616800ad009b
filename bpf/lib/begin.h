/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* The beginning of a flow, or of a new translation of one: rewrite, place in the table, record. */
#ifndef NEST_BEGIN_H
#define NEST_BEGIN_H

#include "decision.h"
#include "fragment.h"
#include "known.h"

/* The flow that this packet begins, in scratch->fresh; scratch->out is its rewrite. */
static __always_inline void nest_flow_write(struct nest_scratch *scratch, enum nest_reason reason)
{
	nest_flow_begin(scratch, scratch->mapping, reason);
	scratch->fresh.flags |= scratch->flow_flags;
	scratch->fresh.rewrite = scratch->out;
}

/* Puts the new flow in the table; one that ended gives way to it. */
static __always_inline void nest_flow_start(struct nest_scratch *scratch, enum nest_reason reason)
{
	const bool replaces = scratch->packet.flow_state == NEST_TRACE_FLOW_CLOSED;
	long error;

	nest_flow_write(scratch, reason);
	error = nest_runtime_flow_store(scratch, replaces);
	if (error == 0)
		nest_record_emit(scratch, NEST_RECORD_START, &scratch->fresh, scratch->mapping,
				 reason, false);
	else if (error != -NEST_EEXIST) /* else another CPU was first with the same flow */
		nest_count_loss(NEST_LOSS_FLOW_TABLE);
}

/* Gives a known flow its new translation. Other CPUs look at it only once it is stamped. */
static __always_inline void nest_flow_move(struct nest_scratch *scratch, enum nest_reason reason)
{
	struct nest_flow *flow = nest_runtime_flow_find(scratch);
	bool was_finished;

	if (!flow)
		return;
	was_finished = nest_tcp_is_finished(flow->tcp);
	flow->rewrite = scratch->out;
	flow->flags = (flow->flags & NEST_FLOW_INITIATOR_SECOND) | scratch->flow_flags;
	nest_flow_touch(flow, &scratch->packet, scratch->now_ns);
	nest_flow_stamp(flow, scratch->control.sequence, scratch->mapping, reason,
			scratch->flow_flags & NEST_FLOW_LIMITED);
	if (!was_finished && nest_tcp_is_finished(flow->tcp))
		nest_record_emit(scratch, NEST_RECORD_END, flow, scratch->mapping, reason, false);
}

/* The key is in use, by a flow that ended or that is to be translated anew: its twin goes. Returns the
 * TCP state of one that goes on. */
static __always_inline __u8 nest_flow_loosen(struct nest_scratch *scratch, bool is_traced)
{
	struct nest_flow *old = nest_runtime_flow_find(scratch);
	__u8 tcp;

	if (!old)
		return 0;
	tcp = old->tcp;
	if (!is_traced)
		nest_twin_remove(scratch, old);
	return scratch->packet.flow_state == NEST_TRACE_FLOW_STALE ? tcp : 0;
}

/* Finds a place for the flow of an allowed packet, whose rewrite is scratch->out. */
static __always_inline enum nest_reason nest_flow_place(struct nest_scratch *scratch,
							enum nest_reason reason, bool is_traced)
{
	const struct nest_packet *packet = &scratch->packet;
	const bool moves = packet->flow_state == NEST_TRACE_FLOW_STALE;
	__u8 tcp = 0;

	if (!packet->has_flow || (packet->tcp_flags & NEST_TCP_RST && !moves))
		return scratch->out.flags & NEST_REWRITE_SOURCE ? NEST_REASON_NOT_TRANSLATABLE
								: reason;
	if (moves || packet->flow_state == NEST_TRACE_FLOW_CLOSED)
		tcp = nest_flow_loosen(scratch, is_traced);
	if (scratch->out.flags & NEST_REWRITE_TRANSLATED) {
		nest_flow_write(scratch, reason);
		scratch->fresh.tcp |= tcp;
		if (!nest_nat_reserve(scratch, is_traced))
			return NEST_REASON_NAT_EXHAUSTED;
		nest_flow_key_build(scratch);
	}
	if (!is_traced) {
		if (moves)
			nest_flow_move(scratch, reason);
		else
			nest_flow_start(scratch, reason);
		nest_count_backend(packet, scratch->control.sequence, scratch->out.backend, true);
	}
	return moves ? NEST_REASON_FLOW : reason;
}

/* The rewrite of the flow that the mapping allows, in scratch->out, and the flags of its entry. */
static __always_inline enum nest_reason nest_flow_choose(void *context,
							 struct nest_scratch *scratch)
{
	const struct nest_action *action = NULL;
	const struct nest_balancer *balancer;
	enum nest_reason reason;

	if (scratch->packet.reason == NEST_REASON_POLICY_ALLOW)
		action = nest_runtime_action(scratch->control.sequence & 1, scratch->mapping);
	balancer = nest_action_balancer(scratch, action);
	reason = nest_nat_choose(context, scratch, action, balancer);
	scratch->flow_flags = (scratch->out.flags ? NEST_FLOW_REWRITE : 0) |
			      (balancer ? NEST_FLOW_BALANCED : 0) |
			      (nest_action_is_limited(action) ? NEST_FLOW_LIMITED : 0);
	return reason;
}

/* Begins the flow that the ruling allowed: the packet has its reason, the scratch its mapping. */
static __always_inline __u32 nest_stage_begin(void *context, struct nest_scratch *scratch,
					      bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	enum nest_reason reason = nest_flow_choose(context, scratch);
	__u32 mapping = scratch->mapping;

	if (!reason)
		reason = nest_flow_place(scratch, packet->reason, is_traced);
	if (!is_traced) {
		nest_count_mapping(packet, scratch->control.sequence, mapping);
		if (nest_is_dropped(reason))
			nest_record_deny(scratch, (__u16)mapping, reason);
	}
	if (scratch->flow_flags & NEST_FLOW_LIMITED)
		mapping |= NEST_FRAGMENT_LIMITED;
	return nest_settle(scratch, mapping, reason, is_traced);
}

#endif
