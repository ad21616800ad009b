/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * What the verdict asks of the place it runs in, for the kernel: maps, clock, ring buffer. Nothing else in
 * bpf/lib names a map or a helper, so another runtime (user space, WebAssembly) is one more header with these
 * functions. The logic that uses it is plain C over a cursor.
 */
#ifndef NEST_RUNTIME_H
#define NEST_RUNTIME_H

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include <nest/abi.h>

#include "scratch.h"

#define nest_from_be16(value) bpf_ntohs(value)
#define nest_from_be32(value) bpf_ntohl(value)
#define nest_to_be16(value)   bpf_htons(value)

/* Drawn by the loader; constants for the verifier. The fingerprint tells an adopter which build is loaded. */
const volatile __u64 nest_trace_magic = 0;
const volatile __u64 nest_fingerprint = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NEST_CONTROL_ENTRIES);
	__type(key, __u32);
	__type(value, struct nest_control);
} nest_control SEC(".maps");

/* Inner maps: key_size, because clang leaves the type of an inner key as a forward declaration in the BTF. */
struct nest_identity4_table {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct nest_prefix4));
	__uint(value_size, sizeof(struct nest_identity));
};

struct nest_identity6_table {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct nest_prefix6));
	__uint(value_size, sizeof(struct nest_identity));
};

struct nest_pair_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct nest_pair));
	__uint(value_size, sizeof(struct nest_port_set));
};

struct nest_port_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct nest_port_interval));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct nest_identity4_table);
} nest_ident4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct nest_identity6_table);
} nest_ident6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct nest_pair_table);
} nest_pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct nest_port_table);
} nest_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NEST_FLOWS_MAX);
	__type(key, struct nest_flow_key4);
	__type(value, struct nest_flow);
} nest_flows4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NEST_FLOWS_MAX);
	__type(key, struct nest_flow_key6);
	__type(value, struct nest_flow);
} nest_flows6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NEST_FRAGMENTS_MAX);
	__type(key, struct nest_fragment_key);
	__type(value, struct nest_fragment);
} nest_frags SEC(".maps");

/* Interface index to counter slot + 1; 0 is an interface without counters. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NEST_INTERFACE_INDEX_MAX);
	__type(key, __u32);
	__type(value, __u32);
} nest_if_slot SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NEST_INTERFACES_MAX *NEST_REASON_SLOTS);
	__type(key, __u32);
	__type(value, struct nest_counter);
} nest_if_count SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NEST_MAPPING_COUNTERS);
	__type(key, __u32);
	__type(value, struct nest_counter);
} nest_map_count SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, NEST_RECORD_RING_BYTES);
} nest_records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NEST_LOSS_KINDS);
	__type(key, __u32);
	__type(value, __u64);
} nest_losses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} nest_tail SEC(".maps");

/* [0] packets from the wire, [1] traces: a trace that a softirq interrupts must not see that packet's state. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct nest_scratch);
} nest_scratch SEC(".maps");

/* ---- the runtime ---- */

/* Coarse: 2 ns, where bpf_ktime_get_ns costs 26 ns on virtual machines. */
static __always_inline __u64 nest_runtime_clock(void)
{
	return bpf_ktime_get_coarse_ns();
}

/* One 64-bit load: sequence and flags always belong together. */
static __always_inline struct nest_control nest_runtime_control(void)
{
	const __u32 key = 0;
	struct nest_control none = {};
	const volatile __u64 *word = bpf_map_lookup_elem(&nest_control, &key);

	if (!word)
		return none;
	const __u64 value = *word;

	none.sequence = (__u32)value;
	none.flags = (__u32)(value >> 32);
	return none;
}

static __always_inline struct nest_scratch *nest_runtime_scratch(__u32 is_trace)
{
	return bpf_map_lookup_elem(&nest_scratch, &is_trace);
}

/* The tables of a slot; NULL when absent. */
static __always_inline void *nest_runtime_identities4(__u32 slot)
{
	return bpf_map_lookup_elem(&nest_ident4, &slot);
}

static __always_inline void *nest_runtime_identities6(__u32 slot)
{
	return bpf_map_lookup_elem(&nest_ident6, &slot);
}

static __always_inline void *nest_runtime_pairs(__u32 slot)
{
	return bpf_map_lookup_elem(&nest_pairs, &slot);
}

static __always_inline void *nest_runtime_ports(__u32 slot)
{
	return bpf_map_lookup_elem(&nest_ports, &slot);
}

/* A look-up in a table one of the above returned. Longest prefix for identities, exact otherwise. */
static __always_inline const void *nest_runtime_find(void *table, const void *key)
{
	return bpf_map_lookup_elem(table, key);
}

static __always_inline struct nest_flow *nest_runtime_flow_find(struct nest_scratch *scratch)
{
	if (scratch->packet.family == 4)
		return bpf_map_lookup_elem(&nest_flows4, &scratch->key4);
	return bpf_map_lookup_elem(&nest_flows6, &scratch->key6);
}

/* Stores scratch->fresh. 0, or a negative errno; -EEXIST only without replace. */
static __always_inline long nest_runtime_flow_store(struct nest_scratch *scratch, bool replace)
{
	const __u64 flags = replace ? BPF_ANY : BPF_NOEXIST;

	if (scratch->packet.family == 4)
		return bpf_map_update_elem(&nest_flows4, &scratch->key4, &scratch->fresh, flags);
	return bpf_map_update_elem(&nest_flows6, &scratch->key6, &scratch->fresh, flags);
}

static __always_inline void nest_runtime_flow_delete(struct nest_scratch *scratch)
{
	if (scratch->packet.family == 4)
		bpf_map_delete_elem(&nest_flows4, &scratch->key4);
	else
		bpf_map_delete_elem(&nest_flows6, &scratch->key6);
}

static __always_inline struct nest_fragment *
nest_runtime_fragment_find(struct nest_scratch *scratch)
{
	return bpf_map_lookup_elem(&nest_frags, &scratch->fragment_key);
}

static __always_inline void nest_runtime_fragment_store(struct nest_scratch *scratch,
							const struct nest_fragment *fragment)
{
	bpf_map_update_elem(&nest_frags, &scratch->fragment_key, fragment, BPF_ANY);
}

static __always_inline void nest_runtime_fragment_delete(struct nest_scratch *scratch)
{
	bpf_map_delete_elem(&nest_frags, &scratch->fragment_key);
}

static __always_inline struct nest_counter *nest_runtime_interface_counter(__u32 interface,
									   __u32 reason)
{
	const __u32 *slot = bpf_map_lookup_elem(&nest_if_slot, &interface);
	__u32 index;

	if (!slot || *slot == 0)
		return NULL;
	index = (*slot - 1) * NEST_REASON_SLOTS + (reason & (NEST_REASON_SLOTS - 1));
	return bpf_map_lookup_elem(&nest_if_count, &index);
}

static __always_inline struct nest_counter *nest_runtime_mapping_counter(__u32 index)
{
	return bpf_map_lookup_elem(&nest_map_count, &index);
}

static __always_inline __u64 *nest_runtime_loss(__u32 kind)
{
	return bpf_map_lookup_elem(&nest_losses, &kind);
}

static __always_inline struct nest_record *nest_runtime_record_begin(void)
{
	return bpf_ringbuf_reserve(&nest_records, sizeof(struct nest_record), 0);
}

static __always_inline void nest_runtime_record_end(struct nest_record *record, bool wake)
{
	bpf_ringbuf_submit(record, wake ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

/* Both directions of a flow may be on two CPUs, one direction too while a task moves. */
static __always_inline void nest_runtime_add(__u64 *value, __u64 amount)
{
	__sync_fetch_and_add(value, amount);
}

/* Sets bits of flow->tcp, which is byte 3 of an aligned little-endian word. */
static __always_inline void nest_runtime_tcp_set(struct nest_flow *flow, __u32 bits)
{
	__sync_fetch_and_or((__u32 *)&flow->mapping, bits << 24);
}

_Static_assert(__builtin_offsetof(struct nest_flow, mapping) % 4 == 0, "aligned word");
_Static_assert(__builtin_offsetof(struct nest_flow, tcp) ==
		       __builtin_offsetof(struct nest_flow, mapping) + 3,
	       "tcp is byte 3 of the word");

#endif
