/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The way out of a rewritten packet: asked of the runtime once a second and flow, kept in the
 * rewrite. Without a next hop that the engine can use, the kernel routes.
 */
#ifndef NEST_ROUTE_H
#define NEST_ROUTE_H

#include "rewrite.h"

/* Seconds of 2^30 ns spare each packet a division. Never 0, which stands for "not asked yet". */
static __always_inline __u32 nest_route_second(const struct nest_scratch *scratch)
{
	return (__u32)(scratch->now_ns >> 30) / NEST_ROUTE_LIFE_S + 1;
}

static __always_inline bool nest_route_is_fresh(const struct nest_scratch *scratch,
						const struct nest_rewrite *rewrite)
{
	return rewrite->route_second == nest_route_second(scratch);
}

/*
 * Asks for the way of the rewritten packet and keeps it. The rewrite may be in use on another CPU:
 * while a route changes, one packet may leave with half of each. False: no way at all, to be asked
 * again at the next packet. A packet whose addresses stay (NEST_REWRITE_DIRECT) cannot be left to
 * the kernel, which would keep it or send it back.
 */
static __always_inline bool nest_route_refresh(void *context, struct nest_scratch *scratch,
					       struct nest_rewrite *rewrite)
{
	struct nest_route route = {};
	const enum nest_way way = nest_runtime_route(context, scratch, rewrite, &route);
	const bool is_direct = rewrite->flags & NEST_REWRITE_DIRECT;

	rewrite->egress = route.egress;
	rewrite->mtu = route.mtu;
	if (way != NEST_WAY_FORWARD) {
		const bool is_lost = way == NEST_WAY_NONE || is_direct;

		rewrite->flags &= (__u8)~NEST_REWRITE_ROUTED;
		rewrite->route_second = is_lost ? 0 : nest_route_second(scratch);
		return !is_lost;
	}
	nest_macs_copy(rewrite->destination_mac, route.destination_mac);
	rewrite->flags |= NEST_REWRITE_ROUTED;
	rewrite->route_second = nest_route_second(scratch);
	return true;
}

#endif
