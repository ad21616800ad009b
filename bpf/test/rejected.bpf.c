/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* Looks like the packet program, but reads without a bounds check: the verifier has to reject it. */
#include "lib/verdict.h"

SEC("xdp")
int nest_xdp(struct xdp_md *context)
{
	const __u8 *data = (const void *)(long)context->data;

	return data[64] == (__u8)(nest_trace_magic + nest_fingerprint) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int nest_judge(struct xdp_md *context)
{
	bpf_tail_call(context, &nest_tail, 0);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
