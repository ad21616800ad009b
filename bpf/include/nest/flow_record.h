/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* What a record says of the translation of its flow: written by the verdict, and by user space for the
 * flow table. C and C++. */
#ifndef NEST_FLOW_RECORD_H
#define NEST_FLOW_RECORD_H

#include "abi.h"

/* flow: the initiator's entry. Without a translation two fields are written: the ends, and the second
 * cache line of the entry, stay untouched. */
static inline __attribute__((always_inline)) void
nest_record_translate(struct nest_record *record, const struct nest_flow *flow)
{
	const __u8 shown = NEST_REWRITE_SOURCE | NEST_REWRITE_DESTINATION | NEST_REWRITE_DIRECT;

	record->rewrite = 0;
	record->backend = NEST_BACKEND_NONE;
	if (flow->flags & NEST_FLOW_BALANCED)
		record->backend = flow->rewrite.backend;
	if (!(flow->flags & NEST_FLOW_REWRITE) || !(flow->rewrite.flags & shown))
		return;
	record->rewrite = flow->rewrite.flags & shown;
	for (int i = 0; i < 4; i++) {
		((__be32 *)record->rewritten_source)[i] = flow->rewrite.source[i];
		((__be32 *)record->rewritten_destination)[i] = flow->rewrite.destination[i];
	}
	record->rewritten_source_port = __builtin_bswap16(flow->rewrite.source_port);
	record->rewritten_destination_port = __builtin_bswap16(flow->rewrite.destination_port);
}

#endif
