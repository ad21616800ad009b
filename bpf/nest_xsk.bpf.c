/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * Gives the packets of an interface to nest-fastpathd. The kernel takes a socket out of the table when its process
 * dies, whatever the cause: from the next packet on the fallback holds, without anybody having to notice first.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define NEST_XSK_QUEUES_MAX 64

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, NEST_XSK_QUEUES_MAX);
	__type(key, __u32); /* receive queue */
	__type(value, __u32);
} nest_xsk_sockets SEC(".maps");

/* [0]: the kernel's verdict (nest_xdp), where the fallback is xdp; else empty. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} nest_xsk_program SEC(".maps");

/* [0]: enum xdp_action when there is neither a socket nor a program. 0 (aborted) reads as pass. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} nest_xsk_action SEC(".maps");

/* [0]: packets that found no socket. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} nest_xsk_missed SEC(".maps");

/* Where nest_xsk_inject makes packets come in. */
const volatile __u32 nest_xsk_interface = 0;

SEC("xdp")
int nest_xsk(struct xdp_md *context)
{
	const __u32 zero = 0;
	const __u32 *action;
	__u64 *missed;

	if (bpf_redirect_map(&nest_xsk_sockets, context->rx_queue_index, 0) == XDP_REDIRECT)
		return XDP_REDIRECT;
	missed = bpf_map_lookup_elem(&nest_xsk_missed, &zero);
	if (missed)
		(*missed)++;
	bpf_tail_call(context, &nest_xsk_program, 0);
	action = bpf_map_lookup_elem(&nest_xsk_action, &zero);
	return action && *action == XDP_DROP ? XDP_DROP : XDP_PASS;
}

/*
 * The way back: nest-fastpathd writes a packet that is for this host into a tap, and here it comes in at the
 * interface it came from, behind that interface's XDP hook.
 */
SEC("tc")
int nest_xsk_inject(struct __sk_buff *skb __attribute__((unused)))
{
	return (int)bpf_redirect(nest_xsk_interface, BPF_F_INGRESS);
}

char _license[] SEC("license") = "GPL";
