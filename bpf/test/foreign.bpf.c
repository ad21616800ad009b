/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* Somebody else's program: what Nest must never replace. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int foreign(struct xdp_md *context __attribute__((unused)))
{
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
