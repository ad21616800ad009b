/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* When a flow is over: asked by the verdict at every packet and by the sweep in user space. C and
 * C++. */
#ifndef NEST_FLOW_LIFE_H
#define NEST_FLOW_LIFE_H

#include "abi.h"

#define NEST_PROTOCOL_ICMP   1
#define NEST_PROTOCOL_TCP    6
#define NEST_PROTOCOL_UDP    17
#define NEST_PROTOCOL_ICMPV6 58

#define NEST_SECOND_NS       1000000000ull

static inline __attribute__((always_inline)) int nest_tcp_is_finished(__u8 tcp)
{
	const __u8 both = NEST_TCP_FIN_FORWARD | NEST_TCP_FIN_REVERSE;

	return (tcp & NEST_TCP_RESET) != 0 || (tcp & both) == both;
}

static inline __attribute__((always_inline)) __u64 nest_flow_idle_limit_ns(__u8 protocol, __u8 tcp)
{
	__u64 seconds = NEST_IDLE_OTHER_S;

	if (protocol == NEST_PROTOCOL_TCP) {
		if (nest_tcp_is_finished(tcp))
			seconds = NEST_IDLE_TCP_CLOSING_S;
		else if (tcp & NEST_TCP_ESTABLISHED)
			seconds = NEST_IDLE_TCP_ESTABLISHED_S;
		else
			seconds = NEST_IDLE_TCP_OPENING_S;
	} else if (protocol == NEST_PROTOCOL_UDP) {
		seconds = NEST_IDLE_UDP_S;
	} else if (protocol == NEST_PROTOCOL_ICMP || protocol == NEST_PROTOCOL_ICMPV6) {
		seconds = NEST_IDLE_ICMP_S;
	}
	return seconds * NEST_SECOND_NS;
}

/* Signed: another CPU's reading of the clock may be the newer one. */
static inline __attribute__((always_inline)) int nest_flow_is_idle(const struct nest_flow *flow,
								   __u8 protocol, __u64 now_ns)
{
	return (__s64)(now_ns - flow->last_seen_ns) >
	       (__s64)nest_flow_idle_limit_ns(protocol, flow->tcp);
}

#endif
