/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The contract between the verdict (bpf/lib), the engine (native/src) and the table image
 * (native/image). Everything both sides know lives here and nowhere else. Integers are
 * little-endian in the image and native-endian in maps; addresses are network order everywhere;
 * ports are host order unless named _be.
 */
#ifndef NEST_ABI_H
#define NEST_ABI_H

#include <linux/types.h>

#include "reason.h"

/*
 * ---- limits (docs/adr/0003-policy-tables.md) ----
 * Beyond the first four the compiler refuses the policy and names the mapping that crossed it.
 */
#define NEST_MAPPINGS_MAX       16384u
#define NEST_PAIRS_MAX          1048576u
#define NEST_PORT_INTERVALS_MAX 2097152u
#define NEST_IDENTITIES_MAX     262144u  /* per address family */
#define NEST_DENY_PREFIXES_MAX  1048576u /* per address family, of all lists */
#define NEST_DENY_LISTS_MAX     256u
#define NEST_BALANCERS_MAX      512u
#define NEST_BACKENDS_MAX       16384u

/* Prefixes that may be added to the deny tables of a loaded policy, per table. */
#define NEST_DENY_ROOM 65536u

/* At these the least recently used entry goes: its flow is judged anew, its fragments are dropped. */
#define NEST_FLOWS_MAX     131072u /* per address family */
#define NEST_FRAGMENTS_MAX 8192u
#define NEST_SOURCES_MAX   65536u /* sources with a rate limit: the one that goes begins anew */

/* At these, attaching is refused. */
#define NEST_INTERFACES_MAX      64u
#define NEST_INTERFACE_INDEX_MAX 65536u

/* At these, records are lost or suppressed, and counted. */
#define NEST_RECORD_RING_BYTES       (4u << 20)
#define NEST_DENY_RECORDS_PER_SECOND 1000u /* per CPU */

#define NEST_VLAN_TAGS_MAX           2
#define NEST_IPV6_EXTENSIONS_MAX     8

/* ---- idle limits of flows, seconds ---- */
#define NEST_IDLE_TCP_OPENING_S     60u
#define NEST_IDLE_TCP_ESTABLISHED_S 7200u
#define NEST_IDLE_TCP_CLOSING_S     10u
#define NEST_IDLE_UDP_S             60u
#define NEST_IDLE_ICMP_S            30u
#define NEST_IDLE_OTHER_S           60u

/* ---- transport classes of the policy table ---- */
#define NEST_L4_TCP   1u
#define NEST_L4_UDP   2u
#define NEST_L4_ICMP  3u /* ICMP and ICMPv6 */
#define NEST_L4_OTHER 4u

/* ---- identity 0 is "no service", and in a pair key it is "any" ---- */
#define NEST_IDENTITY_ANY 0u

/*
 * A match as one comparable word: (priority * 2 + deny + 1) << 16 | (0xffff ^ mapping index).
 * The larger wins: higher priority first, then deny, then the mapping whose name sorts first. 0 is
 * "no match".
 */
#define NEST_MATCH_NONE            0u
#define NEST_MATCH_IS_DENY(match)  (((((match) >> 16) - 1u) & 1u) != 0u)
#define NEST_MATCH_MAPPING(match)  (((match) & 0xffffu) ^ 0xffffu)
#define NEST_MATCH_PRIORITY(match) ((((match) >> 16) - 1u) >> 1)

/* Index of the default action in the per-mapping counters, and the mapping of a flow it allowed. */
#define NEST_MAPPING_DEFAULT  NEST_MAPPINGS_MAX
#define NEST_MAPPING_COUNTERS (2u * (NEST_MAPPINGS_MAX + 1u))

/*
 * nest_control[0]: written as one aligned 64-bit store, which is the whole policy swap. The tables
 * in use are those of slot (sequence & 1). sequence 0 means that no policy was ever loaded:
 * everything passes.
 */
#define NEST_FLAG_ENFORCE      1u /* unset: the policy is empty and drops nothing */
#define NEST_FLAG_DEFAULT_DENY 2u /* what happens when nothing matches */
#define NEST_FLAG_DENY         4u /* there are deny lists */
#define NEST_FLAG_FLOOD        8u /* deny lists come before the flow table; never in an image */
struct nest_control {
	__u32 sequence;
	__u32 flags;
};
/* nest_control[1 + slot]: the sequence that filled the slot, and its number of mappings in `flags`.
 * User space only. */
#define NEST_CONTROL_TABLES  1u
#define NEST_CONTROL_ENTRIES 3u

/* ---- policy tables: map keys and values ---- */
struct nest_prefix4 {
	__u32 length; /* bits, 0..32 */
	__u8 address[4];
};

struct nest_prefix6 {
	__u32 length; /* bits, 0..128 */
	__u8 address[16];
};

struct nest_identity {
	__u32 source; /* class of the address as a source, 0 = in no service that a mapping uses as
			 source */
	__u32 destination; /* likewise as a destination */
};

struct nest_pair {
	__u32 source;
	__u32 destination;
	__u8 l4; /* NEST_L4_* */
	__u8 pad[3];
};

/* count 1: first is the match itself, for all ports. More: intervals first .. first + count - 1 of
 * nest_ports. */
struct nest_port_set {
	__u32 first;
	__u32 count;
};

/* An interval reaches to the start of the next one, the last to 65535. Sorted by start; the first
 * starts at 0. */
struct nest_port_interval {
	__u32 start; /* destination port */
	__u32 match;
};

/* ---- what a mapping does beyond allow and deny: nest_actions, by mapping index ---- */
#define NEST_ACTION_LIMIT_PER_SOURCE 1u /* IPv4: per address; IPv6: per /64 */
#define NEST_ACTION_SNAT             2u /* source NAT to the address below; 0 = of no use in that family */
#define NEST_ACTION_MASQUERADE       4u /* source NAT to the address of the interface it leaves by */

#define NEST_DSCP_KEEP               0xffu

/* All zero is an allow or deny without more, except that dscp is NEST_DSCP_KEEP. */
struct nest_action {
	__u64 packets_per_second; /* 0 = no limit, else 1 .. 1e9 */
	__u64 bytes_per_second;   /* 0 = no limit, else 1 .. 1e12; length on the wire */
	__u64 burst_packets;      /* depth of the bucket, 1 .. 1e9 */
	__u64 burst_bytes;        /* 1514 .. 4e9 */
	__u32 balancer;           /* index + 1, 0 = none */
	__u8 dscp;                /* 0..63, or NEST_DSCP_KEEP */
	__u8 flags;               /* NEST_ACTION_* */
	__u8 pad[2];
	__be32 source4;
	__be32 source6[4];
	__u32 reserved;
};

/*
 * A token bucket, exact to a billionth of a packet or byte. What is in use of a level is level - rate *
 * now, modulo 2^64; time overtakes it when the bucket is full. refilled_ns: levels are known to be right
 * from then on. All zero is a full bucket that was never used (limit.h).
 */
struct nest_bucket {
	__u64 refilled_ns; /* precise monotonic clock; 0 = never */
	__u64 packets_used;
	__u64 bytes_used;
};

struct nest_source_key {
	__u32 mapping; /* with the half of its policy, as in nest_map_count */
	__u8 family;
	__u8 pad[3];
	__be32 address[4]; /* IPv4 in [0]; IPv6: [0] and [1] */
};

/* ---- deny lists ---- */
struct nest_deny {
	__u32 list; /* index of the list, 0 .. NEST_DENY_LISTS_MAX - 1 */
};

/* ---- balancers ---- */
#define NEST_RING_SIZE       65537u /* Maglev: prime (docs/adr/0006) */
#define NEST_RING_SLOTS      65540u /* rounded to eight bytes */
#define NEST_RING_NONE       0xffffffffu
#define NEST_BACKEND_NONE    0xffffu

#define NEST_NAT_DESTINATION 1u
#define NEST_NAT_FULL        2u /* destination, and source to the address of the way out */
#define NEST_NAT_DIRECT      3u /* the backend answers by itself: only the MAC address changes */

#define NEST_BACKEND_UP      0u
#define NEST_BACKEND_DRAIN   1u /* keeps its flows, gets no new ones */
#define NEST_BACKEND_DOWN    2u /* its flows go elsewhere at their next packet */

struct nest_balancer {
	__u32 mapping;
	__u32 ring4; /* index of the ring of its IPv4 backends; NEST_RING_NONE = it has none */
	__u32 ring6;
	__u32 first_backend;
	__u16 backend_count;
	__u8 nat;       /* NEST_NAT_* */
	__u8 by_source; /* affinity: the ring is asked by source address alone */
	__u32 pad;
};

/* One element of nest_rings. */
struct nest_ring {
	__u16 backend[NEST_RING_SLOTS]; /* index in nest_backends, or NEST_BACKEND_NONE */
};

struct nest_backend {
	__be32 address[4]; /* IPv4 in [0] */
	__u16 port;        /* 0 = as in the packet */
	__u16 weight;      /* 0..1000; 0 is never chosen */
	__u8 family;       /* 4 or 6 */
	__u8 state;        /* NEST_BACKEND_* */
	__u8 pad[2];
	__u32 seed; /* of its name, address and port: where it stands in the ring */
	__u32 balancer;
};

/* Finds the backend of a flow again after the policy has changed. */
struct nest_backend_key {
	__u32 balancer;
	__u16 port; /* as in nest_backend */
	__u8 family;
	__u8 pad;
	__be32 address[4];
};

/* Addresses of an interface, for masquerade; 0 = none. */
struct nest_interface_address {
	__be32 address4;
	__be32 address6[4];
};

/* nest_tx_ports, by interface index: what may be sent there without the kernel. */
#define NEST_PORT_TX 1u /* XDP_TX and XDP_REDIRECT arrive */

/* Source NAT takes its ports from here, an equal share per CPU. */
#define NEST_NAT_PORT_FIRST 32768u
#define NEST_NAT_PORTS      28232u
#define NEST_NAT_TRIES_MAX  8u

/* A next hop is asked for again after this. */
#define NEST_ROUTE_LIFE_S 1u

/* ---- flows ---- */
/* Endpoints are sorted (address, then port, as numbers): both directions have one key. ICMP echo:
 * id in both ports. */
struct nest_flow_key4 {
	__be32 address[2];
	__be16 port[2];
	__u8 protocol;
	__u8 pad[3];
};

struct nest_flow_key6 {
	__be32 address[2][4];
	__be16 port[2];
	__u8 protocol;
	__u8 pad[3];
};

#define NEST_FLOW_INITIATOR_SECOND 1u /* endpoint 1 of the key sent the first packet */
#define NEST_FLOW_REWRITE          2u /* the second cache line says how */
#define NEST_FLOW_LIMITED          4u /* its mapping has a rate limit: each packet asks */
#define NEST_FLOW_ALIAS            8u /* the responder's side of a translated flow, under its own key */
#define NEST_FLOW_BALANCED         16u /* rewrite.backend was chosen by a balancer */
/* The host's own, sent to a backend when it connected: rewrite.source is the virtual end that policy speaks of. */
#define NEST_FLOW_STEERED        32u

#define NEST_TCP_SYN_SEEN        1u /* from the initiator */
#define NEST_TCP_ESTABLISHED     2u /* the responder has answered */
#define NEST_TCP_FIN_FORWARD     4u
#define NEST_TCP_FIN_REVERSE     8u
#define NEST_TCP_RESET           16u

#define NEST_REWRITE_SOURCE      1u
#define NEST_REWRITE_DESTINATION 2u
#define NEST_REWRITE_DSCP        4u
#define NEST_REWRITE_DIRECT      8u /* the MAC address only; no TTL is taken */
/* Leaves by `egress` with these MAC addresses; unset: the kernel routes. */
#define NEST_REWRITE_ROUTED 16u

/* What changes in a packet of a flow, and the way it leaves. One cache line. */
struct nest_rewrite {
	__be32 source[4]; /* after the rewrite; IPv4 in [0] */
	__be32 destination[4];
	__be16 source_port;
	__be16 destination_port;
	__u8 flags; /* NEST_REWRITE_* */
	__u8 dscp;
	__u16 backend; /* index of the policy that stamped the flow, NEST_BACKEND_NONE = none */
	__u32 egress;  /* interface index */
	__u32 route_second; /* of the coarse clock, when the next hop was asked for */
	__u16 mtu;          /* of the way out, 0 = not known */
	__u8 destination_mac[6];
	__u8 source_mac[6];
	__u8 pad[2];
};

/*
 * Two cache lines, of which a flow without a rewrite needs the first. packets and bytes: [0] from
 * the initiator, [1] from the responder. A translated flow has two entries: under the initiator's
 * key the forward direction, under the responder's (NEST_FLOW_ALIAS) the reverse one; the key of the
 * other entry is that of the rewritten packet.
 */
struct nest_flow {
	__u64 first_seen_ns; /* coarse monotonic clock */
	__u64 last_seen_ns;
	__u64 packets[2];
	__u64 bytes[2];
	/*
	 * Of the policy that last allowed it; another one in nest_control means: judge again. 0: a
	 * new policy cut it. Such an entry is no flow any more: it is judged at each packet, in the
	 * initiator's direction, so that the responder's packets do not start the connection anew
	 * from their side. A first SYN is judged as new.
	 */
	__u32 sequence;
	__u32 interface;
	__u16 mapping; /* index, or NEST_MAPPING_DEFAULT */
	__u8 flags;
	__u8 tcp;
	__u8 reason; /* that allowed it */
	__u8 pad[3];
	struct nest_rewrite rewrite;
};

/* Later fragments follow the first one's verdict. */
struct nest_fragment_key {
	__be32 source[4]; /* IPv4: in [0], the rest 0 */
	__be32 destination[4];
	__be32 identification;
	__u8 protocol;
	__u8 family; /* 4 or 6 */
	__u8 pad[2];
};

struct nest_fragment {
	__u32 sequence;
	__u32 mapping;
	__u64 seen_ns;
	struct nest_rewrite rewrite; /* flags 0: none */
};
#define NEST_FRAGMENT_LIFE_S 30u

/* ---- counters ---- */
struct nest_counter {
	__u64 packets;
	__u64 bytes; /* length on the wire from the Ethernet header on */
};

#define NEST_LOSS_RING_FULL  0u /* records that did not fit the ring */
#define NEST_LOSS_SUPPRESSED 1u /* deny records over the per-second budget */
#define NEST_LOSS_FLOW_TABLE 2u /* flows that could not be inserted */
#define NEST_LOSS_KINDS      3u

/* Plain sums per CPU. */
#define NEST_STAT_JUDGED    0u /* packets that no live flow settled, flood drops too: the miss rate */
#define NEST_STAT_TOO_BIG   1u /* ICMP messages sent because a packet was too big */
#define NEST_STAT_KERNEL    2u /* rewritten packets that the kernel routes */
#define NEST_STAT_FORWARDED 3u /* rewritten packets that left without the kernel */
#define NEST_STAT_KINDS     4u

struct nest_backend_counter {
	__u64 flows; /* begun */
	__u64 packets;
	__u64 bytes;
};

/* ---- flow records (ring buffer) ---- */
#define NEST_RECORD_START    1u
#define NEST_RECORD_END      2u /* reset, or both sides finished; idle ends are found by the sweep */
#define NEST_RECORD_DENY     3u /* sampled */
#define NEST_RECORD_REJUDGED 4u /* a new policy ended it: the reason and the mapping say which */
#define NEST_RECORD_PERIODIC 5u /* written by user space from the flow table */
struct nest_record {
	__u64 time_ns;
	__u64 packets[2];
	__u64 bytes[2];
	__u32 interface;
	__u32 sequence;
	__u16 mapping;
	__u8 kind;
	__u8 reason;
	__u8 family; /* 4 or 6 */
	__u8 protocol;
	__u8 tcp_flags; /* of the packet that caused the record */
	__u8 rewrite; /* NEST_REWRITE_SOURCE, _DESTINATION, _DIRECT; 0: the ends below are not written */
	__u16 source_port; /* initiator; ICMP: identifier */
	__u16 destination_port;
	__u8 source[16]; /* IPv4 in the first four */
	__u8 destination[16];
	__u32 age_ms; /* since the flow's first packet, at least 1; 0 = not known (deny). Saturates.
		       */
	__u8 rewritten_source[16]; /* the initiator's packets as they leave, as in nest_rewrite */
	__u8 rewritten_destination[16];
	__u16 rewritten_source_port;
	__u16 rewritten_destination_port;
	__u16 backend; /* of a balanced flow, else NEST_BACKEND_NONE; of the policy that stamped it */
	__u8 pad[2];
};

/*
 * ---- trace ----
 * A packet run by BPF_PROG_TEST_RUN with this structure as its XDP metadata is traced: the loaded
 * program takes the same way through the same tables, fills the structure in, and touches no flow,
 * counter or record. 32 bytes, the most that kernels before 6.x allow. The magic is drawn at load
 * time and kept in read-only data, so that a packet from the wire cannot ask for it.
 */
struct nest_trace {
	__u64 magic; /* in */
	__u8 reason;
	__u8 family; /* 0 = not IP, 4, 6 */
	__u8 l4;     /* NEST_L4_*, 0 = not reached */
	__u8 flow;   /* NEST_TRACE_FLOW_* */
	__u32 source_identity;
	__u32 destination_identity;
	__u32 match; /* as in the policy table, NEST_MATCH_NONE = the default action */
	__u32 sequence;
	__u16 l4_offset; /* bytes from the Ethernet header, 0 = not reached */
	__u8 vlan_tags;
	__u8 parse; /* NEST_TRACE_PARSE_* */
};
#define NEST_TRACE_FLOW_NOT_ASKED        0u
#define NEST_TRACE_FLOW_MISS             1u
#define NEST_TRACE_FLOW_HIT              2u
#define NEST_TRACE_FLOW_STALE            3u /* known, judged by an older policy: judged again */
#define NEST_TRACE_FLOW_IDLE             4u /* known, but idle for too long: judged as new */
#define NEST_TRACE_FLOW_CLOSED           5u /* known, but ended: judged as new */
#define NEST_TRACE_PARSE_IPV4_OPTIONS    1u
#define NEST_TRACE_PARSE_IPV6_EXTENSIONS 2u
#define NEST_TRACE_PARSE_FIRST_FRAGMENT  4u
#define NEST_TRACE_PARSE_LATER_FRAGMENT  8u

/*
 * What does not fit the metadata: nest_trace_more[0], filled in by each traced packet. Traces are run
 * one at a time.
 */
struct nest_trace_more {
	struct nest_rewrite rewrite; /* flags 0: the packet stays as it is */
	__u32 deny_list;             /* index + 1, 0 = none */
	__u32 balancer;              /* index + 1, 0 = none */
	__u32 ring_position;         /* asked, when a balancer chose */
	__u8 action;                 /* NEST_OUTCOME_* */
	__u8 limit;                  /* NEST_TRACE_LIMIT_* */
	__u8 pad[2];
};
#define NEST_TRACE_LIMIT_NONE   0u /* no limit applies */
#define NEST_TRACE_LIMIT_WITHIN 1u
#define NEST_TRACE_LIMIT_OVER   2u

/* What becomes of a packet. */
#define NEST_OUTCOME_PASS     0u /* to the kernel, rewritten or not */
#define NEST_OUTCOME_DROP     1u
#define NEST_OUTCOME_TX       2u /* out of the interface it came by */
#define NEST_OUTCOME_REDIRECT 3u /* out of rewrite.egress */

_Static_assert(sizeof(struct nest_control) == 8, "one store swaps the policy");
_Static_assert(sizeof(struct nest_prefix4) == 8, "nest_prefix4");
_Static_assert(sizeof(struct nest_prefix6) == 20, "nest_prefix6");
_Static_assert(sizeof(struct nest_pair) == 12, "nest_pair");
_Static_assert(sizeof(struct nest_flow_key4) == 16, "nest_flow_key4");
_Static_assert(sizeof(struct nest_flow_key6) == 40, "nest_flow_key6");
_Static_assert(sizeof(struct nest_action) == 64, "nest_action");
_Static_assert(sizeof(struct nest_bucket) == 24, "nest_bucket");
_Static_assert(sizeof(struct nest_source_key) == 24, "nest_source_key");
_Static_assert(sizeof(struct nest_balancer) == 24, "nest_balancer");
_Static_assert(sizeof(struct nest_ring) == 131080, "nest_ring");
_Static_assert(sizeof(struct nest_backend) == 32, "nest_backend");
_Static_assert(sizeof(struct nest_backend_key) == 24, "nest_backend_key");
_Static_assert(sizeof(struct nest_rewrite) == 64, "one cache line");
_Static_assert(sizeof(struct nest_flow) == 128, "two cache lines");
_Static_assert(sizeof(struct nest_fragment) == 80, "nest_fragment");
_Static_assert(sizeof(struct nest_trace_more) == 80, "nest_trace_more");
_Static_assert(sizeof(struct nest_fragment_key) == 40, "nest_fragment_key");
_Static_assert(sizeof(struct nest_record) == 136, "nest_record");
_Static_assert(sizeof(struct nest_trace) == 32, "XDP metadata limit of older kernels");

#endif
