/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * Steered flows: the host's own connections to a virtual service, which the connect hook sent to a backend. Their
 * packets carry the backend's address and are not rewritten; policy speaks of the virtual end, which the entry keeps.
 */
#ifndef NEST_STEERED_H
#define NEST_STEERED_H

#include "balance.h"
#include "known.h"
#include "policy.h"

/* Gives the packet the virtual end instead of the backend's. The key in the scratch stays. */
static __always_inline void nest_steered_aim(struct nest_scratch *scratch, const __be32 *address,
					     __be16 port)
{
	struct nest_packet *packet = &scratch->packet;

	for (int i = 0; i < 4; i++) {
		scratch->wire_source[i] = packet->source[i];
		scratch->wire_destination[i] = packet->destination[i];
		if (packet->reverse)
			packet->source[i] = address[i];
		else
			packet->destination[i] = address[i];
	}
	scratch->wire_source_port = packet->source_port;
	scratch->wire_destination_port = packet->destination_port;
	if (packet->reverse)
		packet->source_port = port;
	else
		packet->destination_port = port;
	scratch->is_unfolded = 1;
}

/* A packet of a steered flow is judged by what its process asked for. nest_packet_fold takes it back. */
static __always_inline bool nest_steered_unfold(struct nest_scratch *scratch)
{
	const struct nest_flow *flow;

	if (scratch->packet.flow_state != NEST_TRACE_FLOW_STALE || scratch->is_unfolded)
		return false;
	flow = nest_runtime_flow_find(scratch);
	if (!flow || !(flow->flags & NEST_FLOW_STEERED))
		return false;
	nest_steered_aim(scratch, flow->rewrite.source, flow->rewrite.source_port);
	return true;
}

/* Whether the present policy still has the backend. The socket cannot go to another one. */
static __always_inline bool nest_steered_holds(struct nest_scratch *scratch,
					       const struct nest_flow *flow,
					       const struct nest_ruling *ruling, __u16 *backend)
{
	*backend = NEST_BACKEND_NONE;
	if (ruling->balancer)
		*backend = nest_balance_keep(scratch, ruling->action->balancer - 1, &flow->rewrite,
					     flow->rewrite.source_port);
	return *backend != NEST_BACKEND_NONE;
}

#endif
