/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * Maps and helpers of the hooks for the host's own traffic, as runtime_kernel.h has them for packets. The tables of
 * the policy, the flow table and the counters are those of nest_xdp, taken over by the loader.
 */
#ifndef NEST_LOCAL_KERNEL_H
#define NEST_LOCAL_KERNEL_H

#include <nest/local.h>

#include "runtime.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct nest_local_self);
} nest_local_self SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NEST_LOCAL_PEERS_MAX);
	__type(key, struct nest_local_key);
	__type(value, struct nest_local_peer);
} nest_local_peers SEC(".maps");

/* Destination to the source address that the host's routes give it. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NEST_LOCAL_SOURCES_MAX);
	__type(key, struct nest_prefix4);
	__type(value, __be32);
} nest_local_src4 SEC(".maps");

struct nest_local_source6 {
	__be32 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NEST_LOCAL_SOURCES_MAX);
	__type(key, struct nest_prefix6);
	__type(value, struct nest_local_source6);
} nest_local_src6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NEST_MAPPING_COUNTERS);
	__type(key, __u32);
	__type(value, struct nest_local_counter);
} nest_local_count SEC(".maps");

/* Calls by reason. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NEST_REASON_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} nest_local_why SEC(".maps");

/*
 * Scratch memory of system calls. Unlike a packet, a system call may be set aside for another one on the same CPU: each
 * takes a lane of its own, a bit of nest_local_busy.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NEST_LOCAL_LANES);
	__type(key, __u32);
	__type(value, struct nest_scratch);
} nest_local_lane SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} nest_local_busy SEC(".maps");

/* A lane, or NULL when all are taken; `lane` is for nest_local_leave. */
static __always_inline struct nest_scratch *nest_local_enter(__u32 *lane)
{
	const __u32 key = 0;
	__u32 *busy = bpf_map_lookup_elem(&nest_local_busy, &key);

	if (!busy)
		return NULL;
	for (__u32 i = 0; i < NEST_LOCAL_LANES; i++) {
		if (__sync_fetch_and_or(busy, 1u << i) & 1u << i)
			continue;
		*lane = i;
		return bpf_map_lookup_elem(&nest_local_lane, lane);
	}
	return NULL;
}

static __always_inline void nest_local_leave(__u32 lane)
{
	const __u32 key = 0;
	__u32 *busy = bpf_map_lookup_elem(&nest_local_busy, &key);

	if (busy)
		__sync_fetch_and_and(busy, ~(1u << lane));
}

static __always_inline const struct nest_local_self *nest_local_who(void)
{
	const __u32 key = 0;

	return bpf_map_lookup_elem(&nest_local_self, &key);
}

static __always_inline struct nest_local_peer *
nest_local_peer_find(const struct nest_local_key *key)
{
	return bpf_map_lookup_elem(&nest_local_peers, key);
}

static __always_inline void nest_local_peer_store(const struct nest_local_key *key,
						  const struct nest_local_peer *peer)
{
	bpf_map_update_elem(&nest_local_peers, key, peer, BPF_ANY);
}

static __always_inline void nest_local_peer_forget(const struct nest_local_key *key)
{
	bpf_map_delete_elem(&nest_local_peers, key);
}

/* The source of a packet to scratch->packet.destination, left at zero when no route has one. */
static __always_inline void nest_local_source(struct nest_scratch *scratch)
{
	struct nest_packet *packet = &scratch->packet;

	if (packet->family == 4) {
		const __be32 *source;

		scratch->prefix4.length = 32;
		*(__be32 *)scratch->prefix4.address = packet->destination[0];
		source = bpf_map_lookup_elem(&nest_local_src4, &scratch->prefix4);
		if (source)
			packet->source[0] = *source;
	} else {
		const struct nest_local_source6 *source;

		scratch->prefix6.length = 128;
		for (int i = 0; i < 4; i++)
			((__be32 *)scratch->prefix6.address)[i] = packet->destination[i];
		source = bpf_map_lookup_elem(&nest_local_src6, &scratch->prefix6);
		for (int i = 0; source && i < 4; i++)
			packet->source[i] = source->address[i];
	}
}

static __always_inline struct nest_local_counter *nest_local_counter_of(__u32 sequence,
									__u32 mapping)
{
	const __u32 index = (sequence & 1) * (NEST_MAPPINGS_MAX + 1) + mapping;

	return bpf_map_lookup_elem(&nest_local_count, &index);
}

/* Whether the tables that a sequence speaks of are still there. */
static __always_inline bool nest_local_is_counted(__u32 sequence)
{
	const __u32 key = NEST_CONTROL_TABLES + (sequence & 1);
	const struct nest_control *tables = bpf_map_lookup_elem(&nest_control, &key);

	return tables && tables->sequence && tables->sequence <= sequence;
}

static __always_inline void nest_local_count_reason(enum nest_reason reason)
{
	const __u32 key = reason & (NEST_REASON_SLOTS - 1);
	__u64 *count = bpf_map_lookup_elem(&nest_local_why, &key);

	/* Not plainly: the task may be set aside between load and store. */
	if (count)
		nest_runtime_add(count, 1);
}

#endif
