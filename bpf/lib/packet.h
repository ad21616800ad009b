/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The parser: one cursor over the packet, a bounds check before every read, never a guess. It fills in
 * scratch->packet and answers with the reason that decides the packet, or NEST_REASON_UNSPECIFIED when policy has
 * to. The header structures are our own, so that no target needs the kernel's header tree.
 */
#ifndef NEST_PACKET_H
#define NEST_PACKET_H

#include <nest/flow_life.h>

#include "runtime.h"

#define NEST_ETHERTYPE_IPV4       0x0800
#define NEST_ETHERTYPE_ARP        0x0806
#define NEST_ETHERTYPE_VLAN       0x8100
#define NEST_ETHERTYPE_IPV6       0x86dd
#define NEST_ETHERTYPE_QINQ       0x88a8

#define NEST_PROTOCOL_HOP_BY_HOP  0
#define NEST_PROTOCOL_ROUTING     43
#define NEST_PROTOCOL_FRAGMENT    44
#define NEST_PROTOCOL_AH          51
#define NEST_PROTOCOL_DESTINATION 60

#define NEST_IPV4_NO_OPTIONS      0x45   /* version 4, five words */
#define NEST_IPV4_IS_FRAGMENT     0x3fff /* more fragments, or an offset */

#define NEST_TCP_FIN              0x01
#define NEST_TCP_SYN              0x02
#define NEST_TCP_RST              0x04
#define NEST_TCP_ACK              0x10

#define NEST_TCP_HEADER_BYTES     20

struct nest_ethernet {
	__u8 destination[6];
	__u8 source[6];
	__be16 type;
};

struct nest_vlan {
	__be16 tag;
	__be16 type;
};

struct nest_ipv4 {
	__u8 version_ihl;
	__u8 tos;
	__be16 total_length;
	__be16 identification;
	__be16 fragment; /* flags in the upper three bits */
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__be32 source;
	__be32 destination;
};

struct nest_ipv6 {
	__u8 version_class;
	__u8 class_flow[3];
	__be16 payload_length;
	__u8 next;
	__u8 hop_limit;
	__be32 source[4];
	__be32 destination[4];
};

/* The first eight bytes of every IPv6 extension header. */
struct nest_extension {
	__u8 next;
	__u8 length; /* fragment: reserved */
	__be16 fragment;
	__be32 identification;
};

struct nest_ports {
	__be16 source;
	__be16 destination;
};

struct nest_tcp {
	struct nest_ports ports;
	__be32 sequence;
	__be32 acknowledgement;
	__u8 data_offset;
	__u8 flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
};

struct nest_udp {
	struct nest_ports ports;
	__be16 length;
	__be16 checksum;
};

struct nest_icmp {
	__u8 type;
	__u8 code;
	__be16 checksum;
};

struct nest_icmp_echo {
	struct nest_icmp header;
	__be16 identifier;
	__be16 sequence;
};

struct nest_cursor {
	const __u8 *start;
	const __u8 *position;
	const __u8 *end;
	__u32 left; /* bytes the IP header grants from position on */
};

/* The next bytes of the packet, NULL when it ends before. Moves the cursor. */
static __always_inline const void *nest_take(struct nest_cursor *cursor, __u32 bytes)
{
	const __u8 *here = cursor->position;

	if (here + bytes > cursor->end)
		return NULL;
	cursor->position = here + bytes;
	return here;
}

/* Likewise inside IP: the IP length counts, not Ethernet padding. */
static __always_inline const void *nest_take_ip(struct nest_cursor *cursor, __u32 bytes)
{
	if (cursor->left < bytes)
		return NULL;
	cursor->left -= bytes;
	return nest_take(cursor, bytes);
}

static __always_inline bool nest_is_vlan(__be16 type)
{
	return type == nest_to_be16(NEST_ETHERTYPE_VLAN) ||
	       type == nest_to_be16(NEST_ETHERTYPE_QINQ);
}

static __always_inline enum nest_reason nest_parse_tcp(struct nest_cursor *cursor,
						       struct nest_packet *packet)
{
	const struct nest_tcp *tcp = nest_take_ip(cursor, sizeof(*tcp));
	__u32 header_bytes;

	if (!tcp)
		return NEST_REASON_TRUNCATED;
	header_bytes = (tcp->data_offset >> 4) * 4;
	if (header_bytes < sizeof(*tcp))
		return NEST_REASON_MALFORMED;
	if (header_bytes - sizeof(*tcp) > cursor->left)
		return NEST_REASON_TRUNCATED;
	packet->source_port = tcp->ports.source;
	packet->destination_port = tcp->ports.destination;
	packet->tcp_flags = tcp->flags;
	packet->l4 = NEST_L4_TCP;
	packet->has_flow = 1;
	return NEST_REASON_UNSPECIFIED;
}

static __always_inline enum nest_reason nest_parse_udp(struct nest_cursor *cursor,
						       struct nest_packet *packet)
{
	const struct nest_udp *udp = nest_take_ip(cursor, sizeof(*udp));

	if (!udp)
		return NEST_REASON_TRUNCATED;
	packet->source_port = udp->ports.source;
	packet->destination_port = udp->ports.destination;
	packet->l4 = NEST_L4_UDP;
	packet->has_flow = 1;
	return NEST_REASON_UNSPECIFIED;
}

static __always_inline enum nest_reason nest_parse_icmp(struct nest_cursor *cursor,
							struct nest_packet *packet, __u8 hop_limit)
{
	const __u32 left = cursor->left;
	const struct nest_icmp *icmp = nest_take_ip(cursor, sizeof(*icmp));
	const struct nest_icmp_echo *echo;
	bool is_echo;

	if (!icmp)
		return NEST_REASON_TRUNCATED;
	packet->l4 = NEST_L4_ICMP;
	packet->icmp_type = icmp->type;
	if (packet->family == 4) {
		is_echo = icmp->type == 8 || icmp->type == 0;
	} else {
		is_echo = icmp->type == 128 || icmp->type == 129;
		/* A fragment of it is not neighbour discovery (RFC 6980). */
		if (icmp->type >= 133 && icmp->type <= 137 && hop_limit == 255 &&
		    !(packet->parse & NEST_TRACE_PARSE_FIRST_FRAGMENT))
			return NEST_REASON_NEIGHBOR_DISCOVERY;
	}
	if (!is_echo)
		return NEST_REASON_UNSPECIFIED;
	echo = (const void *)icmp;
	if (left < sizeof(*echo) || (const __u8 *)(echo + 1) > cursor->end)
		return NEST_REASON_TRUNCATED;
	packet->source_port = echo->identifier;
	packet->destination_port = echo->identifier;
	packet->has_flow = 1;
	return NEST_REASON_UNSPECIFIED;
}

static __always_inline enum nest_reason nest_parse_l4(struct nest_cursor *cursor,
						      struct nest_packet *packet, __u8 hop_limit)
{
	const __u8 icmp = packet->family == 4 ? NEST_PROTOCOL_ICMP : NEST_PROTOCOL_ICMPV6;

	packet->l4_offset = (__u16)(cursor->position - cursor->start);
	if (packet->protocol == NEST_PROTOCOL_TCP)
		return nest_parse_tcp(cursor, packet);
	if (packet->protocol == NEST_PROTOCOL_UDP)
		return nest_parse_udp(cursor, packet);
	if (packet->protocol == icmp)
		return nest_parse_icmp(cursor, packet, hop_limit);
	packet->l4 = NEST_L4_OTHER;
	packet->has_flow = 1;
	return NEST_REASON_UNSPECIFIED;
}

/*
 * What a fragment's place in its datagram says: offset in units of eight bytes. A later fragment that reaches
 * into a TCP header would rewrite what was judged (RFC 1858).
 */
static __always_inline enum nest_reason nest_parse_fragment(struct nest_packet *packet,
							    __u32 offset, bool has_more)
{
	if (offset == 0) {
		if (has_more)
			packet->parse |= NEST_TRACE_PARSE_FIRST_FRAGMENT;
		return NEST_REASON_UNSPECIFIED;
	}
	packet->parse |= NEST_TRACE_PARSE_LATER_FRAGMENT;
	if (packet->fragment_protocol == NEST_PROTOCOL_TCP && offset * 8 < NEST_TCP_HEADER_BYTES)
		return NEST_REASON_MALFORMED;
	return NEST_REASON_UNSPECIFIED;
}

static __always_inline enum nest_reason nest_parse_ipv4(struct nest_cursor *cursor,
							struct nest_packet *packet)
{
	const __u8 *start = cursor->position;
	const struct nest_ipv4 *ip = nest_take(cursor, sizeof(*ip));
	__u32 header_bytes, total_bytes;
	enum nest_reason reason;
	__u16 fragment;

	if (!ip)
		return NEST_REASON_TRUNCATED;
	header_bytes = (ip->version_ihl & 0xf) * 4;
	if (ip->version_ihl >> 4 != 4 || header_bytes < sizeof(*ip))
		return NEST_REASON_MALFORMED;
	if (start + header_bytes > cursor->end)
		return NEST_REASON_TRUNCATED;
	total_bytes = nest_from_be16(ip->total_length);
	if (total_bytes < header_bytes)
		return NEST_REASON_MALFORMED;
	if (total_bytes > (__u64)(cursor->end - start))
		return NEST_REASON_TRUNCATED;
	packet->family = 4;
	packet->source[0] = ip->source;
	packet->destination[0] = ip->destination;
	packet->protocol = ip->protocol;
	if (header_bytes > sizeof(*ip))
		packet->parse |= NEST_TRACE_PARSE_IPV4_OPTIONS;
	fragment = nest_from_be16(ip->fragment);
	if (fragment & NEST_IPV4_IS_FRAGMENT) {
		packet->identification = ip->identification;
		packet->fragment_protocol = ip->protocol;
		reason = nest_parse_fragment(packet, fragment & 0x1fff, fragment & 0x2000);
		if (reason || packet->parse & NEST_TRACE_PARSE_LATER_FRAGMENT)
			return reason;
	}
	cursor->position = start + header_bytes;
	cursor->left = total_bytes - header_bytes;
	return nest_parse_l4(cursor, packet, 0);
}

static __always_inline bool nest_is_extension(__u8 next)
{
	return next == NEST_PROTOCOL_HOP_BY_HOP || next == NEST_PROTOCOL_ROUTING ||
	       next == NEST_PROTOCOL_FRAGMENT || next == NEST_PROTOCOL_AH ||
	       next == NEST_PROTOCOL_DESTINATION;
}

/* Length of an extension header, 8..2048. */
static __always_inline __u32 nest_extension_bytes(__u8 type, __u8 length)
{
	if (type == NEST_PROTOCOL_FRAGMENT)
		return 8;
	if (type == NEST_PROTOCOL_AH)
		return (length + 2u) * 4u;
	return (length + 1u) * 8u;
}

/* Walks the chain to the transport header, or to a later fragment's payload. */
static __always_inline enum nest_reason nest_parse_extensions(struct nest_cursor *cursor,
							      struct nest_scratch *scratch)
{
	struct nest_packet *packet = &scratch->packet;
	volatile __u32 *opaque = &scratch->opaque;

	for (int i = 0; i <= NEST_IPV6_EXTENSIONS_MAX; i++) {
		const __u8 type = packet->protocol;
		const struct nest_extension *extension;
		__u32 bytes;

		if (!nest_is_extension(type))
			return NEST_REASON_UNSPECIFIED;
		if (i == NEST_IPV6_EXTENSIONS_MAX)
			return NEST_REASON_TOO_MANY_HEADERS;
		packet->parse |= NEST_TRACE_PARSE_IPV6_EXTENSIONS;
		extension = (const void *)cursor->position;
		if (cursor->left < sizeof(*extension) ||
		    (const __u8 *)(extension + 1) > cursor->end)
			return NEST_REASON_TRUNCATED;
		packet->protocol = extension->next;
		/* Through memory: one range for all types, or the verifier walks 3^8 ways. */
		*opaque = nest_extension_bytes(type, extension->length);
		bytes = *opaque & 0xffc;
		if (type == NEST_PROTOCOL_FRAGMENT) {
			const __u16 fragment = nest_from_be16(extension->fragment);
			enum nest_reason reason;

			packet->identification = extension->identification;
			packet->fragment_protocol = extension->next;
			reason = nest_parse_fragment(packet, fragment >> 3, fragment & 1);
			if (reason || packet->parse & NEST_TRACE_PARSE_LATER_FRAGMENT)
				return reason;
		}
		if (cursor->left < bytes)
			return NEST_REASON_TRUNCATED;
		cursor->left -= bytes;
		cursor->position += bytes;
	}
	return NEST_REASON_UNSPECIFIED;
}

static __always_inline enum nest_reason nest_parse_ipv6(struct nest_cursor *cursor,
							struct nest_scratch *scratch)
{
	struct nest_packet *packet = &scratch->packet;
	const struct nest_ipv6 *ip = nest_take(cursor, sizeof(*ip));
	enum nest_reason reason;

	if (!ip)
		return NEST_REASON_TRUNCATED;
	if (ip->version_class >> 4 != 6)
		return NEST_REASON_MALFORMED;
	cursor->left = nest_from_be16(ip->payload_length);
	if (cursor->left > (__u64)(cursor->end - cursor->position))
		return NEST_REASON_TRUNCATED;
	packet->family = 6;
	for (int i = 0; i < 4; i++) {
		packet->source[i] = ip->source[i];
		packet->destination[i] = ip->destination[i];
	}
	packet->protocol = ip->next;
	if (nest_is_extension(ip->next)) {
		reason = nest_parse_extensions(cursor, scratch);
		if (reason || packet->parse & NEST_TRACE_PARSE_LATER_FRAGMENT)
			return reason;
	}
	return nest_parse_l4(cursor, packet, ip->hop_limit);
}

/* Forgets the packet before; length and interface are the caller's. */
static __always_inline void nest_packet_clear(struct nest_packet *packet)
{
	for (int i = 1; i < 4; i++) {
		packet->source[i] = 0;
		packet->destination[i] = 0;
	}
	/* The alignment makes it three stores instead of 24. */
	__builtin_memset(__builtin_assume_aligned((__u8 *)packet + NEST_PACKET_CLEARED_FROM, 8), 0,
			 sizeof(*packet) - NEST_PACKET_CLEARED_FROM);
}

static __always_inline enum nest_reason nest_parse(struct nest_cursor *cursor,
						   struct nest_scratch *scratch)
{
	const struct nest_ethernet *ethernet = nest_take(cursor, sizeof(*ethernet));
	__be16 type;

	if (!ethernet)
		return NEST_REASON_TRUNCATED;
	type = ethernet->type;
	for (__u8 i = 1; i <= NEST_VLAN_TAGS_MAX && nest_is_vlan(type); i++) {
		const struct nest_vlan *vlan = nest_take(cursor, sizeof(*vlan));

		if (!vlan)
			return NEST_REASON_TRUNCATED;
		type = vlan->type;
		scratch->packet.vlan_tags = i;
	}
	if (type == nest_to_be16(NEST_ETHERTYPE_IPV4))
		return nest_parse_ipv4(cursor, &scratch->packet);
	if (type == nest_to_be16(NEST_ETHERTYPE_IPV6))
		return nest_parse_ipv6(cursor, scratch);
	if (type == nest_to_be16(NEST_ETHERTYPE_ARP))
		return NEST_REASON_ARP;
	if (nest_is_vlan(type))
		return NEST_REASON_TOO_MANY_TAGS;
	return NEST_REASON_NOT_IP;
}

#endif
