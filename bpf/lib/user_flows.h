/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The flow table outside the kernel, shared by all lanes. Buckets of one cache line name entries of
 * a pool; entries never move. Readers take no lock: a slot is one word, written last when an entry
 * is put in and first when it is taken out, and an entry that was taken out is not used again
 * before every lane has left the burst in which it may have found it. Writers hold the bucket's
 * lock, for some tens of nanoseconds. At the limit the bucket's least recently used entry goes.
 */
#ifndef NEST_USER_FLOWS_H
#define NEST_USER_FLOWS_H

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "user_tables.h"

#define NEST_USER_WAYS       15u
#define NEST_USER_INDEX_BITS 22u /* of a slot; the rest is a piece of the hash */
#define NEST_USER_INDEX_MASK ((1u << NEST_USER_INDEX_BITS) - 1u)

/* Free entries a lane keeps; below the low mark it takes from the pool, and evicts when that is empty. */
#define NEST_USER_SPARE_MAX 512u
#define NEST_USER_SPARE_LOW 128u
/* Entries taken out that a lane cannot use again yet; at this it evicts nothing and stores nothing. */
#define NEST_USER_LIMBO_MAX 1024u

#define NEST_USER_EXISTS    (-17L) /* EEXIST, as the kernel's maps answer */
#define NEST_USER_NO_MEMORY (-12L) /* ENOMEM */

struct nest_user_bucket {
	__u32 slots[NEST_USER_WAYS]; /* tag << NEST_USER_INDEX_BITS | entry + 1; 0 = free */
	__u32 lock;
};
_Static_assert(sizeof(struct nest_user_bucket) == 64, "one cache line");

/* family 0: not in the table. */
struct nest_user_entry {
	__u64 key[5];
	__u64 hash;
	__u32 family;
	__u32 pad[3];
	struct nest_flow flow;
};
_Static_assert(sizeof(struct nest_user_entry) == 192, "three cache lines");
_Static_assert(offsetof(struct nest_user_entry, flow) == 64, "the flow's first line is whole");

struct nest_user_limbo {
	__u64 epoch; /* usable when no lane is inside of an older one */
	__u32 entry;
	__u32 pad;
};

/* What one lane, or the control thread, keeps of the pool. */
struct nest_user_spares {
	__u32 free_count;
	__u32 limbo_first; /* counts up; position & (NEST_USER_LIMBO_MAX - 1) */
	__u32 limbo_end;
	__u32 pad;
	__u32 free[NEST_USER_SPARE_MAX];
	struct nest_user_limbo limbo[NEST_USER_LIMBO_MAX];
};

struct nest_user_flow_table {
	struct nest_user_bucket *buckets;
	struct nest_user_entry *entries;
	__u32 *pool; /* free entries that no lane keeps */
	__u64 seed;
	__u32 bucket_mask;
	__u32 entry_count;
	__u32 pool_count;
	__u32 pool_lock;
};

static __always_inline void nest_user_pause(void)
{
#if defined(__SSE2__)
	_mm_pause();
#endif
}

static __always_inline void nest_user_lock(__u32 *lock)
{
	while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(lock, __ATOMIC_RELAXED))
			nest_user_pause();
}

static __always_inline void nest_user_unlock(__u32 *lock)
{
	__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

/* key_words of the scratch: two words for IPv4, five for IPv6. */
static __always_inline __u64 nest_user_flow_hash(__u64 seed, const __u64 *key, __u32 family)
{
	__u64 hash = (key[0] ^ seed) * 0x9fb21c651e98df25ull;

	hash ^= hash >> 32;
	hash = (hash + key[1]) * 0xd6e8feb86659fd93ull;
	if (family == 6) {
		for (int i = 2; i < 5; i++) {
			hash ^= hash >> 32;
			hash = (hash + key[i]) * 0x9fb21c651e98df25ull;
		}
	}
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93ull;
	return hash ^ hash >> 29;
}

static __always_inline bool nest_user_entry_is(const struct nest_user_entry *entry,
					       const __u64 *key, __u32 family)
{
	if (entry->family != family || entry->key[0] != key[0] || entry->key[1] != key[1])
		return false;
	return family == 4 ||
	       (entry->key[2] == key[2] && entry->key[3] == key[3] && entry->key[4] == key[4]);
}

static __always_inline struct nest_user_bucket *
nest_user_bucket_of(const struct nest_user_flow_table *table, __u64 hash)
{
	return &table->buckets[(__u32)hash & table->bucket_mask];
}

/* The upper bits of a slot: other bits of the hash than those that choose the bucket. */
static __always_inline __u32 nest_user_tag(__u64 hash)
{
	return (__u32)(hash >> 32) & ~NEST_USER_INDEX_MASK;
}

/* A bit for each slot with that tag; free slots may be among them. */
static __always_inline __u32 nest_user_candidates(const struct nest_user_bucket *bucket, __u32 tag)
{
	__u32 found = 0;

#if defined(__SSE2__)
	const __m128i mask = _mm_set1_epi32((int)~NEST_USER_INDEX_MASK);
	const __m128i wanted = _mm_set1_epi32((int)tag);

	for (int i = 0; i < 4; i++) {
		const __m128i slots = _mm_load_si128((const __m128i *)bucket + i);
		const __m128i equal = _mm_cmpeq_epi32(_mm_and_si128(slots, mask), wanted);

		found |= (__u32)_mm_movemask_ps(_mm_castsi128_ps(equal)) << (i * 4);
	}
#else
	for (__u32 i = 0; i < NEST_USER_WAYS; i++)
		found |= (__u32)((bucket->slots[i] & ~NEST_USER_INDEX_MASK) == tag) << i;
#endif
	return found & ((1u << NEST_USER_WAYS) - 1u);
}

/* The entry of a key; way, when wanted, is its slot. */
static __always_inline struct nest_user_entry *
nest_user_flow_find(const struct nest_user_flow_table *table, const __u64 *key, __u32 family,
		    __u64 hash, __u32 *way)
{
	const struct nest_user_bucket *bucket = nest_user_bucket_of(table, hash);
	__u32 candidates = nest_user_candidates(bucket, nest_user_tag(hash));

	while (candidates) {
		const __u32 position = (__u32)__builtin_ctz(candidates);
		const __u32 slot = __atomic_load_n(&bucket->slots[position], __ATOMIC_ACQUIRE) &
				   NEST_USER_INDEX_MASK;

		candidates &= candidates - 1;
		if (slot && nest_user_entry_is(&table->entries[slot - 1], key, family)) {
			if (way)
				*way = position;
			return &table->entries[slot - 1];
		}
	}
	return NULL;
}

/* Takes an entry out of its slot, whose bucket is locked. Lanes that enter from now on miss it. */
static inline void nest_user_flow_retire(struct nest_user_flow_table *table,
					 struct nest_user_spares *spares,
					 struct nest_user_bucket *bucket, __u32 way, __u64 *epoch)
{
	const __u32 entry = (bucket->slots[way] & NEST_USER_INDEX_MASK) - 1;
	struct nest_user_limbo *limbo =
		&spares->limbo[spares->limbo_end & (NEST_USER_LIMBO_MAX - 1)];

	__atomic_store_n(&bucket->slots[way], 0, __ATOMIC_RELEASE);
	__atomic_store_n(&table->entries[entry].family, 0, __ATOMIC_RELAXED);
	limbo->entry = entry;
	limbo->epoch = __atomic_add_fetch(epoch, 1, __ATOMIC_SEQ_CST);
	spares->limbo_end++;
}

static __always_inline bool nest_user_limbo_is_full(const struct nest_user_spares *spares)
{
	return spares->limbo_end - spares->limbo_first >= NEST_USER_LIMBO_MAX;
}

/* The slot of the least recently used entry; NEST_USER_WAYS when the bucket is empty. */
static inline __u32 nest_user_flow_oldest(const struct nest_user_flow_table *table,
					  const struct nest_user_bucket *bucket)
{
	__u64 oldest_ns = ~0ull;
	__u32 oldest = NEST_USER_WAYS;

	for (__u32 i = 0; i < NEST_USER_WAYS; i++) {
		const __u32 slot = bucket->slots[i] & NEST_USER_INDEX_MASK;

		if (slot && table->entries[slot - 1].flow.last_seen_ns < oldest_ns) {
			oldest_ns = table->entries[slot - 1].flow.last_seen_ns;
			oldest = i;
		}
	}
	return oldest;
}

static inline __u32 nest_user_flow_gap(const struct nest_user_bucket *bucket)
{
	__u32 way = 0;

	while (way < NEST_USER_WAYS && bucket->slots[way])
		way++;
	return way;
}

/* Between packets the lane takes from the pool again, unless that is empty. */
static inline bool nest_user_is_dry(const struct nest_user_flow_table *table,
				    const struct nest_user_spares *spares)
{
	return spares->free_count < NEST_USER_SPARE_LOW &&
	       __atomic_load_n(&table->pool_count, __ATOMIC_RELAXED) == 0;
}

/*
 * Puts a flow in. 0, NEST_USER_EXISTS only without replace, or NEST_USER_NO_MEMORY. A replaced entry
 * is a new one: whoever still reads the old one reads it to the end.
 */
static inline long nest_user_flow_put(struct nest_user_flow_table *table,
				      struct nest_user_spares *spares, const __u64 *key,
				      __u32 family, const struct nest_flow *flow, bool replace,
				      __u64 *epoch)
{
	const __u64 hash = nest_user_flow_hash(table->seed, key, family);
	struct nest_user_bucket *bucket = nest_user_bucket_of(table, hash);
	struct nest_user_entry *entry;
	__u32 way = NEST_USER_WAYS;
	long result = 0;

	nest_user_lock(&bucket->lock);
	if (nest_user_flow_find(table, key, family, hash, &way) && !replace) {
		result = NEST_USER_EXISTS;
		goto out;
	}
	if (spares->free_count == 0 || nest_user_limbo_is_full(spares)) {
		result = NEST_USER_NO_MEMORY;
		goto out;
	}
	if (way == NEST_USER_WAYS) {
		way = nest_user_flow_gap(bucket);
		/* No slot, or nothing left to take: one goes for one that comes. */
		if (way == NEST_USER_WAYS || nest_user_is_dry(table, spares)) {
			const __u32 oldest = nest_user_flow_oldest(table, bucket);

			if (oldest != NEST_USER_WAYS)
				way = oldest;
		}
	}
	if (bucket->slots[way])
		nest_user_flow_retire(table, spares, bucket, way, epoch);
	entry = &table->entries[spares->free[--spares->free_count]];
	for (int i = 0; i < 5; i++)
		entry->key[i] = family == 4 && i > 1 ? 0 : key[i];
	entry->hash = hash;
	entry->flow = *flow;
	__atomic_store_n(&entry->family, family, __ATOMIC_RELAXED);
	__atomic_store_n(&bucket->slots[way],
			 nest_user_tag(hash) | ((__u32)(entry - table->entries) + 1),
			 __ATOMIC_RELEASE);
out:
	nest_user_unlock(&bucket->lock);
	return result;
}

static inline void nest_user_flow_remove(struct nest_user_flow_table *table,
					 struct nest_user_spares *spares, const __u64 *key,
					 __u32 family, __u64 *epoch)
{
	const __u64 hash = nest_user_flow_hash(table->seed, key, family);
	struct nest_user_bucket *bucket = nest_user_bucket_of(table, hash);
	__u32 way;

	nest_user_lock(&bucket->lock);
	if (!nest_user_limbo_is_full(spares) && nest_user_flow_find(table, key, family, hash, &way))
		nest_user_flow_retire(table, spares, bucket, way, epoch);
	nest_user_unlock(&bucket->lock);
}

#endif
