/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * Policy tables outside the kernel: how they lie in memory and how a judgement reads them. They are
 * written by native/src/user before they are in use, and only read from then on.
 */
#ifndef NEST_USER_TABLES_H
#define NEST_USER_TABLES_H

#include <stdbool.h>
#include <stddef.h>

#include <nest/maglev.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* What nest_runtime_find is asked of. */
enum nest_user_kind {
	NEST_USER_IDENTITIES4 = 1,
	NEST_USER_IDENTITIES6,
	NEST_USER_PAIRS,
	NEST_USER_PORTS,
};

struct nest_user_table {
	__u32 kind; /* enum nest_user_kind */
};

/*
 * Longest prefix match as disjoint ranges: each reaches to the start of the next one, the first
 * starts at 0. IPv4 is entered by its upper 16 bits, so that few ranges are left to search.
 */
#define NEST_USER_BLOCKS4 65536u
struct nest_user_ranges4 {
	struct nest_user_table table;
	__u32 count;
	__u32 *blocks; /* NEST_USER_BLOCKS4 + 1: the range that holds the block's first address */
	__u32 *starts;
	__u64 *values;
};

struct nest_user_address6 {
	__u64 high, low; /* as numbers */
};

struct nest_user_ranges6 {
	struct nest_user_table table;
	__u32 count;
	struct nest_user_address6 *starts;
	__u64 *values;
};

/* In values: what a range without an entry lacks. Identities need it not: theirs are zero. */
#define NEST_USER_PRESENT (1ull << 32)

/* Open addressing, linear probing, at most half full. l4 0 is a free slot. */
struct nest_user_pair_slot {
	struct nest_pair key;
	struct nest_port_set ports;
};

struct nest_user_pairs {
	struct nest_user_table table;
	__u32 mask;
	__u64 seed;
	struct nest_user_pair_slot *slots;
};

struct nest_user_ports {
	struct nest_user_table table;
	__u32 count;
	struct nest_port_interval *intervals;
};

#define NEST_USER_FREE 0xffffffffu /* index of a free slot */
struct nest_user_backend_slot {
	struct nest_backend_key key;
	__u32 index;
};

/* The tables of one policy. */
struct nest_user_half {
	struct nest_user_ranges4 identities4;
	struct nest_user_ranges6 identities6;
	struct nest_user_pairs pairs;
	struct nest_user_ports ports;
	struct nest_user_ranges4 deny4;
	struct nest_user_ranges6 deny6;
	__u32 mapping_count;
	__u32 balancer_count;
	__u32 backend_count;
	__u32 ring_count;
	__u32 backend_mask;
	__u32 *set_sizes; /* while an image is checked: intervals in the set that begins here */
	__u16 *action_of; /* by mapping, position in actions; [0] of actions does nothing */
	struct nest_action *actions;
	struct nest_balancer *balancers;
	struct nest_backend *backends;
	struct nest_user_backend_slot *backend_slots;
	struct nest_maglev_turn *turns; /* while a ring is filled */
	struct nest_ring *rings;        /* one more than ring_count */
};

static __always_inline __u32 nest_user_swap32(__u32 value)
{
	return __builtin_bswap32(value);
}

/* Address words in network order, as they lie in a packet, as two numbers. */
static __always_inline struct nest_user_address6 nest_user_number6(const __be32 *words)
{
	return (struct nest_user_address6){
		.high = (__u64)nest_user_swap32(words[0]) << 32 | nest_user_swap32(words[1]),
		.low = (__u64)nest_user_swap32(words[2]) << 32 | nest_user_swap32(words[3]),
	};
}

static __always_inline __u64 nest_user_mix(__u64 value)
{
	value ^= value >> 32;
	value *= 0xd6e8feb86659fd93ull;
	value ^= value >> 32;
	value *= 0xd6e8feb86659fd93ull;
	return value ^ value >> 32;
}

/* The value of the range that holds the address (as a number). */
static __always_inline const __u64 *nest_user_range4(const struct nest_user_ranges4 *ranges,
						     __u32 address)
{
	const __u32 block = address >> 16;
	__u32 low, count;

	if (ranges->count == 0)
		return NULL;
	low = ranges->blocks[block];
	count = ranges->blocks[block + 1] - low;
	while (count > 0) {
		const __u32 half = (count + 1) / 2;
		const bool is_above = ranges->starts[low + half] <= address;

		low += is_above ? half : 0;
		count = is_above ? count - half : half - 1;
	}
	return &ranges->values[low];
}

static __always_inline bool nest_user_is_at_most(const struct nest_user_address6 *a,
						 const struct nest_user_address6 *b)
{
	return a->high < b->high || (a->high == b->high && a->low <= b->low);
}

static __always_inline const __u64 *nest_user_range6(const struct nest_user_ranges6 *ranges,
						     const struct nest_user_address6 *address)
{
	__u32 low = 0;
	__u32 count;

	if (ranges->count == 0)
		return NULL;
	count = ranges->count - 1;
	while (count > 0) {
		const __u32 half = (count + 1) / 2;
		const bool is_above = nest_user_is_at_most(&ranges->starts[low + half], address);

		low += is_above ? half : 0;
		count = is_above ? count - half : half - 1;
	}
	return &ranges->values[low];
}

static __always_inline __u32 nest_user_pair_hash(const struct nest_user_pairs *pairs,
						 const struct nest_pair *key)
{
	const __u64 words = (__u64)key->source << 32 | key->destination;

	return (__u32)nest_user_mix((words ^ pairs->seed) + key->l4 * 0x9e3779b97f4a7c15ull);
}

static __always_inline const struct nest_port_set *
nest_user_pair_find(const struct nest_user_pairs *pairs, const struct nest_pair *key)
{
	__u32 position = nest_user_pair_hash(pairs, key) & pairs->mask;

	if (!pairs->slots)
		return NULL;
	for (__u32 step = 0; step <= pairs->mask; step++) {
		const struct nest_user_pair_slot *slot = &pairs->slots[position];

		if (slot->key.l4 == 0)
			return NULL;
		if (slot->key.source == key->source && slot->key.destination == key->destination &&
		    slot->key.l4 == key->l4)
			return &slot->ports;
		position = (position + 1) & pairs->mask;
	}
	return NULL;
}

static __always_inline bool nest_user_backend_is(const struct nest_backend_key *a,
						 const struct nest_backend_key *b)
{
	return a->balancer == b->balancer && a->port == b->port && a->family == b->family &&
	       a->address[0] == b->address[0] && a->address[1] == b->address[1] &&
	       a->address[2] == b->address[2] && a->address[3] == b->address[3];
}

static __always_inline __u32 nest_user_backend_hash(__u64 seed, const struct nest_backend_key *key)
{
	__u64 hash = seed ^ ((__u64)key->balancer << 32 | (__u32)key->port << 8 | key->family);

	hash = nest_user_mix(hash) ^ ((__u64)key->address[0] << 32 | key->address[1]);
	return (__u32)nest_user_mix(nest_user_mix(hash) ^
				    ((__u64)key->address[2] << 32 | key->address[3]));
}

static __always_inline const __u32 *nest_user_backend_find(const struct nest_user_half *half,
							   const struct nest_backend_key *key)
{
	__u32 position = nest_user_backend_hash(half->pairs.seed, key) & half->backend_mask;

	if (half->backend_count == 0)
		return NULL;
	for (__u32 step = 0; step <= half->backend_mask; step++) {
		const struct nest_user_backend_slot *slot = &half->backend_slots[position];

		if (slot->index == NEST_USER_FREE)
			return NULL;
		if (nest_user_backend_is(&slot->key, key))
			return &slot->index;
		position = (position + 1) & half->backend_mask;
	}
	return NULL;
}

#endif
