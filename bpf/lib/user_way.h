/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* The way out of a rewritten packet, and room around it, outside the kernel. Part of runtime_user.h. */
#ifndef NEST_USER_WAY_H
#define NEST_USER_WAY_H

#include "runtime_user.h"

/* `context` is the frame under judgement here, as for nest_runtime_reshape. */
static __always_inline enum nest_way nest_runtime_route(void *context, struct nest_scratch *scratch,
							const struct nest_rewrite *rewrite,
							struct nest_route *route)
{
	const struct nest_user_surroundings *around = nest_user_surroundings_now();
	const enum nest_way otherwise = around->has_kernel ? NEST_WAY_KERNEL : NEST_WAY_NONE;
	const struct nest_user_way *way;
	const __u64 *value;

	(void)context;
	if (scratch->packet.family == 4) {
		value = nest_user_range4(&around->ranges4, nest_from_be32(rewrite->destination[0]));
	} else {
		const struct nest_user_address6 number = nest_user_number6(rewrite->destination);

		value = nest_user_range6(&around->ranges6, &number);
	}
	if (!value || !(*value & NEST_USER_PRESENT))
		return otherwise;
	way = &around->ways[(__u32)*value];
	route->egress = way->egress;
	route->mtu = way->mtu;
	if (!(nest_user_ports_of(way->egress) & NEST_PORT_TX))
		return otherwise;
	__builtin_memcpy(route->destination_mac, way->destination_mac, 6);
	__builtin_memcpy(route->source_mac, way->source_mac, 6);
	return NEST_WAY_FORWARD;
}

/* Grows the packet by `head` bytes in front, then makes it `length` bytes long in all. */
static __always_inline bool nest_runtime_reshape(void *context, __u32 head, __u32 length,
						 struct nest_frame *frame)
{
	struct nest_user_frame *bounds = context;

	if (head > (__u64)(bounds->start - bounds->head))
		return false;
	if (length > (__u64)(bounds->limit - (bounds->start - head)))
		return false;
	bounds->start -= head;
	bounds->end = bounds->start + length;
	frame->start = bounds->start;
	frame->end = bounds->end;
	return true;
}

#endif
