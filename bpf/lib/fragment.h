/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* Later fragments carry no ports: they follow the first fragment of their datagram, and leave as it did. */
#ifndef NEST_FRAGMENT_H
#define NEST_FRAGMENT_H

#include "balance.h"
#include "decision.h"
#include "limit.h"
#include "route.h"

/* In nest_fragment.mapping: the rate limit of the mapping has to be asked. */
#define NEST_FRAGMENT_LIMITED 0x10000u

/* Before the packet's ends are replaced by those of its flow. */
static __always_inline void nest_fragment_key_build(struct nest_scratch *scratch)
{
	const struct nest_packet *packet = &scratch->packet;
	struct nest_fragment_key *key = &scratch->fragment_key;

	for (int i = 0; i < 4; i++) {
		key->source[i] = packet->source[i];
		key->destination[i] = packet->destination[i];
	}
	key->identification = packet->identification;
	key->protocol = packet->fragment_protocol;
	key->family = packet->family;
	__builtin_memset(key->pad, 0, sizeof(key->pad));
}

/* Remembers, or forgets, the datagram that this first fragment begins, and scratch->out with it. */
static __always_inline void nest_fragment_begin(struct nest_scratch *scratch, bool is_allowed,
						__u32 mapping)
{
	struct nest_fragment *fragment = &scratch->fragment;

	if (!is_allowed) {
		nest_runtime_fragment_delete(scratch);
		return;
	}
	fragment->sequence = scratch->control.sequence;
	fragment->mapping = mapping;
	fragment->seen_ns = scratch->now_ns;
	fragment->rewrite = scratch->out;
	nest_runtime_fragment_store(scratch, fragment);
}

/*
 * Judges a later fragment. A policy that came in between does not cut a datagram in two; its counters are those
 * of the policy that allowed it, so they are left alone then.
 */
static __always_inline enum nest_reason
nest_fragment_follow(void *context, struct nest_scratch *scratch, bool is_traced)
{
	const struct nest_packet *packet = &scratch->packet;
	const struct nest_fragment *fragment;

	nest_fragment_key_build(scratch);
	fragment = nest_runtime_fragment_find(scratch);
	if (!fragment || (__s64)(scratch->now_ns - fragment->seen_ns) >
				 (__s64)(NEST_FRAGMENT_LIFE_S * NEST_SECOND_NS))
		return NEST_REASON_FRAGMENT_UNKNOWN;
	scratch->out = fragment->rewrite;
	if (fragment->sequence == scratch->control.sequence) {
		const __u32 mapping = fragment->mapping & 0xffff;

		if (fragment->mapping & NEST_FRAGMENT_LIMITED &&
		    !nest_limit_allows(scratch,
				       nest_runtime_action(fragment->sequence & 1, mapping),
				       mapping, is_traced))
			return NEST_REASON_RATE_LIMIT;
		if (!is_traced) {
			nest_count_mapping(packet, fragment->sequence, mapping);
			nest_count_backend(packet, fragment->sequence, scratch->out.backend, false);
		}
	}
	if (scratch->out.flags & NEST_REWRITE_ANY_WAY &&
	    !nest_route_is_fresh(scratch, &scratch->out) &&
	    !nest_route_refresh(context, scratch, &scratch->out))
		return NEST_REASON_NO_ROUTE;
	return NEST_REASON_FRAGMENT;
}

/* The end of the judgement of a packet that is no later fragment. mapping: as in nest_fragment. */
static __always_inline __u32 nest_settle(struct nest_scratch *scratch, __u32 mapping,
					 enum nest_reason reason, bool is_traced)
{
	if (!is_traced && scratch->packet.parse & NEST_TRACE_PARSE_FIRST_FRAGMENT)
		nest_fragment_begin(scratch, !nest_is_dropped(reason), mapping);
	return nest_decide(scratch, reason);
}

#endif
