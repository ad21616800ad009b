/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * What the host itself sends: hooks in the root of the control groups judge connect and sendmsg and steer them to
 * backends, sock_ops accounts for the connections, and programs at the egress of interfaces judge packets and keep the
 * flow table. All logic is in bpf/lib; here contexts become calls and packets.
 */
#include "lib/local.h"
#include "lib/local_egress.h"

#define NEST_ALLOW        1
#define NEST_REFUSE       0
#define NEST_TC_NEXT      (-1) /* TC_ACT_UNSPEC: whoever comes next in the chain */
#define NEST_TC_DROP      2
#define NEST_MAPPED_WORD  bpf_htonl(0xffff) /* ::ffff:0:0/96: IPv4 through an IPv6 socket */
#define NEST_HEADER_BYTES 128               /* of a packet whose headers do not lie in one piece */
#define NEST_LINEAR_BYTES                                                                          \
	54 /* Ethernet, IPv4 and TCP: the kernel's own sockets put all headers in one piece */

_Static_assert(NEST_LOCAL_TAIL_JUDGE == NEST_TAIL_JUDGE && NEST_LOCAL_TAIL_RULE == NEST_TAIL_RULE &&
		       NEST_LOCAL_TAIL_BEGIN == NEST_TAIL_BEGIN &&
		       NEST_LOCAL_TAIL_CONTINUE == NEST_TAIL_CONTINUE,
	       "one numbering");

/* The end that the process named, as IPv4 when it is. */
static __always_inline void nest_context_key(struct bpf_sock_addr *context, bool is_ipv6,
					     struct nest_local_key *key)
{
	key->cookie = bpf_get_socket_cookie(context);
	key->port = (__be16)context->user_port;
	if (!is_ipv6) {
		key->family = 4;
		key->address[0] = context->user_ip4;
		return;
	}
	key->address[0] = context->user_ip6[0];
	key->address[1] = context->user_ip6[1];
	key->address[2] = context->user_ip6[2];
	key->address[3] = context->user_ip6[3];
	key->family = 6;
	if ((key->address[0] | key->address[1]) != 0 || key->address[2] != NEST_MAPPED_WORD)
		return;
	key->family = 4;
	key->address[0] = key->address[3];
	key->address[2] = 0;
	key->address[3] = 0;
}

static __always_inline void nest_context_aim(struct bpf_sock_addr *context, bool is_ipv6,
					     __u8 family, const __be32 *address, __be16 port)
{
	context->user_port = port;
	if (!is_ipv6) {
		context->user_ip4 = address[0];
	} else if (family == 4) {
		context->user_ip6[3] = address[0];
	} else {
		context->user_ip6[0] = address[0];
		context->user_ip6[1] = address[1];
		context->user_ip6[2] = address[2];
		context->user_ip6[3] = address[3];
	}
}

/* What the socket is bound to, zero when nothing. */
static __always_inline void nest_context_source(const struct bpf_sock_addr *context, __u8 family,
						__be32 *source)
{
	struct bpf_sock *socket = context->sk;

	source[0] = 0;
	source[1] = 0;
	source[2] = 0;
	source[3] = 0;
	if (!socket)
		return;
	if (family == 4) {
		source[0] = socket->src_ip4;
		return;
	}
	source[0] = socket->src_ip6[0];
	source[1] = socket->src_ip6[1];
	source[2] = socket->src_ip6[2];
	source[3] = socket->src_ip6[3];
}

static __always_inline int nest_call(struct bpf_sock_addr *context, bool is_ipv6, bool is_send)
{
	struct nest_local_call call = {.peer.backend = NEST_BACKEND_NONE};
	const __u32 protocol = context->protocol;
	const struct nest_local_self *self;
	struct nest_scratch *scratch;
	__u32 lane = 0;

	nest_context_key(context, is_ipv6, &call.key);
	if (nest_local_is_loopback(&call.key))
		return NEST_ALLOW;
	self = nest_local_who();
	/* Containers have interfaces of their own, where their packets are judged. */
	if (!self ||
	    (self->namespace_cookie && self->namespace_cookie != bpf_get_netns_cookie(context)))
		return NEST_ALLOW;
	if (self->process && self->process == bpf_get_current_pid_tgid() >> 32) {
		call.peer.mapping = NEST_MAPPING_DEFAULT;
		call.peer.flags = NEST_LOCAL_OWN;
		nest_local_peer_store(&call.key, &call.peer);
		return NEST_ALLOW;
	}
	scratch = nest_local_enter(&lane);
	if (!scratch) {
		nest_local_count_reason(NEST_REASON_TABLE_MISSING);
		return NEST_ALLOW;
	}
	scratch->control = nest_runtime_control();
	nest_packet_clear(&scratch->packet);
	nest_context_source(context, call.key.family, scratch->packet.source);
	call.is_stream = !is_send && protocol == NEST_PROTOCOL_TCP;
	if (scratch->control.sequence == 0)
		call.reason = NEST_REASON_NO_POLICY;
	else
		nest_local_judge_call(scratch, &call, protocol);
	nest_local_leave(lane);
	if (nest_is_dropped(call.reason))
		return NEST_REFUSE;
	if (call.peer.flags & NEST_LOCAL_STEERED)
		nest_context_aim(context, is_ipv6, call.key.family, call.key.address,
				 call.key.port);
	return NEST_ALLOW;
}

/* The peer that a steered socket asked for, in the place of the backend. */
static __always_inline int nest_show(struct bpf_sock_addr *context, bool is_ipv6)
{
	struct nest_local_key key = {};
	const struct nest_local_peer *peer;

	nest_context_key(context, is_ipv6, &key);
	peer = nest_local_peer_find(&key);
	if (peer && peer->flags & NEST_LOCAL_STEERED)
		nest_context_aim(context, is_ipv6, key.family, peer->address, peer->port);
	return NEST_ALLOW;
}

SEC("cgroup/connect4")
int nest_connect4(struct bpf_sock_addr *context)
{
	return nest_call(context, false, false);
}

SEC("cgroup/connect6")
int nest_connect6(struct bpf_sock_addr *context)
{
	return nest_call(context, true, false);
}

SEC("cgroup/sendmsg4")
int nest_sendmsg4(struct bpf_sock_addr *context)
{
	return nest_call(context, false, true);
}

SEC("cgroup/sendmsg6")
int nest_sendmsg6(struct bpf_sock_addr *context)
{
	return nest_call(context, true, true);
}

SEC("cgroup/recvmsg4")
int nest_recvmsg4(struct bpf_sock_addr *context)
{
	return nest_show(context, false);
}

SEC("cgroup/recvmsg6")
int nest_recvmsg6(struct bpf_sock_addr *context)
{
	return nest_show(context, true);
}

SEC("cgroup/getpeername4")
int nest_getpeer4(struct bpf_sock_addr *context)
{
	return nest_show(context, false);
}

SEC("cgroup/getpeername6")
int nest_getpeer6(struct bpf_sock_addr *context)
{
	return nest_show(context, true);
}

static __always_inline void nest_sockops_key(struct bpf_sock_ops *context,
					     struct nest_local_key *key)
{
	key->cookie = bpf_get_socket_cookie(context);
	/* In network order, in the upper half. */
	key->port = (__be16)(context->remote_port >> 16);
	key->family = 4;
	key->address[0] = context->remote_ip4;
	if (context->family != NEST_AF_INET6)
		return;
	if ((context->remote_ip6[0] | context->remote_ip6[1]) == 0 &&
	    context->remote_ip6[2] == NEST_MAPPED_WORD) {
		key->address[0] = context->remote_ip6[3];
		return;
	}
	key->family = 6;
	key->address[0] = context->remote_ip6[0];
	key->address[1] = context->remote_ip6[1];
	key->address[2] = context->remote_ip6[2];
	key->address[3] = context->remote_ip6[3];
}

/* Accounts for a connection of a mapping when it is established and when it is closed. */
static __always_inline void nest_sockops_state(struct bpf_sock_ops *context,
					       const struct nest_local_key *key,
					       const struct nest_local_peer *peer)
{
	struct nest_local_counter *counter = NULL;
	const __u32 state = context->args[1];

	if (nest_local_is_counted(peer->sequence) && !(peer->flags & NEST_LOCAL_OWN))
		counter = nest_local_counter_of(peer->sequence, peer->mapping);
	if (counter && state == BPF_TCP_ESTABLISHED)
		nest_runtime_add(&counter->established, 1);
	if (state != BPF_TCP_CLOSE)
		return;
	if (counter && context->args[0] != BPF_TCP_SYN_SENT) {
		nest_runtime_add(&counter->closed, 1);
		nest_runtime_add(&counter->bytes_sent, context->bytes_acked);
		nest_runtime_add(&counter->bytes_received, context->bytes_received);
		nest_runtime_add(&counter->segments_sent, context->segs_out);
		nest_runtime_add(&counter->segments_received, context->segs_in);
	}
	nest_local_peer_forget(key);
}

SEC("sockops")
int nest_sockops(struct bpf_sock_ops *context)
{
	struct nest_local_key key = {};
	const struct nest_local_peer *peer;

	/* Of a connection's nine calls or so three matter. */
	if (context->op == BPF_SOCK_OPS_STATE_CB) {
		if (context->args[1] != BPF_TCP_ESTABLISHED && context->args[1] != BPF_TCP_CLOSE)
			return 1;
	} else if (context->op != BPF_SOCK_OPS_TCP_CONNECT_CB) {
		return 1;
	}
	nest_sockops_key(context, &key);
	peer = nest_local_peer_find(&key);
	if (!peer)
		return 1;
	if (context->op == BPF_SOCK_OPS_STATE_CB)
		nest_sockops_state(context, &key, peer);
	else
		bpf_sock_ops_cb_flags_set(context, context->bpf_sock_ops_cb_flags |
							   BPF_SOCK_OPS_STATE_CB_FLAG);
	return 1;
}

/* Counts by reason, and does what the verdict decided. */
static __always_inline int nest_egress_finish(const struct __sk_buff *context,
					      struct nest_scratch *scratch, enum nest_reason reason,
					      __u32 outcome)
{
	const struct nest_packet *packet = &scratch->packet;
	const __u32 segments = context->gso_segs;
	struct nest_counter *counter;

	nest_count_reason(packet, reason);
	if (segments > 1) {
		counter = nest_runtime_interface_counter(packet->interface, reason);
		if (counter)
			counter->packets += segments - 1;
		if (reason == NEST_REASON_FLOW)
			nest_egress_segments(scratch, segments - 1);
	}
	return outcome == NEST_OUTCOME_DROP ? NEST_TC_DROP : NEST_TC_NEXT;
}

static __always_inline int nest_egress_next(struct __sk_buff *context, struct nest_scratch *scratch,
					    __u32 next)
{
	if (next == NEST_TAIL_NONE)
		return nest_egress_finish(context, scratch, scratch->packet.reason,
					  scratch->outcome);
	bpf_tail_call(context, &nest_tail, next);
	return nest_egress_finish(context, scratch, NEST_REASON_TABLE_MISSING, NEST_OUTCOME_PASS);
}

SEC("tc")
int nest_egress(struct __sk_buff *context)
{
	struct nest_scratch *scratch = nest_runtime_scratch(0);
	struct nest_cursor cursor = {};
	enum nest_reason reason;

	/* It came in by an interface: what had to be judged was judged there. */
	if (!scratch || context->ingress_ifindex != 0)
		return NEST_TC_NEXT;
	/* Not always: it copies a header that the socket shares. */
	if ((__u64)context->data + NEST_LINEAR_BYTES > context->data_end)
		bpf_skb_pull_data(context, context->len < NEST_HEADER_BYTES ? context->len
									    : NEST_HEADER_BYTES);
	cursor.start = (const void *)(long)context->data;
	cursor.position = cursor.start;
	cursor.end = (const void *)(long)context->data_end;
	scratch->packet.length = context->wire_len;
	scratch->packet.interface = context->ifindex;
	scratch->control = nest_runtime_control();
	reason = nest_egress_begin(scratch, &cursor, context->len);
	if (reason)
		return nest_egress_finish(context, scratch, reason,
					  nest_is_dropped(reason) ? NEST_OUTCOME_DROP
								  : NEST_OUTCOME_PASS);
	scratch->packet.reason = NEST_REASON_UNSPECIFIED;
	return nest_egress_next(context, scratch, NEST_TAIL_JUDGE);
}

SEC("tc")
int nest_out_judge(struct __sk_buff *context)
{
	struct nest_scratch *scratch = nest_runtime_scratch(0);

	if (!scratch)
		return NEST_TC_NEXT;
	return nest_egress_next(context, scratch,
				nest_egress_judge(scratch, bpf_get_socket_cookie(context)));
}

SEC("tc")
int nest_out_rule(struct __sk_buff *context)
{
	struct nest_scratch *scratch = nest_runtime_scratch(0);

	if (!scratch)
		return NEST_TC_NEXT;
	return nest_egress_next(context, scratch, nest_stage_rule(scratch, false));
}

SEC("tc")
int nest_out_continue(struct __sk_buff *context)
{
	struct nest_scratch *scratch = nest_runtime_scratch(0);

	if (!scratch)
		return NEST_TC_NEXT;
	return nest_egress_next(context, scratch, nest_egress_continue(scratch));
}

SEC("tc")
int nest_out_begin(struct __sk_buff *context)
{
	struct nest_scratch *scratch = nest_runtime_scratch(0);

	if (!scratch)
		return NEST_TC_NEXT;
	return nest_egress_next(context, scratch,
				nest_egress_open(scratch, bpf_get_socket_cookie(context)));
}

char _license[] SEC("license") = "GPL";
