/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * Exact per-CPU counters: every packet once by interface and reason; judged ones also once by mapping, or, when they
 * never got so far, by deny list or as over the limit.
 */
#ifndef NEST_COUNTERS_H
#define NEST_COUNTERS_H

#include "runtime.h"

static __always_inline void nest_count(struct nest_counter *counter, __u32 bytes)
{
	if (!counter)
		return;
	counter->packets++;
	counter->bytes += bytes;
}

static __always_inline void nest_count_reason(const struct nest_packet *packet,
					      enum nest_reason reason)
{
	nest_count(nest_runtime_interface_counter(packet->interface, reason), packet->length);
}

/* The half of the given sequence: the counters of a policy begin at zero and end with it. */
static __always_inline void nest_count_mapping(const struct nest_packet *packet, __u32 sequence,
					       __u32 mapping)
{
	const __u32 half = (sequence & 1) * (NEST_MAPPINGS_MAX + 1);

	nest_count(nest_runtime_mapping_counter(half + mapping), packet->length);
}

/* Likewise, for what is over the limit of a mapping and for the hits of a deny list. */
static __always_inline void nest_count_limit(const struct nest_packet *packet, __u32 sequence,
					     __u32 mapping)
{
	const __u32 half = (sequence & 1) * (NEST_MAPPINGS_MAX + 1);

	nest_count(nest_runtime_limit_counter(half + mapping), packet->length);
}

static __always_inline void nest_count_deny(const struct nest_packet *packet, __u32 sequence,
					    __u32 list)
{
	const __u32 half = (sequence & 1) * NEST_DENY_LISTS_MAX;

	if (list < NEST_DENY_LISTS_MAX)
		nest_count(nest_runtime_deny_counter(half + list), packet->length);
}

static __always_inline void nest_count_stat(__u32 kind)
{
	__u64 *stat = nest_runtime_stat(kind);

	if (stat)
		*stat += 1;
}

static __always_inline void nest_count_loss(__u32 kind)
{
	__u64 *loss = nest_runtime_loss(kind);

	if (loss)
		*loss += 1;
}

#endif
