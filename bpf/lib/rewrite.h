/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The rewrite of a packet's bytes: addresses, ports or the ICMP identifier, DSCP, hop limit, MAC
 * addresses, with their checksums. It reads what was there from the packet itself, so it needs
 * nothing but the offsets that the parser found.
 */
#ifndef NEST_REWRITE_H
#define NEST_REWRITE_H

#include "checksum.h"
#include "packet.h"

#define NEST_REWRITE_TRANSLATED (NEST_REWRITE_SOURCE | NEST_REWRITE_DESTINATION)
#define NEST_REWRITE_ANY_WAY    (NEST_REWRITE_TRANSLATED | NEST_REWRITE_DIRECT)

/* A rewrite that changes nothing yet: addresses and ports are always filled in. */
static __always_inline void nest_rewrite_begin(struct nest_rewrite *rewrite,
					       const struct nest_packet *packet)
{
	__builtin_memset(rewrite, 0, sizeof(*rewrite));
	for (int i = 0; i < 4; i++) {
		rewrite->source[i] = packet->source[i];
		rewrite->destination[i] = packet->destination[i];
	}
	rewrite->source_port = packet->source_port;
	rewrite->destination_port = packet->destination_port;
	rewrite->backend = NEST_BACKEND_NONE;
}

/* Destination and source, one behind the other, in words. */
static __always_inline void nest_macs_copy(__u8 *to, const __u8 *from)
{
	for (int i = 0; i < 3; i++)
		((__u32 *)to)[i] = ((const __u32 *)from)[i];
}

/* Where the IP header begins. */
static __always_inline __u32 nest_l3_offset(const struct nest_packet *packet)
{
	return (__u32)sizeof(struct nest_ethernet) +
	       (packet->vlan_tags & 3) * (__u32)sizeof(struct nest_vlan);
}

/* What a rewrite has to know of a packet. */
struct nest_layout {
	__u32 l3; /* offsets in the frame */
	__u32 l4;
	__u8 family;
	__u8 kind; /* NEST_L4_*; 0 = a later fragment, which has no transport header */
};

static __always_inline struct nest_layout nest_layout_of(const struct nest_packet *packet)
{
	const struct nest_layout layout = {
		.l3 = nest_l3_offset(packet),
		.l4 = packet->l4_offset & 0x7fff,
		.family = packet->family,
		.kind = packet->l4,
	};

	return layout;
}

static __always_inline bool nest_rewrite_tcp(const struct nest_frame *frame, __u8 *header,
					     const struct nest_rewrite *rewrite, __u64 delta)
{
	struct nest_tcp *tcp = (void *)header;

	if ((__u8 *)(tcp + 1) > frame->end)
		return false;
	delta += nest_sum_change16(tcp->ports.source, rewrite->source_port) +
		 nest_sum_change16(tcp->ports.destination, rewrite->destination_port);
	tcp->ports.source = rewrite->source_port;
	tcp->ports.destination = rewrite->destination_port;
	tcp->checksum = nest_checksum_after(tcp->checksum, delta);
	return true;
}

static __always_inline bool nest_rewrite_udp(const struct nest_frame *frame, __u8 *header,
					     const struct nest_rewrite *rewrite, __u64 delta)
{
	struct nest_udp *udp = (void *)header;

	if ((__u8 *)(udp + 1) > frame->end)
		return false;
	delta += nest_sum_change16(udp->ports.source, rewrite->source_port) +
		 nest_sum_change16(udp->ports.destination, rewrite->destination_port);
	udp->ports.source = rewrite->source_port;
	udp->ports.destination = rewrite->destination_port;
	udp->checksum = nest_udp_checksum_after(udp->checksum, delta);
	return true;
}

/* An echo or its answer: the identifier stands in for both ports. ICMP sums no addresses, ICMPv6 does. */
static __always_inline bool nest_rewrite_echo(const struct nest_frame *frame, __u8 *header,
					      const struct nest_rewrite *rewrite, __u64 delta)
{
	struct nest_icmp_echo *echo = (void *)header;

	if ((__u8 *)(echo + 1) > frame->end)
		return false;
	delta += nest_sum_change16(echo->identifier, rewrite->source_port);
	echo->identifier = rewrite->source_port;
	echo->header.checksum = nest_checksum_after(echo->header.checksum, delta);
	return true;
}

/* Ports and the checksum over them. `delta`: what the addresses changed. */
static __always_inline bool nest_rewrite_l4(const struct nest_frame *frame,
					    const struct nest_layout *layout,
					    const struct nest_rewrite *rewrite, __u64 delta)
{
	__u32 offset = layout->l4;
	__u8 *header;

	/* Masked here once more: where ways meet, the compiler may have dropped what the verifier needs. */
	asm volatile("" : "+r"(offset));
	header = frame->start + (offset & 0x7fff);

	if (layout->kind == NEST_L4_TCP)
		return nest_rewrite_tcp(frame, header, rewrite, delta);
	if (layout->kind == NEST_L4_UDP)
		return nest_rewrite_udp(frame, header, rewrite, delta);
	if (layout->kind == NEST_L4_ICMP)
		return nest_rewrite_echo(frame, header, rewrite, layout->family == 4 ? 0 : delta);
	return true; /* a later fragment: the checksum is in the first one */
}

static __always_inline bool nest_rewrite_ipv4(const struct nest_frame *frame,
					      const struct nest_layout *layout,
					      const struct nest_rewrite *rewrite, __u8 flags)
{
	struct nest_ipv4 *ip = (void *)(frame->start + layout->l3);
	__u64 delta = 0;

	if ((__u8 *)(ip + 1) > frame->end)
		return false;
	if (flags & NEST_REWRITE_TRANSLATED) {
		delta = nest_sum_change(ip->source, rewrite->source[0]) +
			nest_sum_change(ip->destination, rewrite->destination[0]);
		if (!nest_rewrite_l4(frame, layout, rewrite, delta))
			return false;
		ip->source = rewrite->source[0];
		ip->destination = rewrite->destination[0];
	}
	if (flags & NEST_REWRITE_DSCP) {
		const __u8 tos = (__u8)(rewrite->dscp << 2) | (ip->tos & 3);

		delta += nest_sum_change16(nest_to_be16(ip->tos), nest_to_be16(tos));
		ip->tos = tos;
	}
	if ((flags & (NEST_REWRITE_ROUTED | NEST_REWRITE_DIRECT)) == NEST_REWRITE_ROUTED) {
		delta += nest_sum_change16(ip->ttl, (__u8)(ip->ttl - 1));
		ip->ttl--;
	}
	ip->checksum = nest_checksum_after(ip->checksum, delta);
	return true;
}

static __always_inline bool nest_rewrite_ipv6(const struct nest_frame *frame,
					      const struct nest_layout *layout,
					      const struct nest_rewrite *rewrite, __u8 flags)
{
	struct nest_ipv6 *ip = (void *)(frame->start + layout->l3);

	if ((__u8 *)(ip + 1) > frame->end)
		return false;
	if (flags & NEST_REWRITE_TRANSLATED) {
		__u64 delta = 0;

		for (int i = 0; i < 4; i++)
			delta += nest_sum_change(ip->source[i], rewrite->source[i]) +
				 nest_sum_change(ip->destination[i], rewrite->destination[i]);
		if (!nest_rewrite_l4(frame, layout, rewrite, delta))
			return false;
		for (int i = 0; i < 4; i++) {
			ip->source[i] = rewrite->source[i];
			ip->destination[i] = rewrite->destination[i];
		}
	}
	if (flags & NEST_REWRITE_DSCP) {
		/* version 4, class 8, flow label 20 bits: DSCP is bits 4 to 9 */
		ip->version_class = 0x60 | rewrite->dscp >> 2;
		ip->class_flow[0] = (ip->class_flow[0] & 0x3f) | (__u8)(rewrite->dscp << 6);
	}
	if ((flags & (NEST_REWRITE_ROUTED | NEST_REWRITE_DIRECT)) == NEST_REWRITE_ROUTED)
		ip->hop_limit--;
	return true;
}

/*
 * Does to the packet what `flags` (NEST_REWRITE_*) say, with the values of `rewrite`. False: the
 * packet is not what the parser saw, which cannot be; the verifier wants to hear it.
 */
static __always_inline bool nest_rewrite_apply(const struct nest_frame *frame,
					       const struct nest_layout *layout,
					       const struct nest_rewrite *rewrite, __u8 flags)
{
	struct nest_ethernet *ethernet = (void *)frame->start;

	if (layout->family == 4) {
		if (!nest_rewrite_ipv4(frame, layout, rewrite, flags))
			return false;
	} else if (!nest_rewrite_ipv6(frame, layout, rewrite, flags)) {
		return false;
	}
	if (!(flags & NEST_REWRITE_ROUTED))
		return true;
	if ((__u8 *)(ethernet + 1) > frame->end)
		return false;
	nest_macs_copy(ethernet->destination, rewrite->destination_mac);
	return true;
}

#endif
