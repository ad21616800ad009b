/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* Exact per-CPU counters: every packet once by interface and reason, judged ones once by mapping too. */
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

static __always_inline void nest_count_loss(__u32 kind)
{
	__u64 *loss = nest_runtime_loss(kind);

	if (loss)
		*loss += 1;
}

#endif
