/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The verdict on what processes of the host begin: a call of connect or sendmsg is refused, steered to a backend, or
 * let through, by the same deny lists, policy and rings as packets. The port of the source is not known yet: the
 * socket's cookie stands in for it, so that connections spread over the backends and a socket keeps its own.
 */
#ifndef NEST_LOCAL_H
#define NEST_LOCAL_H

#include "balance.h"
#include "decision.h"
#include "deny.h"
#include "nat.h"
#include "policy.h"

#include "local_kernel.h"

#define NEST_PROTOCOL_UDPLITE 136

/* What a call asked for, and what becomes of it. */
struct nest_local_call {
	struct nest_local_key key; /* of the socket, with the end that it is to talk to */
	struct nest_local_peer peer;
	enum nest_reason reason;
	bool is_stream;
};

static __always_inline __u8 nest_local_l4(__u32 protocol)
{
	if (protocol == NEST_PROTOCOL_TCP)
		return NEST_L4_TCP;
	if (protocol == NEST_PROTOCOL_UDP || protocol == NEST_PROTOCOL_UDPLITE)
		return NEST_L4_UDP;
	if (protocol == NEST_PROTOCOL_ICMP || protocol == NEST_PROTOCOL_ICMPV6)
		return NEST_L4_ICMP;
	return NEST_L4_OTHER;
}

/* What never leaves the host by an interface that policy speaks of: loopback, and "this host". */
static __always_inline bool nest_local_is_loopback(const struct nest_local_key *key)
{
	const __be32 *address = key->address;

	if (key->family == 4)
		return (nest_from_be32(address[0]) >> 24) == 127 || address[0] == 0;
	return (address[0] | address[1] | address[2]) == 0 && nest_from_be32(address[3]) <= 1;
}

/* The backend for the call, at the place in the ring where its first packet would stand. */
static __always_inline enum nest_reason nest_local_steer(struct nest_scratch *scratch,
							 const struct nest_balancer *balancer,
							 struct nest_local_call *call)
{
	struct nest_packet *packet = &scratch->packet;
	const struct nest_backend *backend;
	__u16 index;

	packet->source_port =
		(__be16)nest_hash_word((__u32)call->key.cookie, (__u32)(call->key.cookie >> 32));
	index = nest_balance_choose(scratch, balancer);
	backend = index == NEST_BACKEND_NONE
			  ? NULL
			  : nest_runtime_backend(scratch->control.sequence & 1, index);
	if (!backend)
		return NEST_REASON_NO_BACKEND;
	for (int i = 0; i < 4; i++) {
		call->peer.address[i] = call->key.address[i];
		call->key.address[i] = backend->address[i];
	}
	call->peer.port = call->key.port;
	if (backend->port)
		call->key.port = nest_to_be16(backend->port);
	call->peer.backend = index;
	call->peer.flags = NEST_LOCAL_STEERED;
	return NEST_REASON_POLICY_ALLOW;
}

static __always_inline void nest_local_account(const struct nest_scratch *scratch,
					       const struct nest_local_call *call)
{
	struct nest_local_counter *counter =
		nest_local_counter_of(scratch->control.sequence, call->peer.mapping);

	if (counter)
		nest_runtime_add(
			nest_is_dropped(call->reason) ? &counter->refused : &counter->allowed, 1);
	nest_local_count_reason(call->reason);
}

/* Judges the packet that the call would send. */
static __always_inline enum nest_reason nest_local_rule(struct nest_scratch *scratch,
							struct nest_local_call *call)
{
	const struct nest_action *action;
	const struct nest_balancer *balancer;
	enum nest_reason reason;

	if (nest_deny_judge(scratch, true))
		return NEST_REASON_DENY_LIST;
	reason = nest_policy_judge(scratch, false, &call->peer.mapping, &action);
	balancer = nest_action_balancer(scratch, action);
	if (!balancer)
		return reason;
	if (scratch->packet.l4 != NEST_L4_TCP && scratch->packet.l4 != NEST_L4_UDP)
		return NEST_REASON_NOT_TRANSLATABLE;
	return nest_local_steer(scratch, balancer, call);
}

/* The judgement on a call in call->reason; scratch->packet.source is zero or what the socket is bound to. */
static __always_inline void nest_local_judge_call(struct nest_scratch *scratch,
						  struct nest_local_call *call, __u32 protocol)
{
	struct nest_packet *packet = &scratch->packet;
	__be32 bound = 0;

	packet->length = 0;
	packet->family = call->key.family;
	packet->protocol = (__u8)protocol;
	packet->l4 = nest_local_l4(protocol);
	packet->destination_port = call->key.port;
	for (int i = 0; i < 4; i++) {
		packet->destination[i] = call->key.address[i];
		bound |= packet->source[i];
	}
	if (!bound)
		nest_local_source(scratch);
	call->peer.sequence = scratch->control.sequence;
	call->reason = nest_unless_empty(scratch, nest_local_rule(scratch, call));
	nest_local_account(scratch, call);
	if (nest_is_dropped(call->reason))
		return;
	if (call->peer.flags || (call->is_stream && call->reason == NEST_REASON_POLICY_ALLOW))
		nest_local_peer_store(&call->key, &call->peer);
}

#endif
