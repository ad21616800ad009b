/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* Later fragments carry no ports: they follow the first fragment of their datagram. */
#ifndef NEST_FRAGMENT_H
#define NEST_FRAGMENT_H

#include "counters.h"
#include "packet.h"

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

/* Remembers, or forgets, the datagram that this first fragment begins. */
static __always_inline void nest_fragment_begin(struct nest_scratch *scratch, bool is_allowed,
						__u16 mapping)
{
	struct nest_fragment fragment = {
		.sequence = scratch->control.sequence,
		.mapping = mapping,
		.seen_ns = scratch->now_ns,
	};

	nest_fragment_key_build(scratch);
	if (is_allowed)
		nest_runtime_fragment_store(scratch, &fragment);
	else
		nest_runtime_fragment_delete(scratch);
}

/*
 * Judges a later fragment. A policy that came in between does not cut a datagram in two; its counters are those
 * of the policy that allowed it, so they are left alone then.
 */
static __always_inline enum nest_reason nest_fragment_follow(struct nest_scratch *scratch,
							     bool is_traced)
{
	const struct nest_fragment *fragment;

	nest_fragment_key_build(scratch);
	fragment = nest_runtime_fragment_find(scratch);
	if (!fragment || (__s64)(scratch->now_ns - fragment->seen_ns) >
				 (__s64)(NEST_FRAGMENT_LIFE_S * NEST_SECOND_NS))
		return NEST_REASON_FRAGMENT_UNKNOWN;
	if (!is_traced && fragment->sequence == scratch->control.sequence)
		nest_count_mapping(&scratch->packet, fragment->sequence, fragment->mapping);
	return NEST_REASON_FRAGMENT;
}

#endif
