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
}

#endif
