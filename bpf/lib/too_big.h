/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The answer to a packet that the way out does not take in one piece: "fragmentation needed"
 * (RFC 792, 1191) or "packet too big" (RFC 4443), made from the packet itself, which has not been
 * rewritten yet, and sent back to where it came from.
 */
#ifndef NEST_TOO_BIG_H
#define NEST_TOO_BIG_H

#include "checksum.h"
#include "counters.h"
#include "rewrite.h"

/* Answers per second and CPU; beyond, such packets are dropped without one (RFC 4443, 2.4 f). */
#define NEST_TOO_BIG_PER_SECOND 1000u

/* Of the packet, in the answer: all of it has 576 bytes (RFC 1812), or the least IPv6 link's 1280. */
#define NEST_TOO_BIG_QUOTE4 548u
#define NEST_TOO_BIG_QUOTE6 1232u

#define NEST_TOO_BIG_L2_MAX 22

struct nest_icmp_too_big {
	struct nest_icmp header;
	__be16 unused; /* IPv6: the upper half of the MTU */
	__be16 mtu;
};

struct nest_too_big4 {
	struct nest_ipv4 ip;
	struct nest_icmp_too_big icmp;
};

struct nest_too_big6 {
	struct nest_ipv6 ip;
	struct nest_icmp_too_big icmp;
};

static __always_inline bool nest_too_big_has_budget(struct nest_scratch *scratch)
{
	const __u32 second = (__u32)(scratch->now_ns / NEST_SECOND_NS);

	if (scratch->too_big_second != second) {
		scratch->too_big_second = second;
		scratch->too_big_sent = 0;
	}
	if (scratch->too_big_sent >= NEST_TOO_BIG_PER_SECOND)
		return false;
	scratch->too_big_sent++;
	return true;
}

/* The sum of the quoted packet: `bytes`, a multiple of four, from `start` on. */
static __always_inline __u64 nest_too_big_sum(const struct nest_frame *frame, const __u8 *start,
					      __u32 bytes, __u32 bytes_max)
{
	__u64 sum = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < bytes_max; i += 4) {
		const __u32 *word = (const void *)(start + i);

		if (i >= bytes || (const __u8 *)(word + 1) > frame->end)
			break;
		sum += *word;
	}
	return sum;
}

/* Behind the Ethernet header: IPv4 and ICMP. The packet's own header follows. */
static __always_inline bool nest_too_big_write4(struct nest_scratch *scratch,
						const struct nest_frame *frame, __u8 *start,
						__u32 quote)
{
	const struct nest_interface_address *own =
		nest_runtime_interface_address(scratch->packet.interface);
	struct nest_too_big4 *answer = (void *)start;
	const struct nest_ipv4 *quoted = (const void *)(start + sizeof(*answer));
	struct nest_ipv4 *ip = &answer->ip;
	__u64 sum;

	if ((const __u8 *)(quoted + 1) > frame->end)
		return false;
	ip->version_ihl = 0x45;
	ip->tos = 0;
	ip->total_length = nest_to_be16((__u16)(sizeof(*answer) + quote));
	ip->identification = 0;
	ip->fragment = nest_to_be16(0x4000);
	ip->ttl = 64;
	ip->protocol = NEST_PROTOCOL_ICMP;
	ip->source = own && own->address4 ? own->address4 : quoted->destination;
	ip->destination = quoted->source;
	sum = nest_to_be16(0x4500) + (__u64)ip->total_length + ip->fragment +
	      (ip->ttl | NEST_PROTOCOL_ICMP << 8) + ip->source + ip->destination;
	ip->checksum = (__u16)~nest_sum_fold(sum);
	answer->icmp.header.type = 3;
	answer->icmp.header.code = 4;
	answer->icmp.unused = 0;
	answer->icmp.mtu = nest_to_be16(scratch->out.mtu);
	sum = nest_to_be16(0x0304) + (__u64)answer->icmp.mtu +
	      nest_too_big_sum(frame, start + sizeof(*answer), quote, NEST_TOO_BIG_QUOTE4);
	answer->icmp.header.checksum = (__u16)~nest_sum_fold(sum);
	return true;
}

static __always_inline bool nest_too_big_write6(struct nest_scratch *scratch,
						const struct nest_frame *frame, __u8 *start,
						__u32 quote)
{
	const struct nest_interface_address *own =
		nest_runtime_interface_address(scratch->packet.interface);
	const __u16 length = (__u16)(sizeof(struct nest_icmp_too_big) + quote);
	struct nest_too_big6 *answer = (void *)start;
	const struct nest_ipv6 *quoted = (const void *)(start + sizeof(*answer));
	struct nest_ipv6 *ip = &answer->ip;
	bool has_own = false;
	__u64 sum;

	if ((const __u8 *)(quoted + 1) > frame->end)
		return false;
	if (own)
		has_own = own->address6[0] | own->address6[1] | own->address6[2] | own->address6[3];
	ip->version_class = 0x60;
	ip->class_flow[0] = 0;
	ip->class_flow[1] = 0;
	ip->class_flow[2] = 0;
	ip->payload_length = nest_to_be16(length);
	ip->next = NEST_PROTOCOL_ICMPV6;
	ip->hop_limit = 64;
	answer->icmp.header.type = 2;
	answer->icmp.header.code = 0;
	answer->icmp.unused = 0;
	answer->icmp.mtu = nest_to_be16(scratch->out.mtu);
	sum = nest_to_be16(0x0200) + (__u64)answer->icmp.mtu + nest_to_be16(length) +
	      nest_to_be16(NEST_PROTOCOL_ICMPV6);
	for (int i = 0; i < 4; i++) {
		ip->source[i] = has_own ? own->address6[i] : quoted->destination[i];
		ip->destination[i] = quoted->source[i];
		sum += (__u64)ip->source[i] + ip->destination[i];
	}
	sum += nest_too_big_sum(frame, start + sizeof(*answer), quote, NEST_TOO_BIG_QUOTE6);
	answer->icmp.header.checksum = (__u16)~nest_sum_fold(sum);
	return true;
}

/* Ethernet and tags as they came, addresses turned round. */
static __always_inline bool nest_too_big_write_l2(const struct nest_frame *frame, const __u8 *l2,
						  __u32 bytes)
{
	if (frame->start + NEST_TOO_BIG_L2_MAX > frame->end)
		return false;
	for (__u32 i = 0; i < 6; i++) {
		frame->start[i] = l2[6 + i];
		frame->start[6 + i] = l2[i];
	}
	for (__u32 i = 12; i < NEST_TOO_BIG_L2_MAX; i++) {
		if (i < bytes)
			frame->start[i] = l2[i];
	}
	return true;
}

/* Bytes of the packet to quote, a multiple of four. */
static __always_inline __u32 nest_too_big_quote(const struct nest_packet *packet)
{
	const __u32 all = (packet->length - nest_l3_offset(packet)) & ~3u;

	const __u32 most = packet->family == 4 ? NEST_TOO_BIG_QUOTE4 : NEST_TOO_BIG_QUOTE6;

	return all < most ? all : most;
}

/* Turns the packet into the answer. scratch->out.mtu is what the way out takes. */
static __always_inline __u32 nest_stage_too_big(void *context, struct nest_scratch *scratch,
						struct nest_frame *frame, bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	const __u32 offset = nest_l3_offset(packet);
	const __u32 quote = nest_too_big_quote(packet);
	const __u32 headers =
		packet->family == 4 ? sizeof(struct nest_too_big4) : sizeof(struct nest_too_big6);
	__u8 l2[NEST_TOO_BIG_L2_MAX + 2] = {};
	bool is_written;

	packet->reason = NEST_REASON_TOO_BIG;
	scratch->outcome = NEST_OUTCOME_DROP;
	if (!is_traced && !nest_too_big_has_budget(scratch))
		return NEST_TAIL_NONE;
	if (frame->start + NEST_TOO_BIG_L2_MAX > frame->end)
		return NEST_TAIL_NONE;
	for (int i = 0; i < NEST_TOO_BIG_L2_MAX; i++)
		l2[i] = frame->start[i];
	if (!nest_runtime_reshape(context, headers, offset + headers + quote, frame) ||
	    !nest_too_big_write_l2(frame, l2, offset))
		return NEST_TAIL_NONE;
	if (packet->family == 4)
		is_written = nest_too_big_write4(scratch, frame, frame->start + offset, quote);
	else
		is_written = nest_too_big_write6(scratch, frame, frame->start + offset, quote);
	scratch->out.flags = 0; /* the packet itself stayed as it was */
	if (!is_written)
		return NEST_TAIL_NONE;
	scratch->outcome = NEST_OUTCOME_TX;
	if (!is_traced)
		nest_count_stat(NEST_STAT_TOO_BIG);
	return NEST_TAIL_NONE;
}

#endif
