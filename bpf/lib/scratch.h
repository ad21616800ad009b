/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * What is known of the packet under judgement. It lives in per-CPU memory, not on the stack: the tail-called
 * program reads it, and the verifier sees opaque values instead of one state per way through the parser.
 */
#ifndef NEST_SCRATCH_H
#define NEST_SCRATCH_H

#include <nest/abi.h>

/*
 * The stages after the first, which are the tail-called programs in nest_tail. Each names the next
 * one, or NEST_TAIL_NONE when the packet is settled.
 */
#define NEST_TAIL_JUDGE    0u /* what the flow table does not settle at once */
#define NEST_TAIL_RULE     1u /* deny lists, policy, limits */
#define NEST_TAIL_BEGIN    2u /* the beginning of an allowed flow, or of its new translation */
#define NEST_TAIL_CONTINUE 3u /* a known flow that the tables were asked about, and that goes on */
#define NEST_TAIL_RELATED  4u /* ICMP errors about a flow */
#define NEST_TAIL_SEND     5u /* the rewrite, and the way out */
#define NEST_TAIL_TOO_BIG  6u /* the answer to a packet that the way out does not take */
#define NEST_TAIL_PROGRAMS 7u
#define NEST_TAIL_NONE     NEST_TAIL_PROGRAMS

/* The result of the parser, and what the verdict adds. Addresses and ports in network order. */
struct nest_packet {
	__be32 source[4]; /* IPv4: in [0], the rest 0 */
	__be32 destination[4];
	__u32 length; /* on the wire */
	__u32 interface;
	__u32 icmp_type; /* where l4 is NEST_L4_ICMP */
	__u32 pad;
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
	__u16 deny_list; /* that an address is on: index + 1, 0 = none */
} __attribute__((aligned(8)));

#define NEST_PACKET_CLEARED_FROM __builtin_offsetof(struct nest_packet, source_port)
_Static_assert(NEST_PACKET_CLEARED_FROM % 8 == 0, "cleared by words");
_Static_assert(sizeof(struct nest_packet) == NEST_PACKET_CLEARED_FROM + 24, "no hidden padding");

/* Where a packet leaves: the answer of nest_runtime_route. */
struct nest_route {
	__u32 egress; /* 0 = not known; may be known without a next hop */
	__u8 destination_mac[6];
	__u8 source_mac[6];
	__u16 mtu; /* of IP, 0 = not known */
	__u8 pad[2];
};

enum nest_way {
	NEST_WAY_KERNEL,  /* the kernel routes */
	NEST_WAY_FORWARD, /* all of struct nest_route is known */
	NEST_WAY_NONE,    /* no next hop, and no kernel that could find one */
};

/* The bytes of a packet, to be written. */
struct nest_frame {
	__u8 *start;
	__u8 *end;
};

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
	struct nest_fragment fragment; /* likewise */
	struct nest_backend_key backend_key;
	/* what becomes of the packet; the flags of `out` are 0 when it stays as it is */
	struct nest_rewrite out;
	__u32 outcome; /* NEST_OUTCOME_* */
	/* the ends of a responder's packet as it came, while `packet` has those that its flow knows */
	__be32 wire_source[4];
	__be32 wire_destination[4];
	__be16 wire_source_port;
	__be16 wire_destination_port;
	__u32 is_unfolded; /* `packet` has those of its flow */
	union {
		struct nest_prefix4 prefix4;
		struct nest_prefix6 prefix6;
	};
	struct nest_pair pair;
	/* the judgement */
	__u32 source_identity;
	__u32 destination_identity;
	__u32 match;
	__u16 mapping;   /* that allows the flow */
	__u8 flow_flags; /* NEST_FLOW_* of the one that begins */
	__u8 pad;
	__u32 limit;         /* NEST_TRACE_LIMIT_*, traces only */
	__u32 balancer;      /* that chose: index + 1, 0 = none */
	__u32 ring_position; /* asked */
	__u32 opaque;        /* a number the verifier shall not follow */
	/* per CPU */
	__u64 clock_tick;
	__u64 clock_ns; /* at the tick */
	/* likewise, used in scratch 0 only */
	__u32 deny_second;
	__u32 deny_records;
	__u32 records;
	__u32 too_big_second;
	__u32 too_big_sent;
};

#endif
