/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * What is known of the packet under judgement. It lives in per-CPU memory, not on the stack: the tail-called
 * program reads it, and the verifier sees opaque values instead of one state per way through the parser.
 */
#ifndef NEST_SCRATCH_H
#define NEST_SCRATCH_H

#include <nest/abi.h>

/* The result of the parser, and what the verdict adds. Addresses and ports in network order. */
struct nest_packet {
	__be32 source[4]; /* IPv4: in [0], the rest 0 */
	__be32 destination[4];
	__u32 length; /* on the wire */
	__u32 interface;
	/* from here on cleared for each packet */
	__be16 source_port; /* ICMP echo: the identifier in both; otherwise 0 */
	__be16 destination_port;
	__be32 identification; /* of a fragment */
	__u16 l4_offset;       /* 0 = not reached */
	__u8 family;           /* 4 or 6; 0 = not IP, or no valid IP header */
	__u8 l4;               /* NEST_L4_*; 0 = not reached */
	__u8 protocol;
	__u8 fragment_protocol; /* next header in the fragment header: the same in all fragments */
	__u8 tcp_flags;
	__u8 vlan_tags;
	__u8 parse;      /* NEST_TRACE_PARSE_* */
	__u8 has_flow;   /* this kind of packet belongs to a flow */
	__u8 swapped;    /* the source is endpoint 1 of the flow key */
	__u8 reverse;    /* comes from the responder of its flow */
	__u8 reason;     /* decided already; 0 = to be judged */
	__u8 flow_state; /* NEST_TRACE_FLOW_* */
	__u8 pad;
} __attribute__((aligned(8)));

#define NEST_PACKET_CLEARED_FROM __builtin_offsetof(struct nest_packet, source_port)
_Static_assert(NEST_PACKET_CLEARED_FROM % 8 == 0, "cleared by words");
_Static_assert(sizeof(struct nest_packet) == NEST_PACKET_CLEARED_FROM + 24, "no hidden padding");

struct nest_scratch {
	struct nest_packet packet;
	struct nest_control control; /* read once per packet */
	__u64 now_ns;
	union {
		struct nest_flow_key4 key4;
		struct nest_flow_key6 key6;
		__u64 key_words[5]; /* little-endian, as they lie in the keys */
	};
	struct nest_flow fresh; /* a flow on its way into the table */
	struct nest_fragment_key fragment_key;
	union {
		struct nest_prefix4 prefix4;
		struct nest_prefix6 prefix6;
	};
	struct nest_pair pair;
	/* the judgement */
	__u32 source_identity;
	__u32 destination_identity;
	__u32 match;
	__u32 opaque; /* a number the verifier shall not follow */
	/* per CPU, used in scratch 0 only */
	__u32 deny_second;
	__u32 deny_records;
	__u32 records;
};

#endif
