/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * Deny lists. Normally asked where no live flow settles a packet, so that established flows pay nothing. In a flood
 * most packets belong to no flow: then the source is asked first of all, before the parser reads a second header.
 */
#ifndef NEST_DENY_H
#define NEST_DENY_H

#include "counters.h"
#include "packet.h"

/* The list that an address is on, + 1; 0 = none. A hit is counted on its list, unless it is a trace's. */
static __always_inline __u16 nest_deny_ask(struct nest_scratch *scratch, __u8 family,
					   const __be32 *address, bool is_traced)
{
	const __u32 sequence = scratch->control.sequence;
	const struct nest_deny *deny =
		nest_runtime_deny_find(scratch, sequence & 1, family, address);

	if (!deny)
		return 0;
	if (!is_traced)
		nest_count_deny(&scratch->packet, sequence, deny->list);
	return (__u16)(deny->list + 1);
}

/* The miss path: either address. Both directions of a flow get the same answer. */
static __always_inline bool nest_deny_judge(struct nest_scratch *scratch, bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;

	if (!(scratch->control.flags & NEST_FLAG_DENY))
		return false;
	packet->deny_list = nest_deny_ask(scratch, packet->family, packet->source, is_traced);
	if (!packet->deny_list)
		packet->deny_list =
			nest_deny_ask(scratch, packet->family, packet->destination, is_traced);
	return packet->deny_list != 0;
}

static __always_inline bool nest_deny_is_flood(const struct nest_scratch *scratch)
{
	const __u32 both = NEST_FLAG_DENY | NEST_FLAG_FLOOD;

	return (scratch->control.flags & both) == both;
}

/*
 * A flood: asks for the source of a packet whose fixed IP header is there; answers as nest_deny_ask. The cursor is a
 * copy: what is not denied is parsed from the start.
 */
static __always_inline __u16 nest_deny_flood(struct nest_scratch *scratch,
					     struct nest_cursor cursor, bool is_traced)
{
	const struct nest_ethernet *ethernet = nest_take(&cursor, sizeof(*ethernet));
	__be16 type;

	if (!ethernet)
		return 0;
	type = ethernet->type;
	for (int i = 0; i < NEST_VLAN_TAGS_MAX && nest_is_vlan(type); i++) {
		const struct nest_vlan *vlan = nest_take(&cursor, sizeof(*vlan));

		if (!vlan)
			return 0;
		type = vlan->type;
	}
	if (type == nest_to_be16(NEST_ETHERTYPE_IPV4)) {
		const struct nest_ipv4 *ip = nest_take(&cursor, sizeof(*ip));

		if (!ip || ip->version_ihl >> 4 != 4)
			return 0;
		return nest_deny_ask(scratch, 4, &ip->source, is_traced);
	}
	if (type == nest_to_be16(NEST_ETHERTYPE_IPV6)) {
		const struct nest_ipv6 *ip = nest_take(&cursor, sizeof(*ip));

		if (!ip || ip->version_class >> 4 != 6)
			return 0;
		return nest_deny_ask(scratch, 6, ip->source, is_traced);
	}
	return 0;
}

#endif
