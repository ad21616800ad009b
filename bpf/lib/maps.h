/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* The maps of the kernel's runtime. Tables of the policy are in two slots, one inner map each. */
#ifndef NEST_MAPS_H
#define NEST_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include <nest/abi.h>

#include "scratch.h"

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

struct nest_action_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct nest_action));
};

/* Exact addresses, which are most of a deny list, and prefixes. */
struct nest_deny4_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__be32));
	__uint(value_size, sizeof(struct nest_deny));
};

struct nest_deny6_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, 4 * sizeof(__be32));
	__uint(value_size, sizeof(struct nest_deny));
};

struct nest_deny_prefix4_table {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct nest_prefix4));
	__uint(value_size, sizeof(struct nest_deny));
};

struct nest_deny_prefix6_table {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct nest_prefix6));
	__uint(value_size, sizeof(struct nest_deny));
};

struct nest_balancer_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct nest_balancer));
};

struct nest_backend_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct nest_backend));
};

struct nest_backend_index_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct nest_backend_key));
	__uint(value_size, sizeof(__u32));
};

struct nest_ring_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct nest_ring));
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
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct nest_action_table);
} nest_actions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct nest_deny4_table);
} nest_deny4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct nest_deny6_table);
} nest_deny6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct nest_deny_prefix4_table);
} nest_deny_pfx4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct nest_deny_prefix6_table);
} nest_deny_pfx6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct nest_balancer_table);
} nest_balancers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct nest_backend_table);
} nest_backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct nest_backend_index_table);
} nest_be_index SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct nest_ring_table);
} nest_rings SEC(".maps");

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

/* Packets and bytes over the limit, by mapping as in nest_map_count. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NEST_MAPPING_COUNTERS);
	__type(key, __u32);
	__type(value, struct nest_counter);
} nest_lim_count SEC(".maps");

/* By list index, in two halves like nest_map_count. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * NEST_DENY_LISTS_MAX);
	__type(key, __u32);
	__type(value, struct nest_counter);
} nest_deny_count SEC(".maps");

/* By backend index, in two halves. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * NEST_BACKENDS_MAX);
	__type(key, __u32);
	__type(value, struct nest_backend_counter);
} nest_be_count SEC(".maps");

/* Buckets of mappings, indexed as nest_map_count; cleared with the half. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NEST_MAPPING_COUNTERS);
	__type(key, __u32);
	__type(value, struct nest_bucket);
} nest_buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NEST_SOURCES_MAX);
	__type(key, struct nest_source_key);
	__type(value, struct nest_bucket);
} nest_sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NEST_STAT_KINDS);
	__type(key, __u32);
	__type(value, __u64);
} nest_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NEST_INTERFACES_MAX);
	__type(key, __u32);
	__type(value, struct nest_interface_address);
} nest_if_addr SEC(".maps");

/* By interface index: NEST_PORT_*. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NEST_INTERFACE_INDEX_MAX);
	__type(key, __u32);
	__type(value, __u32);
} nest_tx_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct nest_trace_more);
} nest_trace_more SEC(".maps");

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
	__uint(max_entries, NEST_TAIL_PROGRAMS);
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

#endif
