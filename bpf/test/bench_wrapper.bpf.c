/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * For `nest-packet run` and `drive`: makes each repetition of BPF_PROG_TEST_RUN another flow, then tail-calls the
 * program under test. The headers are written anew each time, because a program may rewrite them and the repetitions
 * share one buffer. Its own cost is measured with bench_empty as the target and subtracted.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define BENCH_HEADERS_MAX 96

/* The first bytes of the packet; the packet under test must have at least as many. */
const volatile __u8 bench_headers[BENCH_HEADERS_MAX] = {};
/*
 * Where the two bytes lie that tell flows apart: best the lower half of an IPv4 address. And how many flows there
 * are, a power of two, minus one; above 16 bits the rest is added to the two bytes behind: destination ports behind
 * source ports.
 */
const volatile __u32 bench_offset = 0;
const volatile __u32 bench_mask = 0;
/* Of bench_driver alone: how many packets it makes, and the time between two of them. */
const volatile __u64 bench_packets_max = 0;
const volatile __u64 bench_gap_ns = 0; /* 0: as fast as it goes */

__u32 bench_sequence = 0;
/* What bench_driver did: packets, and when it made the first and the last of them. */
__u64 bench_sent = 0;
__u64 bench_started_ns = 0;
__u64 bench_ended_ns = 0;
__u64 bench_next_ns = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bench_target SEC(".maps");

/* Writes the packet of that number; -1 when it does not fit. */
static __always_inline int bench_write(struct xdp_md *context, __u32 number)
{
	__u8 *data = (void *)(long)context->data;
	/* Four bytes are written, so that the program under test can load the address they end in one piece. */
	__be32 *word = (void *)(data + ((bench_offset - 2) & 0xff));
	/* An odd factor walks through all flows, never to a neighbour. */
	const __u32 flow = number * 40503u & bench_mask;

	if ((void *)(word + 2) > (void *)(long)context->data_end ||
	    data + BENCH_HEADERS_MAX > (__u8 *)(long)context->data_end)
		return -1;
	for (int i = 0; i < BENCH_HEADERS_MAX; i += 8)
		*(__u64 *)(data + i) = *(const volatile __u64 *)(bench_headers + i);
	*word = (*word & bpf_htonl(0xffff0000)) | bpf_htonl(flow & 0xffff);
	if (bench_mask > 0xffff)
		word[1] = bpf_htonl(bpf_ntohl(word[1]) + (flow & 0xffff0000));
	return 0;
}

SEC("xdp")
int bench_wrapper(struct xdp_md *context)
{
	if (bench_write(context, bench_sequence++) == 0)
		bpf_tail_call(context, &bench_target, 0);
	return XDP_ABORTED;
}

/* The clock is asked here, and not by short calls of so many packets: each call costs milliseconds to set up. */
SEC("xdp")
int bench_driver(struct xdp_md *context)
{
	const __u64 now = bpf_ktime_get_ns();

	if (bench_sent >= bench_packets_max)
		return XDP_DROP;
	if (bench_sent == 0)
		bench_started_ns = bench_next_ns = now;
	if (now < bench_next_ns)
		return XDP_DROP;
	bench_next_ns += bench_gap_ns;
	bench_ended_ns = now;
	if (bench_write(context, (__u32)bench_sent) != 0)
		return XDP_ABORTED;
	bench_sent++;
	bpf_tail_call(context, &bench_target, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int bench_empty(struct xdp_md *context __attribute__((unused)))
{
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
