/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* The packet tracer: who may ask, and what is answered. A traced packet touches no flow, counter or record. */
#ifndef NEST_TRACE_H
#define NEST_TRACE_H

#include "runtime.h"

/* The request in front of the packet, NULL for every packet that did not come from the loader's process. */
static __always_inline struct nest_trace *nest_trace_request(void *metadata, void *packet)
{
	struct nest_trace *trace = metadata;

	if ((void *)(trace + 1) > packet || trace->magic != nest_trace_magic ||
	    nest_trace_magic == 0)
		return NULL;
	return trace;
}

/* What the metadata has no room for. */
static __always_inline void nest_trace_answer_more(const struct nest_scratch *scratch)
{
	struct nest_trace_more *more = nest_runtime_trace_more();

	if (!more)
		return;
	more->rewrite = scratch->out;
	more->deny_list = scratch->packet.deny_list;
	more->balancer = scratch->balancer;
	more->ring_position = scratch->ring_position;
	more->action = (__u8)scratch->outcome;
	more->limit = (__u8)scratch->limit;
	more->pad[0] = 0;
	more->pad[1] = 0;
}

static __always_inline void nest_trace_answer(struct nest_trace *trace,
					      const struct nest_scratch *scratch,
					      enum nest_reason reason)
{
	const struct nest_packet *packet = &scratch->packet;

	trace->reason = reason;
	trace->family = packet->family;
	trace->l4 = packet->l4;
	trace->flow = packet->flow_state;
	trace->source_identity = scratch->source_identity;
	trace->destination_identity = scratch->destination_identity;
	trace->match = scratch->match;
	trace->sequence = scratch->control.sequence;
	trace->l4_offset = packet->l4_offset;
	trace->vlan_tags = packet->vlan_tags;
	trace->parse = packet->parse;
	nest_trace_answer_more(scratch);
}

#endif
