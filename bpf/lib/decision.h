/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* What a reason means for the packet. */
#ifndef NEST_DECISION_H
#define NEST_DECISION_H

#include "runtime.h"

static __always_inline bool nest_is_dropped(enum nest_reason reason)
{
	__u32 dropped = 0;

#define NEST_REASON_DROPS(number, name, is_dropped) dropped |= (__u32)(is_dropped) << (number);
	NEST_REASONS(NEST_REASON_DROPS)
#undef NEST_REASON_DROPS
	return dropped >> (reason & (NEST_REASON_SLOTS - 1)) & 1;
}

/* An empty policy drops nothing: what cannot be read passes too. Its flows are kept, so that the
 * first plan knows them. */
static __always_inline enum nest_reason nest_unless_empty(const struct nest_scratch *scratch,
							  enum nest_reason reason)
{
	if (nest_is_dropped(reason) && !(scratch->control.flags & NEST_FLAG_ENFORCE))
		return NEST_REASON_NO_POLICY;
	return reason;
}

/* The end of a judgement: what becomes of the packet, and the next stage. */
static __always_inline __u32 nest_decide(struct nest_scratch *scratch, enum nest_reason reason)
{
	scratch->packet.reason = reason;
	scratch->outcome = NEST_OUTCOME_PASS;
	if (nest_is_dropped(reason)) {
		scratch->outcome = NEST_OUTCOME_DROP;
		scratch->out.flags = 0;
	}
	return scratch->out.flags ? NEST_TAIL_SEND : NEST_TAIL_NONE;
}

#endif
