/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * Why a packet passed or was dropped. Numbered once: proto/nest/v1/reason.proto,
 * proto/model/reason.ts and docs/ERRORS.md carry the same list and a test holds them equal. Numbers
 * are never reused.
 */
#ifndef NEST_REASON_H
#define NEST_REASON_H

/* X(number, name, dropped) */
/* clang-format off */
#define NEST_REASONS(X) \
	X(0, UNSPECIFIED, 0) \
	X(1, NO_POLICY, 0) /* none was ever loaded, or it is empty and the packet unreadable */ \
	X(2, FLOW, 0) /* belongs to an allowed flow */ \
	X(3, POLICY_ALLOW, 0) /* a mapping allows it */ \
	X(4, DEFAULT_ALLOW, 0) /* no mapping matches, the default action allows */ \
	X(5, ARP, 0) /* address resolution always passes */ \
	X(6, NEIGHBOR_DISCOVERY, 0) /* ICMPv6 types 133-137 with hop limit 255 always pass (RFC 4861) */ \
	X(7, NOT_IP, 0) /* another Ethernet protocol: policy speaks of IP only */ \
	X(8, FRAGMENT, 0) /* later fragment of an allowed datagram */ \
	X(9, POLICY_DENY, 1) /* a mapping denies it */ \
	X(10, DEFAULT_DENY, 1) /* no mapping matches, the default action denies */ \
	X(11, TRUNCATED, 1) /* a header reaches past the end of the packet */ \
	X(12, MALFORMED, 1) /* a header contradicts itself (length, version) */ \
	X(13, TOO_MANY_TAGS, 1) /* more than two VLAN tags */ \
	X(14, TOO_MANY_HEADERS, 1) /* more than eight IPv6 extension headers */ \
	X(15, FRAGMENT_UNKNOWN, 1) /* later fragment without a first one that was allowed */ \
	X(16, TABLE_MISSING, 0) /* a policy table is absent: passes, and health reports it */ \
	X(17, FLOW_RELATED, 0) /* an ICMP error about an allowed flow */ \
	X(18, DENY_LIST, 1) /* the source or the destination is on a deny list */ \
	X(19, RATE_LIMIT, 1) /* over the rate limit of its mapping */ \
	X(20, NO_BACKEND, 1) /* a balancer allows it, but none of its backends is up */ \
	X(21, NAT_EXHAUSTED, 1) /* no address or no free port for source NAT */ \
	X(22, NOT_TRANSLATABLE, 1) /* a balancer or source NAT allows it, but it has no port to translate */ \
	X(23, NO_ROUTE, 1) /* rewritten, and no next hop is known to an engine without the kernel */ \
	X(24, TOO_BIG, 1) /* rewritten, and larger than the way out takes: answered by ICMP */
/* clang-format on */

enum nest_reason {
#define NEST_REASON_MEMBER(number, name, dropped) NEST_REASON_##name = number,
	NEST_REASONS(NEST_REASON_MEMBER)
#undef NEST_REASON_MEMBER
};

#define NEST_REASON_COUNT 25
#define NEST_REASON_SLOTS 32 /* room in the counters; a power of two */

#endif
