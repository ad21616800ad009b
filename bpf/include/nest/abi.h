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
#define NEST_IDENTITIES_MAX     262144u /* per address family */

/* At these the least recently used entry goes: its flow is judged anew, its fragments are dropped. */
#define NEST_FLOWS_MAX     131072u /* per address family */
#define NEST_FRAGMENTS_MAX 8192u

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

#define NEST_TCP_SYN_SEEN          1u /* from the initiator */
#define NEST_TCP_ESTABLISHED       2u /* the responder has answered */
#define NEST_TCP_FIN_FORWARD       4u
#define NEST_TCP_FIN_REVERSE       8u
#define NEST_TCP_RESET             16u

/* One cache line. packets and bytes: [0] from the initiator, [1] from the responder. */
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

/* ---- flow records (ring buffer) ---- */
#define NEST_RECORD_START    1u
#define NEST_RECORD_END      2u /* reset, or both sides finished; idle ends are found by the sweep */
#define NEST_RECORD_DENY     3u /* sampled */
#define NEST_RECORD_REJUDGED 4u /* a new policy ended it: the reason and the mapping say which */
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
	__u8 pad;
	__u16 source_port; /* initiator; ICMP: identifier */
	__u16 destination_port;
	__u8 source[16]; /* IPv4 in the first four */
	__u8 destination[16];
	__u32 age_ms; /* since the flow's first packet, at least 1; 0 = not known (deny). Saturates.
		       */
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

_Static_assert(sizeof(struct nest_control) == 8, "one store swaps the policy");
_Static_assert(sizeof(struct nest_prefix4) == 8, "nest_prefix4");
_Static_assert(sizeof(struct nest_prefix6) == 20, "nest_prefix6");
_Static_assert(sizeof(struct nest_pair) == 12, "nest_pair");
_Static_assert(sizeof(struct nest_flow_key4) == 16, "nest_flow_key4");
_Static_assert(sizeof(struct nest_flow_key6) == 40, "nest_flow_key6");
_Static_assert(sizeof(struct nest_flow) == 64, "one cache line");
_Static_assert(sizeof(struct nest_fragment_key) == 40, "nest_fragment_key");
_Static_assert(sizeof(struct nest_record) == 96, "nest_record");
_Static_assert(sizeof(struct nest_trace) == 32, "XDP metadata limit of older kernels");

#endif
