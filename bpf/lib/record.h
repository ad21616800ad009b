/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* Flow records into the ring: start and end of flows, denials as far as the budget allows. */
#ifndef NEST_RECORD_H
#define NEST_RECORD_H

#include <nest/flow_life.h>
#include <nest/flow_record.h>

#include "counters.h"

/* The reader looks every few milliseconds; this wakes it earlier under load. Records, a power of two. */
#define NEST_RECORD_WAKE_EVERY 256u

/* At least 1, because 0 stands for "not known"; saturates after 49 days. */
static __always_inline __u32 nest_record_age_ms(__u64 first_seen_ns, __u64 now_ns)
{
	const __s64 age_ns = (__s64)(now_ns - first_seen_ns);
	const __u64 age_ms = age_ns > 0 ? (__u64)age_ns / 1000000u : 0;

	if (age_ms == 0)
		return 1;
	return age_ms > 0xffffffffu ? 0xffffffffu : (__u32)age_ms;
}

/* Writes one record, seen from the initiator. */
static __always_inline void nest_record_emit(struct nest_scratch *scratch, __u8 kind,
					     const struct nest_flow *flow, __u16 mapping,
					     enum nest_reason reason, bool is_reverse)
{
	const struct nest_packet *packet = &scratch->packet;
	struct nest_record *record = nest_runtime_record_begin();

	if (!record) {
		nest_count_loss(NEST_LOSS_RING_FULL);
		return;
	}
	record->time_ns = scratch->now_ns;
	record->packets[0] = flow ? flow->packets[0] : 1;
	record->packets[1] = flow ? flow->packets[1] : 0;
	record->bytes[0] = flow ? flow->bytes[0] : packet->length;
	record->bytes[1] = flow ? flow->bytes[1] : 0;
	record->interface = flow ? flow->interface : packet->interface;
	record->sequence = scratch->control.sequence;
	record->mapping = mapping;
	record->kind = kind;
	record->reason = reason;
	record->family = packet->family;
	record->protocol = packet->protocol;
	record->tcp_flags = packet->tcp_flags;
	record->source_port =
		nest_from_be16(is_reverse ? packet->destination_port : packet->source_port);
	record->destination_port =
		nest_from_be16(is_reverse ? packet->source_port : packet->destination_port);
	for (int i = 0; i < 4; i++) {
		((__be32 *)record->source)[i] =
			is_reverse ? packet->destination[i] : packet->source[i];
		((__be32 *)record->destination)[i] =
			is_reverse ? packet->source[i] : packet->destination[i];
	}
	record->age_ms = 0;
	record->rewrite = 0;
	record->backend = NEST_BACKEND_NONE;
	if (flow) {
		record->age_ms = nest_record_age_ms(flow->first_seen_ns, scratch->now_ns);
		nest_record_translate(record, flow);
	}
	scratch->records++;
	nest_runtime_record_end(record, (scratch->records & (NEST_RECORD_WAKE_EVERY - 1)) == 0);
}

/* A drop, within the budget per second and CPU. */
static __always_inline void nest_record_deny(struct nest_scratch *scratch, __u16 mapping,
					     enum nest_reason reason)
{
	const __u32 second = (__u32)(scratch->now_ns / NEST_SECOND_NS);

	if (scratch->packet.family == 0)
		return; /* nothing is known that a record could say; the reason is counted */
	if (scratch->deny_second != second) {
		scratch->deny_second = second;
		scratch->deny_records = 0;
	}
	if (scratch->deny_records >= NEST_DENY_RECORDS_PER_SECOND) {
		nest_count_loss(NEST_LOSS_SUPPRESSED);
		return;
	}
	scratch->deny_records++;
	nest_record_emit(scratch, NEST_RECORD_DENY, NULL, mapping, reason, false);
}

#endif
