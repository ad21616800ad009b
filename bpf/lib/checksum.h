/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * Internet checksums, changed and not computed anew (RFC 1624, equation 3). A delta is a sum of
 * 32-bit words in 64 bits, which has room for more of them than a packet holds; folding it gives the
 * sum of their halves.
 */
#ifndef NEST_CHECKSUM_H
#define NEST_CHECKSUM_H

#include "runtime.h"

/* What replacing one word by another adds. Words at even offsets, as they lie in the packet. */
static __always_inline __u64 nest_sum_change(__u32 before, __u32 after)
{
	return (__u64)(__u32)~before + after;
}

/* Likewise for 16 bits. */
static __always_inline __u64 nest_sum_change16(__u16 before, __u16 after)
{
	return (__u64)(__u16)~before + after;
}

static __always_inline __u16 nest_sum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)((sum & 0xffff) + (sum >> 16));
}

static __always_inline __be16 nest_checksum_after(__be16 checksum, __u64 delta)
{
	return (__u16)~nest_sum_fold((__u16)~checksum + delta);
}

/* UDP: no checksum stays none (IPv4), and one that comes out as 0 is written as its other form. */
static __always_inline __be16 nest_udp_checksum_after(__be16 checksum, __u64 delta)
{
	if (checksum == 0)
		return 0;
	checksum = nest_checksum_after(checksum, delta);
	return checksum ? checksum : 0xffff;
}

#endif
