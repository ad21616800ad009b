/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * ICMP errors. They quote the packet they are about; where that belongs to a live flow, they belong
 * to it too. An error about a translated packet is translated back, outside and in the quotation, so
 * that whoever sent the packet finds its own in it.
 */
#ifndef NEST_ICMP_ERROR_H
#define NEST_ICMP_ERROR_H

#include "deny.h"
#include "nat.h"
#include "record.h"

static __always_inline bool nest_icmp_is_error(const struct nest_packet *packet)
{
	const __u32 type = packet->icmp_type;

	if (packet->l4 != NEST_L4_ICMP || packet->parse & NEST_TRACE_PARSE_FIRST_FRAGMENT)
		return false;
	if (packet->family == 4)
		return type == 3 || type == 4 || type == 11 || type == 12;
	return type >= 1 && type <= 4;
}

/* The quoted packet; its addresses are in the scratch, as those of a packet on the wire. */
struct nest_quote {
	__u8 *ip; /* a whole header */
	__u8 *l4; /* at least eight bytes */
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
};

/* The ports, or the identifier of an echo. False: it had neither. */
static __always_inline bool nest_quote_ports(struct nest_quote *quote, __u8 family)
{
	const struct nest_icmp_echo *echo = (const void *)quote->l4;
	const struct nest_ports *ports = (const void *)quote->l4;
	const __u8 type = echo->header.type;

	if (quote->protocol == NEST_PROTOCOL_TCP || quote->protocol == NEST_PROTOCOL_UDP) {
		quote->source_port = ports->source;
		quote->destination_port = ports->destination;
		return true;
	}
	if (family == 4 ? quote->protocol != NEST_PROTOCOL_ICMP || (type != 8 && type != 0)
			: quote->protocol != NEST_PROTOCOL_ICMPV6 || (type != 128 && type != 129))
		return false;
	quote->source_port = echo->identifier;
	quote->destination_port = echo->identifier;
	return true;
}

/*
 * Reads the quotation behind the eight bytes of the ICMP header at `start`. False: too short, a later
 * fragment, behind IPv6 extension headers, or of a protocol without ports.
 */
static __always_inline bool nest_quote_read(struct nest_scratch *scratch,
					    const struct nest_frame *frame, __u8 *start,
					    struct nest_quote *quote)
{
	volatile __u32 *opaque = &scratch->opaque;
	const __u8 family = scratch->packet.family;

	for (int i = 1; i < 4; i++) {
		scratch->wire_source[i] = 0;
		scratch->wire_destination[i] = 0;
	}
	quote->ip = start + sizeof(struct nest_icmp_echo);
	if (family == 4) {
		struct nest_ipv4 *ip = (void *)quote->ip;

		if ((__u8 *)(ip + 1) > frame->end || ip->version_ihl >> 4 != 4 ||
		    (ip->version_ihl & 0xf) < 5 || ip->fragment & nest_to_be16(0x1fff))
			return false;
		quote->protocol = ip->protocol;
		scratch->wire_source[0] = ip->source;
		scratch->wire_destination[0] = ip->destination;
		/* Through memory: one range for all lengths. */
		*opaque = (ip->version_ihl & 0xf) * 4;
		quote->l4 = quote->ip + (*opaque & 0x3c);
	} else {
		struct nest_ipv6 *ip = (void *)quote->ip;

		if ((__u8 *)(ip + 1) > frame->end || ip->version_class >> 4 != 6)
			return false;
		quote->protocol = ip->next;
		for (int i = 0; i < 4; i++) {
			scratch->wire_source[i] = ip->source[i];
			scratch->wire_destination[i] = ip->destination[i];
		}
		quote->l4 = quote->ip + sizeof(*ip);
	}
	return quote->l4 + 8 <= frame->end && nest_quote_ports(quote, family);
}

static __always_inline bool nest_quote_same(const __be32 *one, const __be32 *other)
{
	return ((one[0] ^ other[0]) | (one[1] ^ other[1]) | (one[2] ^ other[2]) |
		(one[3] ^ other[3])) == 0;
}

/*
 * The live flow that the quoted packet belongs to, as its entry under the key of that packet.
 * is_own: the entry rewrites packets of that direction, so the quotation is of before the rewrite.
 * An error goes to the sender of what it quotes; others are made up.
 */
static __always_inline struct nest_flow *
nest_quote_flow(struct nest_scratch *scratch, const struct nest_quote *quote, bool *is_own)
{
	const struct nest_packet *packet = &scratch->packet;
	const struct nest_end source = {scratch->wire_source, quote->source_port};
	const struct nest_end destination = {scratch->wire_destination, quote->destination_port};
	struct nest_flow *flow;
	bool is_swapped, is_reverse;

	if (!nest_quote_same(scratch->wire_source, packet->destination))
		return NULL;
	is_swapped = nest_flow_key_make(scratch, &source, &destination, quote->protocol);
	flow = nest_runtime_flow_find(scratch);
	if (!flow || flow->sequence != scratch->control.sequence ||
	    nest_flow_is_idle(flow, quote->protocol, scratch->now_ns))
		return NULL;
	is_reverse = !!(flow->flags & NEST_FLOW_INITIATOR_SECOND) != is_swapped;
	*is_own = !!(flow->flags & NEST_FLOW_ALIAS) == is_reverse;
	return flow;
}

/* Puts 16 bits in place; returns what the checksum over them changes by. */
static __always_inline __u64 nest_quote_put16(__be16 *place, __be16 value)
{
	const __u64 delta = nest_sum_change16(*place, value);

	*place = value;
	return delta;
}

/* Ports and, where it is quoted, the checksum; `delta` is what the addresses changed. */
static __always_inline __u64 nest_quote_put_l4(const struct nest_frame *frame,
					       const struct nest_quote *quote, __be16 source,
					       __be16 destination, __u64 delta)
{
	struct nest_ports *ports = (void *)quote->l4;
	struct nest_udp *udp = (void *)quote->l4;
	struct nest_tcp *tcp = (void *)quote->l4;
	struct nest_icmp_echo *echo = (void *)quote->l4;
	__u64 change;

	if (quote->protocol != NEST_PROTOCOL_TCP && quote->protocol != NEST_PROTOCOL_UDP) {
		change = nest_quote_put16(&echo->identifier, source);
		delta = quote->protocol == NEST_PROTOCOL_ICMP ? change : delta + change;
		return change + nest_quote_put16(&echo->header.checksum,
						 nest_checksum_after(echo->header.checksum, delta));
	}
	change = nest_quote_put16(&ports->source, source) +
		 nest_quote_put16(&ports->destination, destination);
	delta += change;
	if (quote->protocol == NEST_PROTOCOL_UDP)
		return change + nest_quote_put16(&udp->checksum,
						 nest_udp_checksum_after(udp->checksum, delta));
	if ((__u8 *)(tcp + 1) > frame->end)
		return change;
	return change + nest_quote_put16(&tcp->checksum, nest_checksum_after(tcp->checksum, delta));
}

/*
 * Undoes the rewrite in the quotation: what came out of the flow's other direction goes back by this
 * entry's rewrite, turned round. Returns what the checksum of the message changes by.
 */
static __always_inline __u64 nest_quote_translate(const struct nest_frame *frame,
						  const struct nest_quote *quote, __u8 family,
						  const struct nest_rewrite *rewrite)
{
	struct nest_ipv4 *ip4 = (void *)quote->ip;
	struct nest_ipv6 *ip6 = (void *)quote->ip;
	__u64 addresses = 0;
	__u64 delta = 0;

	if (family == 4) {
		addresses = nest_sum_change(ip4->source, rewrite->destination[0]) +
			    nest_sum_change(ip4->destination, rewrite->source[0]);
		ip4->source = rewrite->destination[0];
		ip4->destination = rewrite->source[0];
		delta = nest_quote_put16(&ip4->checksum,
					 nest_checksum_after(ip4->checksum, addresses));
	} else {
		if ((__u8 *)(ip6 + 1) > frame->end)
			return 0; /* nest_quote_read has seen it; the verifier has not */
		for (int i = 0; i < 4; i++) {
			addresses += nest_sum_change(ip6->source[i], rewrite->destination[i]) +
				     nest_sum_change(ip6->destination[i], rewrite->source[i]);
			ip6->source[i] = rewrite->destination[i];
			ip6->destination[i] = rewrite->source[i];
		}
	}
	return delta + addresses +
	       nest_quote_put_l4(frame, quote, rewrite->destination_port, rewrite->source_port,
				 addresses);
}

/*
 * The outside: the message goes to who sent the quoted packet. When the responder of a flow complains
 * itself, it does so under the address that the initiator knows. The ports are the word behind the
 * checksum, which stays.
 */
static __always_inline void nest_error_aim(struct nest_scratch *scratch,
					   const struct nest_rewrite *rewrite, bool is_peer,
					   __be16 word)
{
	const struct nest_packet *packet = &scratch->packet;
	struct nest_rewrite *out = &scratch->out;

	nest_rewrite_begin(out, packet);
	for (int i = 0; i < 4; i++) {
		out->destination[i] = rewrite->destination[i];
		if (is_peer)
			out->source[i] = rewrite->source[i];
	}
	out->source_port = word;
	out->destination_port = word;
	out->flags = is_peer ? NEST_REWRITE_TRANSLATED : NEST_REWRITE_DESTINATION;
}

/* Judges an ICMP error. What belongs to no flow goes back to be judged like any other packet. */
static __always_inline __u32 nest_stage_related(void *context, struct nest_scratch *scratch,
						const struct nest_frame *frame, bool is_traced)
{
	struct nest_packet *packet = &scratch->packet;
	__u8 *start = frame->start + (packet->l4_offset & 0x7fff);
	struct nest_icmp_echo *message = (void *)start;
	struct nest_quote quote;
	struct nest_flow *flow;
	bool is_own, is_peer;
	__u64 delta;

	packet->icmp_type = 0; /* asked */
	if ((__u8 *)(message + 1) > frame->end || !nest_quote_read(scratch, frame, start, &quote))
		return NEST_TAIL_JUDGE;
	flow = nest_quote_flow(scratch, &quote, &is_own);
	if (!flow)
		return NEST_TAIL_JUDGE;
	scratch->outcome = NEST_OUTCOME_DROP;
	if (nest_deny_judge(scratch, is_traced)) {
		packet->reason = NEST_REASON_DENY_LIST;
		if (!is_traced)
			nest_record_deny(scratch, NEST_MAPPING_DEFAULT, NEST_REASON_DENY_LIST);
		return NEST_TAIL_NONE;
	}
	packet->reason = NEST_REASON_FLOW_RELATED;
	scratch->outcome = NEST_OUTCOME_PASS;
	if (!nest_flow_has_twin(flow) || is_own)
		return NEST_TAIL_NONE;
	is_peer = nest_quote_same(packet->source, scratch->wire_destination);
	delta = nest_quote_translate(frame, &quote, packet->family, &flow->rewrite);
	message->header.checksum = nest_checksum_after(message->header.checksum, delta);
	nest_error_aim(scratch, &flow->rewrite, is_peer, message->identifier);
	if (nest_route_refresh(context, scratch, &scratch->out))
		return NEST_TAIL_SEND;
	packet->reason = NEST_REASON_NO_ROUTE;
	scratch->outcome = NEST_OUTCOME_DROP;
	return NEST_TAIL_NONE;
}

#endif
