/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* The last stage of a rewritten packet: by which way it can really leave, and its new bytes. */
#ifndef NEST_SEND_H
#define NEST_SEND_H

#include "counters.h"
#include "route.h"

enum nest_fit {
	NEST_FIT_YES,
	NEST_FIT_IN_PIECES, /* too long for the way out, but it may be cut */
	NEST_FIT_NO,
	NEST_FIT_EXPIRED, /* its last hop was here */
};

/* Whether the packet of that length, as it is, may leave by `rewrite` without the kernel. */
static __always_inline enum nest_fit nest_send_fit(const struct nest_frame *frame,
						   const struct nest_layout *layout, __u32 length,
						   const struct nest_rewrite *rewrite)
{
	const __u8 *header = frame->start + layout->l3;
	const bool is_long = rewrite->mtu && length - layout->l3 > rewrite->mtu;
	bool is_over, is_divisible = false;

	if (layout->family == 4) {
		const struct nest_ipv4 *ip = (const void *)header;

		if ((const __u8 *)(ip + 1) > frame->end)
			return NEST_FIT_EXPIRED;
		is_over = ip->ttl <= 1;
		is_divisible = !(ip->fragment & nest_to_be16(0x4000));
	} else {
		const struct nest_ipv6 *ip = (const void *)header;

		if ((const __u8 *)(ip + 1) > frame->end)
			return NEST_FIT_EXPIRED;
		is_over = ip->hop_limit <= 1;
	}
	if (is_over && !(rewrite->flags & NEST_REWRITE_DIRECT))
		return NEST_FIT_EXPIRED;
	if (!is_long)
		return NEST_FIT_YES;
	return is_divisible ? NEST_FIT_IN_PIECES : NEST_FIT_NO;
}

static __always_inline __u32 nest_send_outcome(__u32 ingress, __u32 egress, __u8 flags)
{
	if (!(flags & NEST_REWRITE_ROUTED))
		return NEST_OUTCOME_PASS;
	return egress == ingress ? NEST_OUTCOME_TX : NEST_OUTCOME_REDIRECT;
}

static __always_inline __u32 nest_send_refuse(struct nest_scratch *scratch, enum nest_reason reason)
{
	scratch->packet.reason = reason;
	scratch->outcome = NEST_OUTCOME_DROP;
	scratch->out.flags = 0;
	return NEST_TAIL_NONE;
}

/*
 * Applies scratch->out. The kernel takes what needs an answer (its hops are over), has to be cut in
 * pieces, or carries tags that another interface would have to know; a packet whose addresses did not
 * change would be lost on it.
 */
static __always_inline __u32 nest_stage_send(struct nest_scratch *scratch,
					     const struct nest_frame *frame, bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	const struct nest_layout layout = nest_layout_of(packet);
	struct nest_rewrite *out = &scratch->out;
	__u8 flags = out->flags;

	if (packet->vlan_tags && out->egress != packet->interface)
		flags &= (__u8)~NEST_REWRITE_ROUTED;
	if (flags & NEST_REWRITE_ROUTED) {
		const enum nest_fit fit = nest_send_fit(frame, &layout, packet->length, out);

		if (fit == NEST_FIT_NO)
			return NEST_TAIL_TOO_BIG;
		if (fit != NEST_FIT_YES)
			flags &= (__u8)~NEST_REWRITE_ROUTED;
	}
	if ((flags & (NEST_REWRITE_ROUTED | NEST_REWRITE_DIRECT)) == NEST_REWRITE_DIRECT)
		return nest_send_refuse(scratch, NEST_REASON_NO_ROUTE);
	if (!nest_rewrite_apply(frame, &layout, out, flags))
		return nest_send_refuse(scratch, NEST_REASON_TRUNCATED);
	out->flags = flags;
	scratch->outcome = nest_send_outcome(packet->interface, out->egress, flags);
	if (!is_traced && flags & NEST_REWRITE_ANY_WAY)
		nest_count_stat(flags & NEST_REWRITE_ROUTED ? NEST_STAT_FORWARDED
							    : NEST_STAT_KERNEL);
	return NEST_TAIL_NONE;
}

#endif
