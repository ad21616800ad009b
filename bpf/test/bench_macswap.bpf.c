/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* The least that a forwarding program does: sends the packet back with its MAC addresses exchanged. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct macs {
	__u16 destination[3];
	__u16 source[3];
};

SEC("xdp")
int bench_macswap(struct xdp_md *context)
{
	struct macs *macs = (void *)(long)context->data;

	if ((void *)(macs + 1) > (void *)(long)context->data_end)
		return XDP_DROP;
	for (int i = 0; i < 3; i++) {
		const __u16 half = macs->destination[i];

		macs->destination[i] = macs->source[i];
		macs->source[i] = half;
	}
	return XDP_TX;
}

/* For the far end of a link, which must take packets that programs send. */
SEC("xdp")
int bench_drop(struct xdp_md *context __attribute__((unused)))
{
	return XDP_DROP;
}

char _license[] SEC("license") = "GPL";
