/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The verdict, in the order of a packet's way; no stage is come back to.
 *
 *   plain.h       the short way: reads Ethernet, IPv4 or IPv6 and TCP or UDP without anything unusual, at a glance
 *   packet.h      reads everything else, once
 *   verdict.h     here: settles packets of live flows, rewrite and way out included; the others go on
 *   judge.h       finds the flow. Fragments follow their first one (fragment.h), ICMP errors go to icmp_error.h
 *   rule.h        what no live flow answers for: deny.h, policy.h, limit.h
 *   begin.h       a flow begins, or is translated anew: balance.h, nat.h, route.h
 *   continue.h    a known flow goes on
 *   send.h        what is rewritten leaves; what is too big for its way out is answered (too_big.h)
 *
 * A stage returns the next one (NEST_TAIL_*, scratch.h). NEST_TAIL_NONE: scratch->packet.reason says why, scratch->outcome
 * what to do; nest_decide (decision.h) sets both, and sends what has a rewrite to send.h.
 */
#ifndef NEST_VERDICT_H
#define NEST_VERDICT_H

#include "deny.h"
#include "flow.h"
#include "nat.h"
#include "plain.h"
#include "send.h"

#include "judge.h"
#include "rule.h"
#include "begin.h"
#include "continue.h"
#include "icmp_error.h"
#include "too_big.h"
#include "trace.h"

/* A flow packet that changes nothing but counters. */
static __always_inline bool nest_is_plain(const struct nest_packet *packet)
{
	return !(packet->tcp_flags & (NEST_TCP_FIN | NEST_TCP_SYN | NEST_TCP_RST)) &&
	       !(packet->parse & NEST_TRACE_PARSE_FIRST_FRAGMENT);
}

/* A plain packet of a live flow, whichever parser read it. */
struct nest_settled {
	struct nest_layout layout;
	bool is_reverse;
	bool has_tags;
	__u8 tcp; /* NEST_TCP_* that it stands for */
};

/*
 * Whether a packet of a rewritten flow can leave at once: its way is known, fits, and nothing of its
 * flow changes that the twin would have to know.
 */
static __always_inline bool nest_is_ready(const struct nest_scratch *scratch,
					  const struct nest_flow *flow,
					  const struct nest_frame *frame,
					  const struct nest_settled *settled)
{
	const struct nest_rewrite *rewrite = &flow->rewrite;

	if (!(rewrite->flags & NEST_REWRITE_ANY_WAY))
		return true;
	if (!(flow->flags & NEST_FLOW_ALIAS) != !settled->is_reverse ||
	    !nest_route_is_fresh(scratch, rewrite) || settled->tcp & ~flow->tcp ||
	    settled->has_tags)
		return false;
	return !(rewrite->flags & NEST_REWRITE_ROUTED) ||
	       nest_send_fit(frame, &settled->layout, scratch->packet.length, rewrite) ==
		       NEST_FIT_YES;
}

/* The packet of a live flow: counted, rewritten, sent. False: the judge has to look at it. */
static __always_inline bool nest_flow_settle(struct nest_scratch *scratch, struct nest_flow *flow,
					     const struct nest_frame *frame,
					     const struct nest_settled *settled)
{
	const struct nest_packet *packet = &scratch->packet;
	const struct nest_rewrite *rewrite = &flow->rewrite;
	const __u32 sequence = scratch->control.sequence;
	const bool is_rewritten = flow->flags & NEST_FLOW_REWRITE;

	if (is_rewritten && !nest_is_ready(scratch, flow, frame, settled))
		return false;
	nest_flow_add(flow, settled->is_reverse, packet->length, scratch->now_ns);
	if (settled->tcp & ~flow->tcp)
		nest_runtime_tcp_set(flow, settled->tcp);
	nest_count_mapping(packet, sequence, flow->mapping);
	scratch->outcome = NEST_OUTCOME_PASS;
	if (!is_rewritten)
		return true;
	nest_count_backend(packet, sequence, rewrite->backend, false);
	if (rewrite->flags & NEST_REWRITE_ANY_WAY)
		nest_count_stat(rewrite->flags & NEST_REWRITE_ROUTED ? NEST_STAT_FORWARDED
								     : NEST_STAT_KERNEL);
	nest_rewrite_apply(frame, &settled->layout, rewrite, rewrite->flags);
	scratch->outcome = nest_send_outcome(packet->interface, rewrite->egress, rewrite->flags);
	scratch->out.egress = rewrite->egress;
	return true;
}

/* The short way: plain.h. False: nothing was done yet. */
static __always_inline bool nest_plain_settle(struct nest_scratch *scratch,
					      const struct nest_cursor *cursor,
					      const struct nest_frame *frame)
{
	struct nest_settled settled;
	struct nest_plain plain;
	struct nest_flow *flow;

	if (scratch->control.sequence == 0)
		return false;
	flow = nest_plain_flow(scratch, *cursor, &plain);
	if (!flow)
		return false;
	settled.layout.l3 = sizeof(struct nest_ethernet);
	settled.layout.l4 = plain.l4_offset;
	settled.layout.family = plain.family;
	settled.layout.kind = plain.protocol == NEST_PROTOCOL_TCP ? NEST_L4_TCP : NEST_L4_UDP;
	settled.is_reverse = (flow->flags & NEST_FLOW_INITIATOR_SECOND) != plain.swapped;
	settled.has_tags = false;
	settled.tcp = 0;
	if (settled.is_reverse && plain.protocol == NEST_PROTOCOL_TCP)
		settled.tcp = NEST_TCP_ESTABLISHED;
	return nest_flow_settle(scratch, flow, frame, &settled);
}

/*
 * Parses the packet and, when it belongs to a live flow, settles it: returns NEST_REASON_FLOW, all
 * counted, and scratch->outcome. Otherwise returns the reason that the parser found, or
 * NEST_REASON_UNSPECIFIED for a packet to be judged.
 */
static __always_inline enum nest_reason
nest_verdict_begin(struct nest_scratch *scratch, struct nest_cursor *cursor, bool is_traced)
{
	const struct nest_frame frame = {(__u8 *)cursor->start, (__u8 *)cursor->end};
	struct nest_packet *packet = &scratch->packet;
	struct nest_settled settled;
	struct nest_flow *flow;
	enum nest_reason reason;
	__u16 deny_list = 0;

	if (nest_deny_is_flood(scratch)) {
		deny_list = nest_deny_flood(scratch, *cursor, is_traced);
		if (deny_list && !is_traced) {
			nest_count_stat(NEST_STAT_JUDGED);
			return NEST_REASON_DENY_LIST;
		}
	}
	if (!is_traced && nest_plain_settle(scratch, cursor, &frame))
		return NEST_REASON_FLOW;
	nest_packet_clear(packet);
	packet->deny_list = deny_list;
	if (scratch->control.sequence == 0)
		return NEST_REASON_NO_POLICY;
	reason = nest_unless_empty(scratch, nest_parse(cursor, scratch));
	if (deny_list)
		return NEST_REASON_DENY_LIST;
	scratch->now_ns = nest_runtime_clock(scratch);
	if (reason || !packet->has_flow)
		return reason;
	nest_flow_key_build(scratch);
	if (is_traced || !nest_is_plain(packet))
		return NEST_REASON_UNSPECIFIED;
	flow = nest_runtime_flow_find(scratch);
	if (!flow || flow->sequence != scratch->control.sequence ||
	    flow->flags & NEST_FLOW_LIMITED ||
	    nest_flow_is_idle(flow, packet->protocol, scratch->now_ns))
		return NEST_REASON_UNSPECIFIED;
	packet->reverse = nest_flow_is_reverse(flow, packet);
	settled.layout = nest_layout_of(packet);
	settled.is_reverse = packet->reverse;
	settled.has_tags = packet->vlan_tags;
	settled.tcp = nest_tcp_bits(packet);
	return nest_flow_settle(scratch, flow, &frame, &settled) ? NEST_REASON_FLOW
								 : NEST_REASON_UNSPECIFIED;
}

#endif
