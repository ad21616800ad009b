/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The runtime of every place but the kernel: see runtime.h. native/src/user lays this memory out and
 * fills it; here it is used.
 */
#ifndef NEST_RUNTIME_USER_H
#define NEST_RUNTIME_USER_H

#include "scratch.h"
#include "user_flows.h"
#include "user_recent.h"
#include "user_tables.h"

#define nest_from_be16(value) __builtin_bswap16(value)
#define nest_from_be32(value) __builtin_bswap32(value)
#define nest_from_be64(value) __builtin_bswap64(value)
#define nest_to_be16(value)   __builtin_bswap16(value)

struct nest_frame; /* rewrite.h */

/* No packet carries a request here: nest_user_trace asks by itself. */
static const __u64 nest_trace_magic = 0;

/* struct nest_user_ring and nest_user_frame are public: native/src/user/verdict.h, included before. */

struct nest_user_lane {
	__u64 inside; /* the epoch it entered its burst at; 0 = outside */
	__u64 now_ns;
	struct nest_user *user;
	struct nest_user_ring *ring;
	__u64 ring_taken; /* what the reader had taken when this lane last looked */
	__u32 index;
	__u32 random;
	__u32 mapping;  /* whose counter was asked for last */
	bool is_shared; /* other lanes use the same flows */
	/* counters, as in verdict.h */
	struct nest_counter *interfaces;
	struct nest_counter *mappings;
	struct nest_counter *limits;
	struct nest_counter *deny;
	struct nest_backend_counter *backends;
	__u64 *stats;
	__u64 *losses;
	struct nest_fragment fragment; /* the copy that a look-up answers with */
	struct nest_trace_more more;
	struct nest_user_spares spares;
	struct nest_scratch scratch[2] __attribute__((aligned(64))); /* [1]: traces */
} __attribute__((aligned(64)));

/* Interfaces and routes. Written while not in use, like the tables of a policy. */
struct nest_user_way {
	__u32 egress;
	__u16 mtu;
	__u8 destination_mac[6];
	__u8 source_mac[6];
};

struct nest_user_surroundings {
	__u8 *slot_of; /* by interface index: position in the arrays below + 1; 0 = none */
	__u32 *ports;
	struct nest_interface_address *addresses;
	struct nest_user_ranges4 ranges4; /* values: position in ways */
	struct nest_user_ranges6 ranges6;
	struct nest_user_way *ways;
	bool has_kernel; /* which routes what is not on these routes */
};

struct nest_user {
	struct nest_user *self; /* where the pointers are true */
	__u64 control;          /* sequence, and flags above it */
	__u64 epoch;            /* counts up whenever something may no longer be found */
	struct nest_user_half halves[2];
	struct nest_user_surroundings surroundings[2];
	struct nest_user_flow_table flows;
	struct nest_user_recent recent;
	struct nest_bucket *buckets;
	struct nest_user_lane *lanes; /* the last is the control thread's */
	__u32 lane_count;
	__u32 surroundings_in_use;
};

/* The lane under way on this thread. */
#if defined(__wasm__)
static struct nest_user_lane *nest_user_lane_here;
#else
static _Thread_local
	__attribute__((tls_model("initial-exec"))) struct nest_user_lane *nest_user_lane_here;
#endif

static __always_inline struct nest_user_half *nest_user_half_of(__u32 slot)
{
	return &nest_user_lane_here->user->halves[slot & 1];
}

static __always_inline const struct nest_user_surroundings *nest_user_surroundings_now(void)
{
	const struct nest_user *user = nest_user_lane_here->user;

	return &user->surroundings[__atomic_load_n(&user->surroundings_in_use, __ATOMIC_ACQUIRE) &
				   1];
}

/* ---- clock, control, tables ---- */

/* The lane knows; whatever the caller gives is for the kernel's runtime. */
#define nest_runtime_clock(...) (nest_user_lane_here->now_ns)

static __always_inline __u64 nest_runtime_clock_precise(void)
{
	return nest_user_lane_here->now_ns;
}

static __always_inline struct nest_control nest_runtime_control(void)
{
	const __u64 word = __atomic_load_n(&nest_user_lane_here->user->control, __ATOMIC_ACQUIRE);

	return (struct nest_control){.sequence = (__u32)word, .flags = (__u32)(word >> 32)};
}

static __always_inline struct nest_scratch *nest_runtime_scratch(__u32 is_trace)
{
	return &nest_user_lane_here->scratch[is_trace & 1];
}

static __always_inline void *nest_runtime_identities4(__u32 slot)
{
	return &nest_user_half_of(slot)->identities4;
}

static __always_inline void *nest_runtime_identities6(__u32 slot)
{
	return &nest_user_half_of(slot)->identities6;
}

static __always_inline void *nest_runtime_pairs(__u32 slot)
{
	return &nest_user_half_of(slot)->pairs;
}

static __always_inline void *nest_runtime_ports(__u32 slot)
{
	return &nest_user_half_of(slot)->ports;
}

static __always_inline const void *nest_runtime_find(void *table, const void *key)
{
	const struct nest_user_table *kind = table;

	switch (kind->kind) {
	case NEST_USER_IDENTITIES4: {
		const struct nest_prefix4 *prefix = key;
		__u32 address;

		__builtin_memcpy(&address, prefix->address, sizeof(address));
		return nest_user_range4(table, nest_from_be32(address));
	}
	case NEST_USER_IDENTITIES6: {
		const struct nest_prefix6 *prefix = key;
		__be32 words[4];
		struct nest_user_address6 address;

		__builtin_memcpy(words, prefix->address, sizeof(words));
		address = nest_user_number6(words);
		return nest_user_range6(table, &address);
	}
	case NEST_USER_PAIRS:
		return nest_user_pair_find(table, key);
	case NEST_USER_PORTS: {
		const struct nest_user_ports *ports = table;
		const __u32 index = *(const __u32 *)key;

		return index < ports->count ? &ports->intervals[index] : NULL;
	}
	default:
		return NULL;
	}
}

/* ---- flows ---- */

static __always_inline struct nest_flow *nest_runtime_flow_find(struct nest_scratch *scratch)
{
	const struct nest_user_flow_table *table = &nest_user_lane_here->user->flows;
	const __u32 family = scratch->packet.family;
	const __u64 hash = nest_user_flow_hash(table->seed, scratch->key_words, family);
	struct nest_user_entry *entry =
		nest_user_flow_find(table, scratch->key_words, family, hash, NULL);

	return entry ? &entry->flow : NULL;
}

/* Likewise for keys that are not in the scratch. */
static __always_inline struct nest_flow *nest_runtime_flow_find4(const struct nest_flow_key4 *key)
{
	const struct nest_user_flow_table *table = &nest_user_lane_here->user->flows;
	const __u64 *words = (const __u64 *)key;
	struct nest_user_entry *entry = nest_user_flow_find(
		table, words, 4, nest_user_flow_hash(table->seed, words, 4), NULL);

	return entry ? &entry->flow : NULL;
}

static __always_inline struct nest_flow *nest_runtime_flow_find6(const struct nest_flow_key6 *key)
{
	const struct nest_user_flow_table *table = &nest_user_lane_here->user->flows;
	const __u64 *words = (const __u64 *)key;
	struct nest_user_entry *entry = nest_user_flow_find(
		table, words, 6, nest_user_flow_hash(table->seed, words, 6), NULL);

	return entry ? &entry->flow : NULL;
}

static __always_inline long nest_runtime_flow_store(struct nest_scratch *scratch, bool replace)
{
	struct nest_user_lane *lane = nest_user_lane_here;

	return nest_user_flow_put(&lane->user->flows, &lane->spares, scratch->key_words,
				  scratch->packet.family, &scratch->fresh, replace,
				  &lane->user->epoch);
}

static __always_inline void nest_runtime_flow_delete(struct nest_scratch *scratch)
{
	struct nest_user_lane *lane = nest_user_lane_here;

	nest_user_flow_remove(&lane->user->flows, &lane->spares, scratch->key_words,
			      scratch->packet.family, &lane->user->epoch);
}

static __always_inline struct nest_fragment *
nest_runtime_fragment_find(struct nest_scratch *scratch)
{
	struct nest_user_lane *lane = nest_user_lane_here;

	if (!nest_user_fragment_find(&lane->user->recent, &scratch->fragment_key, &lane->fragment,
				     lane->now_ns))
		return NULL;
	return &lane->fragment;
}

static __always_inline void nest_runtime_fragment_store(struct nest_scratch *scratch,
							const struct nest_fragment *fragment)
{
	nest_user_fragment_set_to(&nest_user_lane_here->user->recent, &scratch->fragment_key,
				  fragment, nest_user_lane_here->now_ns);
}

static __always_inline void nest_runtime_fragment_delete(struct nest_scratch *scratch)
{
	nest_user_fragment_set_to(&nest_user_lane_here->user->recent, &scratch->fragment_key, NULL,
				  nest_user_lane_here->now_ns);
}

/* Lanes share flows; alone, a lane need not lock the bus. */
static __always_inline void nest_runtime_add(__u64 *value, __u64 amount)
{
	if (nest_user_lane_here->is_shared)
		__atomic_fetch_add(value, amount, __ATOMIC_RELAXED);
	else
		__atomic_store_n(value, *value + amount, __ATOMIC_RELAXED);
}

/* Sets bits of flow->tcp. */
static __always_inline void nest_runtime_tcp_set(struct nest_flow *flow, __u32 bits)
{
	__atomic_fetch_or(&flow->tcp, (__u8)bits, __ATOMIC_RELAXED);
}

/* ---- counters ---- */

static __always_inline struct nest_counter *nest_runtime_interface_counter(__u32 interface,
									   __u32 reason)
{
	const struct nest_user_surroundings *around = nest_user_surroundings_now();
	__u32 slot;

	if (interface >= NEST_INTERFACE_INDEX_MAX)
		return NULL;
	slot = around->slot_of[interface];
	if (slot == 0)
		return NULL;
	return &nest_user_lane_here->interfaces[(slot - 1) * NEST_REASON_SLOTS +
						(reason & (NEST_REASON_SLOTS - 1))];
}

/* index: half * (NEST_MAPPINGS_MAX + 1) + mapping. What is asked for is what the verdict names. */
static __always_inline void nest_user_note_mapping(__u32 index)
{
	nest_user_lane_here->mapping =
		index > NEST_MAPPINGS_MAX ? index - (NEST_MAPPINGS_MAX + 1) : index;
}

static __always_inline struct nest_counter *nest_runtime_mapping_counter(__u32 index)
{
	if (index >= NEST_MAPPING_COUNTERS)
		return NULL;
	nest_user_note_mapping(index);
	return &nest_user_lane_here->mappings[index];
}

static __always_inline struct nest_counter *nest_runtime_limit_counter(__u32 index)
{
	if (index >= NEST_MAPPING_COUNTERS)
		return NULL;
	nest_user_note_mapping(index);
	return &nest_user_lane_here->limits[index];
}

static __always_inline struct nest_counter *nest_runtime_deny_counter(__u32 index)
{
	return index < 2 * NEST_DENY_LISTS_MAX ? &nest_user_lane_here->deny[index] : NULL;
}

static __always_inline struct nest_backend_counter *nest_runtime_backend_counter(__u32 index)
{
	return index < 2 * NEST_BACKENDS_MAX ? &nest_user_lane_here->backends[index] : NULL;
}

static __always_inline __u64 *nest_runtime_stat(__u32 kind)
{
	return kind < NEST_STAT_KINDS ? &nest_user_lane_here->stats[kind] : NULL;
}

static __always_inline __u64 *nest_runtime_loss(__u32 kind)
{
	return kind < NEST_LOSS_KINDS ? &nest_user_lane_here->losses[kind] : NULL;
}

static __always_inline struct nest_trace_more *nest_runtime_trace_more(void)
{
	return &nest_user_lane_here->more;
}

/* ---- records: the lane writes, one reader takes ---- */

static __always_inline struct nest_record *nest_runtime_record_begin(void)
{
	struct nest_user_lane *lane = nest_user_lane_here;
	struct nest_user_ring *ring = lane->ring;

	if (ring->written - lane->ring_taken >= ring->capacity) {
		lane->ring_taken = __atomic_load_n(&ring->taken, __ATOMIC_ACQUIRE);
		/* A reader that claims more than was written is not believed. */
		if (ring->written - lane->ring_taken >= ring->capacity)
			return NULL;
	}
	return &ring->slots[ring->written & (ring->capacity - 1)];
}

/* Readers look by themselves: nobody is woken. */
static __always_inline void nest_runtime_record_end(struct nest_record *record, bool wake)
{
	struct nest_user_ring *ring = nest_user_lane_here->ring;

	(void)record;
	(void)wake;
	__atomic_store_n(&ring->written, ring->written + 1, __ATOMIC_RELEASE);
}

/* ---- balancers, limits, deny lists ---- */

static __always_inline const struct nest_action *nest_runtime_action(__u32 slot, __u32 mapping)
{
	const struct nest_user_half *half = nest_user_half_of(slot);

	return mapping < half->mapping_count ? &half->actions[half->action_of[mapping]] : NULL;
}

static __always_inline const struct nest_balancer *nest_runtime_balancer(__u32 slot, __u32 index)
{
	const struct nest_user_half *half = nest_user_half_of(slot);

	return index < half->balancer_count ? &half->balancers[index] : NULL;
}

static __always_inline const struct nest_backend *nest_runtime_backend(__u32 slot, __u32 index)
{
	const struct nest_user_half *half = nest_user_half_of(slot);

	return index < half->backend_count ? &half->backends[index] : NULL;
}

static __always_inline __u16 nest_runtime_ring(__u32 slot, __u32 ring, __u32 position)
{
	const struct nest_user_half *half = nest_user_half_of(slot);

	if (ring >= half->ring_count || position >= NEST_RING_SIZE)
		return NEST_BACKEND_NONE;
	return __atomic_load_n(&half->rings[ring].backend[position], __ATOMIC_RELAXED);
}

static __always_inline const __u32 *nest_runtime_backend_index(__u32 slot,
							       const struct nest_backend_key *key)
{
	return nest_user_backend_find(nest_user_half_of(slot), key);
}

static __always_inline const struct nest_deny *
nest_runtime_deny_find(struct nest_scratch *scratch, __u32 slot, __u8 family, const __be32 *address)
{
	const struct nest_user_half *half = nest_user_half_of(slot);
	const __u64 *value;

	(void)scratch;
	if (family == 4) {
		value = nest_user_range4(&half->deny4, nest_from_be32(address[0]));
	} else {
		const struct nest_user_address6 number = nest_user_number6(address);

		value = nest_user_range6(&half->deny6, &number);
	}
	return value && *value & NEST_USER_PRESENT ? (const struct nest_deny *)value : NULL;
}

static __always_inline struct nest_bucket *nest_runtime_bucket(__u32 index)
{
	return index < NEST_MAPPING_COUNTERS ? &nest_user_lane_here->user->buckets[index] : NULL;
}

static __always_inline struct nest_bucket *
nest_runtime_source_bucket(const struct nest_source_key *key)
{
	return nest_user_source_find(&nest_user_lane_here->user->recent, key,
				     nest_user_lane_here->now_ns, true);
}

static __always_inline const struct nest_bucket *
nest_runtime_source_bucket_peek(const struct nest_source_key *key)
{
	return nest_user_source_find(&nest_user_lane_here->user->recent, key,
				     nest_user_lane_here->now_ns, false);
}

static __always_inline __u64 nest_runtime_compare_swap(__u64 *value, __u64 expected, __u64 desired)
{
	__atomic_compare_exchange_n(value, &expected, desired, false, __ATOMIC_RELAXED,
				    __ATOMIC_RELAXED);
	return expected;
}

static __always_inline __u32 nest_runtime_lane(void)
{
	return nest_user_lane_here->index;
}

/* xorshift32: spreads ports, is no secret. */
static __always_inline __u32 nest_runtime_random(void)
{
	__u32 state = nest_user_lane_here->random;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	nest_user_lane_here->random = state;
	return state;
}

static __always_inline const struct nest_interface_address *
nest_runtime_interface_address(__u32 interface)
{
	const struct nest_user_surroundings *around = nest_user_surroundings_now();
	const __u32 slot = interface < NEST_INTERFACE_INDEX_MAX ? around->slot_of[interface] : 0;

	return slot ? &around->addresses[slot - 1] : NULL;
}

static __always_inline __u32 nest_user_ports_of(__u32 interface)
{
	const struct nest_user_surroundings *around = nest_user_surroundings_now();
	const __u32 slot = interface < NEST_INTERFACE_INDEX_MAX ? around->slot_of[interface] : 0;

	return slot ? around->ports[slot - 1] : 0;
}

static __always_inline __u32 nest_runtime_lanes(void)
{
	return nest_user_lane_here->user->lane_count;
}

#include "user_way.h"

#endif
