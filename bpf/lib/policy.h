/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * From two identities, a transport class and a port to the match that wins. Four probes at most, each with a
 * bounded binary search: the cost does not depend on the number of mappings.
 */
#ifndef NEST_POLICY_H
#define NEST_POLICY_H

#include "identity.h"

/* Enough for NEST_PORT_INTERVALS_MAX intervals in one set. */
#define NEST_PORT_SEARCH_STEPS 21

/* What the tables say of a packet: deny lists, policy and what its mapping does beyond. */
struct nest_ruling {
	const struct nest_action *action;     /* NULL: nothing beyond allow or deny */
	const struct nest_balancer *balancer; /* NULL: none */
	enum nest_reason reason;
	__u16 mapping;
};

/* The match of a port: the last interval that starts at or before it. False when the table contradicts itself. */
static __always_inline bool nest_port_match(void *intervals, const struct nest_port_set *set,
					    __u32 port, __u32 *match)
{
	const struct nest_port_interval *interval;
	__u32 low = set->first;
	__u32 count = set->count;
	__u32 best = NEST_MATCH_NONE;

	if (count == 1) {
		*match = set->first;
		return true;
	}
	for (int i = 0; i < NEST_PORT_SEARCH_STEPS && count > 0; i++) {
		const __u32 half = count / 2;
		const __u32 middle = low + half;

		interval = nest_runtime_find(intervals, &middle);
		if (!interval)
			return false;
		if (interval->start <= port) {
			best = interval->match;
			low = middle + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	*match = best;
	return true;
}

/*
 * Judges source to destination; fills in the identities and the match. False when a table is absent.
 * The probes are (s,d) (s,any) (any,d) (any,any); where a class is 0 already, two of them are the same.
 */
static __always_inline bool nest_policy_find(struct nest_scratch *scratch, const __be32 *source,
					     const __be32 *destination, __u32 port)
{
	const __u32 slot = scratch->control.sequence & 1;
	struct nest_identity from, to;
	__u32 best = NEST_MATCH_NONE;
	void *pairs, *intervals;

	if (!nest_identity_find(scratch, source, &from) ||
	    !nest_identity_find(scratch, destination, &to))
		return false;
	pairs = nest_runtime_pairs(slot);
	intervals = nest_runtime_ports(slot);
	if (!pairs || !intervals)
		return false;
	scratch->source_identity = from.source;
	scratch->destination_identity = to.destination;
	scratch->pair.l4 = scratch->packet.l4;
	for (__u32 probe = 0; probe < 4; probe++) {
		const struct nest_port_set *set;
		__u32 match;

		if ((probe & 1 && to.destination == NEST_IDENTITY_ANY) ||
		    (probe & 2 && from.source == NEST_IDENTITY_ANY))
			continue;
		scratch->pair.source = probe & 2 ? NEST_IDENTITY_ANY : from.source;
		scratch->pair.destination = probe & 1 ? NEST_IDENTITY_ANY : to.destination;
		set = nest_runtime_find(pairs, &scratch->pair);
		if (!set)
			continue;
		if (!nest_port_match(intervals, set, port, &match))
			return false;
		if (match > best)
			best = match;
	}
	scratch->match = best;
	return true;
}

/* The reason and the mapping that the match, or the default action, stands for. */
static __always_inline enum nest_reason nest_policy_reason(const struct nest_scratch *scratch,
							   __u16 *mapping)
{
	const __u32 match = scratch->match;

	if (match == NEST_MATCH_NONE) {
		*mapping = NEST_MAPPING_DEFAULT;
		return scratch->control.flags & NEST_FLAG_DEFAULT_DENY ? NEST_REASON_DEFAULT_DENY
								       : NEST_REASON_DEFAULT_ALLOW;
	}
	*mapping = NEST_MATCH_MAPPING(match);
	return NEST_MATCH_IS_DENY(match) ? NEST_REASON_POLICY_DENY : NEST_REASON_POLICY_ALLOW;
}

/*
 * Judges the packet, or, for a packet of the responder, its flow's initiator. TABLE_MISSING passes. action is what an
 * allowing mapping does beyond that, NULL when nothing.
 */
static __always_inline enum nest_reason nest_policy_judge(struct nest_scratch *scratch,
							  bool is_reverse, __u16 *mapping,
							  const struct nest_action **action)
{
	const struct nest_packet *packet = &scratch->packet;
	__be32 source[4], destination[4];
	__be16 port = is_reverse ? packet->source_port : packet->destination_port;
	enum nest_reason reason;

	*action = NULL;
	for (int i = 0; i < 4; i++) {
		source[i] = is_reverse ? packet->destination[i] : packet->source[i];
		destination[i] = is_reverse ? packet->source[i] : packet->destination[i];
	}
	if (packet->l4 != NEST_L4_TCP && packet->l4 != NEST_L4_UDP)
		port = 0;
	if (!nest_policy_find(scratch, source, destination, nest_from_be16(port)))
		return NEST_REASON_TABLE_MISSING;
	reason = nest_policy_reason(scratch, mapping);
	if (reason == NEST_REASON_POLICY_ALLOW)
		*action = nest_runtime_action(scratch->control.sequence & 1, *mapping);
	return reason;
}

#endif
