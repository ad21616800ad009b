/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * For `nest-packet generate`: run with live frames, it sends the template through the interface at a set rate and
 * counts exactly what it sent. Frames come back as the receiver left them, so the whole template is written anew.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TEMPLATE_BYTES_MAX 256

const volatile __u8 template[TEMPLATE_BYTES_MAX] = {};
const volatile __u32 template_bytes = 0;
const volatile __u32 vary_offset = 0;
/* 0: all packets are equal. Above 16 bits the rest is added to the two bytes behind: destination ports behind source ports. */
const volatile __u32 vary_mask = 0;
const volatile __u64 gap_ns = 0; /* 0: as fast as it goes */
const volatile __u64 packets_max = 0;

__u64 sent = 0;
__u64 next_ns = 0;

SEC("xdp")
int bench_generator(struct xdp_md *context)
{
	__u8 *data = (void *)(long)context->data;
	const __u8 *end = (void *)(long)context->data_end;

	if (sent >= packets_max)
		return XDP_DROP;
	if (gap_ns) {
		const __u64 now = bpf_ktime_get_ns();

		if (next_ns == 0)
			next_ns = now;
		if (now < next_ns)
			return XDP_DROP;
		next_ns += gap_ns;
	}
	for (__u32 i = 0; i < TEMPLATE_BYTES_MAX && i < template_bytes; i++) {
		if (data + i + 1 > end)
			break;
		data[i] = template[i];
	}
	if (vary_mask && data + (vary_offset & 0xff) + 4 <= end) {
		const __u32 flow = (__u32)sent * 40503u & vary_mask;
		__be16 *halves = (void *)(data + (vary_offset & 0xff));

		halves[0] = bpf_htons((__u16)flow);
		if (vary_mask > 0xffff)
			halves[1] = bpf_htons((__u16)(bpf_ntohs(halves[1]) + (flow >> 16)));
	}
	sent++;
	return XDP_TX;
}

char _license[] SEC("license") = "GPL";
