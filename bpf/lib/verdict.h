/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The verdict. nest_verdict_begin parses and settles packets of live flows; everything else goes on
 * to nest_verdict_judge: fragments, beginnings and ends of flows, flows an older policy judged,
 * drops, traces. Both return the reason; reason.h says which reasons drop.
 */
#ifndef NEST_VERDICT_H
#define NEST_VERDICT_H

#include "counters.h"
#include "flow.h"
#include "fragment.h"
#include "policy.h"
#include "record.h"
#include "trace.h"

static __always_inline bool nest_is_dropped(enum nest_reason reason)
{
	__u32 dropped = 0;

#define NEST_REASON_DROPS(number, name, is_dropped) dropped |= (__u32)(is_dropped) << (number);
	NEST_REASONS(NEST_REASON_DROPS)
#undef NEST_REASON_DROPS
	return dropped >> (reason & (NEST_REASON_SLOTS - 1)) & 1;
}

/* An empty policy drops nothing: what cannot be read passes too. Its flows are kept, so that the
 * first plan knows them. */
static __always_inline enum nest_reason nest_unless_empty(const struct nest_scratch *scratch,
							  enum nest_reason reason)
{
	if (nest_is_dropped(reason) && !(scratch->control.flags & NEST_FLAG_ENFORCE))
		return NEST_REASON_NO_POLICY;
	return reason;
}

/* A flow packet that changes nothing but counters. */
static __always_inline bool nest_is_plain(const struct nest_packet *packet)
{
	return !(packet->tcp_flags & (NEST_TCP_FIN | NEST_TCP_SYN | NEST_TCP_RST)) &&
	       !(packet->parse & NEST_TRACE_PARSE_FIRST_FRAGMENT);
}

/*
 * Parses the packet and, when it belongs to a live flow, settles it: returns NEST_REASON_FLOW, all
 * counted. Otherwise returns the reason that the parser found, or NEST_REASON_UNSPECIFIED for a
 * packet to be judged.
 */
static __always_inline enum nest_reason
nest_verdict_begin(struct nest_scratch *scratch, struct nest_cursor *cursor, bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	struct nest_flow *flow;
	enum nest_reason reason;

	nest_packet_clear(packet);
	if (scratch->control.sequence == 0)
		return NEST_REASON_NO_POLICY;
	reason = nest_unless_empty(scratch, nest_parse(cursor, scratch));
	scratch->now_ns = nest_runtime_clock();
	if (reason || !packet->has_flow)
		return reason;
	nest_flow_key_build(scratch);
	if (is_traced || !nest_is_plain(packet))
		return NEST_REASON_UNSPECIFIED;
	flow = nest_runtime_flow_find(scratch);
	if (!flow || flow->sequence != scratch->control.sequence ||
	    nest_flow_is_idle(flow, packet->protocol, scratch->now_ns))
		return NEST_REASON_UNSPECIFIED;
	packet->reverse = nest_flow_is_reverse(flow, packet);
	nest_flow_touch(flow, packet, scratch->now_ns);
	nest_count_mapping(packet, scratch->control.sequence, flow->mapping);
	return NEST_REASON_FLOW;
}

/* How the table knows the packet's flow. */
static __always_inline __u8 nest_flow_state(const struct nest_scratch *scratch,
					    const struct nest_flow *flow)
{
	const struct nest_packet *packet = &scratch->packet;

	if (!flow)
		return NEST_TRACE_FLOW_MISS;
	if (nest_flow_is_idle(flow, packet->protocol, scratch->now_ns))
		return NEST_TRACE_FLOW_IDLE;
	if (nest_tcp_is_first_syn(packet) &&
	    (flow->sequence == 0 || nest_tcp_is_finished(flow->tcp)))
		return NEST_TRACE_FLOW_CLOSED;
	if (flow->sequence != scratch->control.sequence)
		return NEST_TRACE_FLOW_STALE;
	return NEST_TRACE_FLOW_HIT;
}

/* The packet belongs to its flow: counts it there, and reports and removes the flow when it ended.
 */
static __always_inline void nest_flow_continue(struct nest_scratch *scratch, struct nest_flow *flow)
{
	struct nest_packet *packet = &scratch->packet;
	const bool was_finished = nest_tcp_is_finished(flow->tcp);
	const __u16 mapping = flow->mapping;

	nest_flow_touch(flow, packet, scratch->now_ns);
	nest_count_mapping(packet, scratch->control.sequence, mapping);
	if (packet->l4 != NEST_L4_TCP)
		return;
	if (!was_finished && nest_tcp_is_finished(flow->tcp))
		nest_record_emit(scratch, NEST_RECORD_END, flow, mapping, flow->reason,
				 packet->reverse);
	if (packet->tcp_flags & NEST_TCP_RST)
		nest_runtime_flow_delete(scratch);
}

/* A newer policy judges a flow at its next packet, in the initiator's direction. */
static __always_inline enum nest_reason nest_flow_rejudge(struct nest_scratch *scratch,
							  struct nest_flow *flow, bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	const bool was_cut = flow->sequence == 0;
	__u16 mapping = NEST_MAPPING_DEFAULT;
	enum nest_reason reason = nest_policy_judge(scratch, packet->reverse, &mapping);

	if (reason == NEST_REASON_TABLE_MISSING)
		return reason;
	if (!nest_is_dropped(reason)) {
		if (is_traced)
			return NEST_REASON_FLOW;
		flow->mapping = mapping;
		flow->reason = reason;
		flow->sequence = scratch->control.sequence;
		nest_flow_continue(scratch, flow);
		return NEST_REASON_FLOW;
	}
	if (is_traced)
		return reason;
	flow->sequence = 0;
	flow->last_seen_ns = scratch->now_ns;
	nest_count_mapping(packet, scratch->control.sequence, mapping);
	if (was_cut)
		nest_record_deny(scratch, mapping, reason);
	else
		nest_record_emit(scratch, NEST_RECORD_REJUDGED, flow, mapping, reason,
				 packet->reverse);
	return reason;
}

/* An idle flow gives way; its end is reported unless it was already. */
static __always_inline void nest_flow_expire(struct nest_scratch *scratch, struct nest_flow *flow)
{
	const struct nest_packet *packet = &scratch->packet;

	if (flow->sequence != 0 && !nest_tcp_is_finished(flow->tcp))
		nest_record_emit(scratch, NEST_RECORD_END, flow, flow->mapping, flow->reason,
				 nest_flow_is_reverse(flow, packet));
	nest_runtime_flow_delete(scratch);
}

/* Judges a packet without a flow, and begins one when that is allowed. */
static __always_inline enum nest_reason nest_packet_judge(struct nest_scratch *scratch,
							  bool replaces_flow, bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	__u16 mapping = NEST_MAPPING_DEFAULT;
	enum nest_reason reason = nest_policy_judge(scratch, false, &mapping);
	long error;

	if (is_traced || reason == NEST_REASON_TABLE_MISSING)
		return reason;
	nest_count_mapping(packet, scratch->control.sequence, mapping);
	if (packet->parse & NEST_TRACE_PARSE_FIRST_FRAGMENT)
		nest_fragment_begin(scratch, !nest_is_dropped(reason), mapping);
	if (nest_is_dropped(reason)) {
		nest_record_deny(scratch, mapping, reason);
		return reason;
	}
	if (!packet->has_flow || packet->tcp_flags & NEST_TCP_RST)
		return reason;
	nest_flow_begin(scratch, mapping, reason);
	error = nest_runtime_flow_store(scratch, replaces_flow);
	if (error == 0)
		nest_record_emit(scratch, NEST_RECORD_START, &scratch->fresh, mapping, reason,
				 false);
	else if (error != -17 /* EEXIST: another CPU was first with the same flow */)
		nest_count_loss(NEST_LOSS_FLOW_TABLE);
	return reason;
}

/* Judges what nest_verdict_begin left: scratch->packet holds its findings. */
static __always_inline enum nest_reason nest_verdict_judge(struct nest_scratch *scratch,
							   bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	struct nest_flow *flow = NULL;
	enum nest_reason reason;

	scratch->source_identity = NEST_IDENTITY_ANY;
	scratch->destination_identity = NEST_IDENTITY_ANY;
	scratch->match = NEST_MATCH_NONE;
	if (packet->reason) {
		if (!is_traced && nest_is_dropped(packet->reason))
			nest_record_deny(scratch, NEST_MAPPING_DEFAULT, packet->reason);
		return packet->reason;
	}
	if (packet->parse & NEST_TRACE_PARSE_LATER_FRAGMENT) {
		reason = nest_unless_empty(scratch, nest_fragment_follow(scratch, is_traced));
		if (!is_traced && nest_is_dropped(reason))
			nest_record_deny(scratch, NEST_MAPPING_DEFAULT, reason);
		return reason;
	}
	if (packet->has_flow) {
		flow = nest_runtime_flow_find(scratch);
		packet->flow_state = nest_flow_state(scratch, flow);
	}
	if (flow && packet->flow_state == NEST_TRACE_FLOW_IDLE && !is_traced)
		nest_flow_expire(scratch, flow);
	if (!flow || packet->flow_state == NEST_TRACE_FLOW_IDLE ||
	    packet->flow_state == NEST_TRACE_FLOW_CLOSED)
		return nest_packet_judge(scratch, packet->flow_state == NEST_TRACE_FLOW_CLOSED,
					 is_traced);
	packet->reverse = nest_flow_is_reverse(flow, packet);
	if (packet->flow_state == NEST_TRACE_FLOW_STALE) {
		reason = nest_flow_rejudge(scratch, flow, is_traced);
	} else {
		/* A trace explains a live flow by what allows its initiator. */
		__u16 mapping;

		reason = NEST_REASON_FLOW;
		if (is_traced)
			nest_policy_judge(scratch, packet->reverse, &mapping);
		else
			nest_flow_continue(scratch, flow);
	}
	if (!is_traced && packet->parse & NEST_TRACE_PARSE_FIRST_FRAGMENT)
		nest_fragment_begin(scratch, !nest_is_dropped(reason), flow->mapping);
	return reason;
}

#endif
