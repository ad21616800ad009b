/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The short way for what nearly every packet is: one of a live flow that changes nothing but counters, in an Ethernet
 * frame without tags, with no IPv4 option, fragment or IPv6 extension header. Its key stays on the stack. Whatever is
 * unusual is left alone, untouched, for the parser and the verdict; what is settled here is settled exactly as they
 * would.
 */
#ifndef NEST_PLAIN_H
#define NEST_PLAIN_H

#include "counters.h"
#include "flow.h"

/* A plain packet, as far as its flow is concerned. */
struct nest_plain {
	union {
		struct nest_flow_key4 key4;
		struct nest_flow_key6 key6;
		__u64 key_words[5];
	};
	__u16 l4_offset;
	__u8 family;
	__u8 protocol;
	bool swapped; /* the source is endpoint 1 of the key */
};

/* The transport header is whole, within the `left` bytes that IP grants, and carries neither SYN, FIN nor RST. */
static __always_inline bool nest_plain_transport(const struct nest_udp *udp, const __u8 *end,
						 __u8 protocol, __u32 left)
{
	const struct nest_tcp *tcp = (const void *)udp;
	__u32 header_bytes;

	if (protocol == NEST_PROTOCOL_UDP)
		return left >= sizeof(*udp);
	if (protocol != NEST_PROTOCOL_TCP || (const __u8 *)(tcp + 1) > end ||
	    tcp->flags & (NEST_TCP_FIN | NEST_TCP_SYN | NEST_TCP_RST))
		return false;
	header_bytes = (tcp->data_offset >> 4) * 4;
	return header_bytes >= sizeof(*tcp) && header_bytes <= left;
}

static __always_inline struct nest_flow *nest_plain_flow4(const struct nest_cursor *cursor,
							  struct nest_plain *plain)
{
	const struct nest_ipv4 *ip = (const void *)cursor->position;
	const struct nest_udp *udp = (const void *)(ip + 1);
	__u32 total_bytes;

	if ((const __u8 *)(udp + 1) > cursor->end || ip->version_ihl != NEST_IPV4_NO_OPTIONS ||
	    ip->fragment & nest_to_be16(NEST_IPV4_IS_FRAGMENT))
		return NULL;
	total_bytes = nest_from_be16(ip->total_length);
	if (total_bytes < sizeof(*ip) || total_bytes > (__u64)(cursor->end - cursor->position))
		return NULL;
	if (!nest_plain_transport(udp, cursor->end, ip->protocol, total_bytes - sizeof(*ip)))
		return NULL;
	plain->family = 4;
	plain->protocol = ip->protocol;
	plain->l4_offset = sizeof(struct nest_ethernet) + sizeof(*ip);
	plain->swapped = nest_flow_key_make4(plain->key_words, ip->source, ip->destination,
					     udp->ports, ip->protocol);
	return nest_runtime_flow_find4(&plain->key4);
}

static __always_inline struct nest_flow *nest_plain_flow6(const struct nest_cursor *cursor,
							  struct nest_plain *plain)
{
	const struct nest_ipv6 *ip = (const void *)cursor->position;
	const struct nest_udp *udp = (const void *)(ip + 1);
	__u32 payload_bytes;

	if ((const __u8 *)(udp + 1) > cursor->end || ip->version_class >> 4 != 6)
		return NULL;
	payload_bytes = nest_from_be16(ip->payload_length);
	if (payload_bytes > (__u64)(cursor->end - (const __u8 *)udp))
		return NULL;
	if (!nest_plain_transport(udp, cursor->end, ip->next, payload_bytes))
		return NULL;
	plain->family = 6;
	plain->protocol = ip->next;
	plain->l4_offset = sizeof(struct nest_ethernet) + sizeof(*ip);
	plain->swapped = nest_flow_key_make6(plain->key_words, ip->source, ip->destination,
					     udp->ports, ip->next);
	return nest_runtime_flow_find6(&plain->key6);
}

/* The live flow of a plain packet; NULL for all others. The cursor is a copy: those are parsed from the start. */
static __always_inline struct nest_flow *
nest_plain_flow(struct nest_scratch *scratch, struct nest_cursor cursor, struct nest_plain *plain)
{
	const struct nest_ethernet *ethernet = nest_take(&cursor, sizeof(*ethernet));
	struct nest_flow *flow;

	if (!ethernet)
		return NULL;
	if (ethernet->type == nest_to_be16(NEST_ETHERTYPE_IPV4))
		flow = nest_plain_flow4(&cursor, plain);
	else if (ethernet->type == nest_to_be16(NEST_ETHERTYPE_IPV6))
		flow = nest_plain_flow6(&cursor, plain);
	else
		return NULL;
	if (!flow || flow->sequence != scratch->control.sequence || flow->flags & NEST_FLOW_LIMITED)
		return NULL;
	scratch->now_ns = nest_runtime_clock(scratch);
	return nest_flow_is_idle(flow, plain->protocol, scratch->now_ns) ? NULL : flow;
}

#endif
