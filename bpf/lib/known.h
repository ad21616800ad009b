/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* What the flow table knows of a packet: its flow, the flow's twin, and what has become of them. */
#ifndef NEST_KNOWN_H
#define NEST_KNOWN_H

#include "nat.h"
#include "record.h"

/* What the flow table knows of the packet. */
struct nest_known {
	struct nest_flow *flow; /* under the initiator's key */
	struct nest_flow *twin; /* NULL: not translated, or its place is taken */
	bool is_torn;           /* that place is taken by another flow */
};

/* Gives a responder's packet the ends that its flow's initiator knows. */
static __always_inline void nest_packet_unfold(struct nest_scratch *scratch,
					       const struct nest_rewrite *rewrite)
{
	struct nest_packet *packet = &scratch->packet;

	for (int i = 0; i < 4; i++) {
		scratch->wire_source[i] = packet->source[i];
		scratch->wire_destination[i] = packet->destination[i];
		packet->source[i] = rewrite->source[i];
		packet->destination[i] = rewrite->destination[i];
	}
	scratch->wire_source_port = packet->source_port;
	scratch->wire_destination_port = packet->destination_port;
	packet->source_port = rewrite->source_port;
	packet->destination_port = rewrite->destination_port;
	scratch->is_unfolded = 1;
	nest_flow_key_build(scratch);
}

/* Back to the ends that came in. */
static __always_inline void nest_packet_fold(struct nest_scratch *scratch)
{
	struct nest_packet *packet = &scratch->packet;

	if (!scratch->is_unfolded)
		return;
	scratch->is_unfolded = 0;
	for (int i = 0; i < 4; i++) {
		packet->source[i] = scratch->wire_source[i];
		packet->destination[i] = scratch->wire_destination[i];
	}
	packet->source_port = scratch->wire_source_port;
	packet->destination_port = scratch->wire_destination_port;
	nest_flow_key_build(scratch);
}

/*
 * Finds the packet's flow, and its twin when it is translated. Afterwards the packet is as the
 * initiator knows it, and the key in the scratch is the initiator's.
 */
static __always_inline void nest_flow_fetch(struct nest_scratch *scratch, struct nest_known *known,
					    bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	struct nest_flow *flow = nest_runtime_flow_find(scratch);
	struct nest_flow *twin;

	if (!flow)
		return;
	packet->reverse = nest_flow_is_reverse(flow, packet);
	if (!nest_flow_has_twin(flow) || (packet->reverse && !(flow->flags & NEST_FLOW_ALIAS))) {
		known->flow = flow;
		return;
	}
	twin = nest_flow_is_own(flow, packet) ? nest_twin_find(scratch, flow, is_traced) : NULL;
	if (!(flow->flags & NEST_FLOW_ALIAS)) {
		known->flow = flow;
		known->twin = twin;
		known->is_torn = !twin;
		nest_flow_key_build(scratch);
		return;
	}
	if (!twin) {
		/* Someone speaks to the responder past the translation, or the initiator's key is
		 * in other use. The key of this packet is taken: it begins no flow. */
		packet->reverse = 0;
		packet->has_flow = 0;
		return;
	}
	known->flow = twin;
	known->twin = flow;
	nest_packet_unfold(scratch, &flow->rewrite);
}

/* The same once more, from the initiator's key in the scratch on. */
static __always_inline void nest_flow_refetch(struct nest_scratch *scratch,
					      struct nest_known *known)
{
	struct nest_flow *flow = nest_runtime_flow_find(scratch);

	if (!flow)
		return;
	known->flow = flow;
	if (!nest_flow_has_twin(flow))
		return;
	nest_twin_key(scratch, &flow->rewrite);
	known->twin = nest_runtime_flow_find(scratch);
	if (known->twin && !nest_twin_is(known->twin, &scratch->packet, scratch->is_unfolded))
		known->twin = NULL;
	known->is_torn = !known->twin;
	nest_flow_key_build(scratch);
}

/* How the table knows the packet's flow. */
static __always_inline __u8 nest_flow_state(const struct nest_scratch *scratch,
					    const struct nest_known *known)
{
	const struct nest_packet *packet = &scratch->packet;
	const struct nest_flow *flow = known->flow;

	if (!flow)
		return NEST_TRACE_FLOW_MISS;
	if (nest_flow_is_idle(flow, packet->protocol, scratch->now_ns))
		return NEST_TRACE_FLOW_IDLE;
	if (nest_tcp_is_first_syn(packet) &&
	    (flow->sequence == 0 || nest_tcp_is_finished(flow->tcp)))
		return NEST_TRACE_FLOW_CLOSED;
	if (flow->sequence != scratch->control.sequence || known->is_torn)
		return NEST_TRACE_FLOW_STALE;
	return NEST_TRACE_FLOW_HIT;
}

/* The flow with what its twin has counted. */
static __always_inline const struct nest_flow *nest_flow_whole(struct nest_scratch *scratch,
							       const struct nest_known *known)
{
	if (!known->twin)
		return known->flow;
	scratch->fresh = *known->flow;
	for (int i = 0; i < 2; i++) {
		scratch->fresh.packets[i] += known->twin->packets[i];
		scratch->fresh.bytes[i] += known->twin->bytes[i];
	}
	return &scratch->fresh;
}

/* Removes both entries; the key in the scratch is the flow's. */
static __always_inline void nest_flow_remove(struct nest_scratch *scratch, struct nest_known *known)
{
	if (known->twin) {
		nest_twin_key(scratch, &known->flow->rewrite);
		nest_runtime_flow_delete(scratch);
		nest_flow_key_build(scratch);
	}
	nest_runtime_flow_delete(scratch);
	known->flow = NULL;
	known->twin = NULL;
}

/* An idle flow gives way; its end is reported unless it was already. */
static __always_inline void nest_flow_expire(struct nest_scratch *scratch, struct nest_known *known)
{
	const struct nest_flow *flow = known->flow;

	if (flow->sequence != 0 && !nest_tcp_is_finished(flow->tcp))
		nest_record_emit(scratch, NEST_RECORD_END, nest_flow_whole(scratch, known),
				 flow->mapping, flow->reason, scratch->packet.reverse);
	nest_flow_remove(scratch, known);
}

/*
 * The packet begins a flow, or none: it is seen as it came, in its own direction. An ended flow stays
 * until a new one takes its place.
 */
static __always_inline void nest_flow_forget(struct nest_scratch *scratch, struct nest_known *known,
					     bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	if (known->flow && packet->flow_state == NEST_TRACE_FLOW_IDLE && !is_traced)
		nest_flow_expire(scratch, known);
	packet->reverse = 0;
	nest_packet_fold(scratch);
}

#endif
