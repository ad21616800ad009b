/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * Fragments and limited sources outside the kernel: few, and asked by few packets. Sets of eight
 * under a lock of their own, of which the least recently used goes.
 */
#ifndef NEST_USER_RECENT_H
#define NEST_USER_RECENT_H

#include "user_flows.h"

#define NEST_USER_SET_WAYS 8u

/* seen_ns 0: free. */
struct nest_user_fragment {
	struct nest_fragment_key key;
	__u64 used_ns;
	struct nest_fragment fragment;
};

struct nest_user_source {
	struct nest_source_key key;
	__u64 used_ns;
	struct nest_bucket bucket;
	__u64 pad;
};
_Static_assert(sizeof(struct nest_user_source) == 64, "one cache line");

struct nest_user_fragment_set {
	struct nest_user_fragment ways[NEST_USER_SET_WAYS];
	__u32 lock;
	__u32 pad[15];
};

struct nest_user_source_set {
	struct nest_user_source ways[NEST_USER_SET_WAYS];
	__u32 lock;
	__u32 pad[15];
};

struct nest_user_recent {
	struct nest_user_fragment_set *fragments;
	struct nest_user_source_set *sources;
	__u64 seed;
	__u32 fragment_mask;
	__u32 source_mask;
};

/* Of keys that are whole words. */
static __always_inline __u64 nest_user_hash_words(__u64 seed, const __u64 *words, __u32 count)
{
	__u64 hash = seed;

	for (__u32 i = 0; i < count; i++)
		hash = nest_user_mix(hash ^ words[i]);
	return hash;
}

static __always_inline bool nest_user_same_words(const __u64 *a, const __u64 *b, __u32 count)
{
	__u64 difference = 0;

	for (__u32 i = 0; i < count; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}

_Static_assert(sizeof(struct nest_fragment_key) == 40 && sizeof(struct nest_source_key) == 24,
	       "whole words");

static inline struct nest_user_fragment_set *
nest_user_fragment_set(const struct nest_user_recent *recent, const struct nest_fragment_key *key)
{
	const __u64 hash = nest_user_hash_words(recent->seed, (const __u64 *)key, 5);

	return &recent->fragments[(__u32)hash & recent->fragment_mask];
}

/* The way of a key in a locked set; NEST_USER_SET_WAYS when it is not there. */
static inline __u32 nest_user_fragment_way(const struct nest_user_fragment_set *set,
					   const struct nest_fragment_key *key)
{
	__u32 way = 0;

	while (way < NEST_USER_SET_WAYS &&
	       !(set->ways[way].used_ns &&
		 nest_user_same_words((const __u64 *)&set->ways[way].key, (const __u64 *)key, 5)))
		way++;
	return way;
}

/* Copies what is known of a datagram; false when nothing is. */
static inline bool nest_user_fragment_find(const struct nest_user_recent *recent,
					   const struct nest_fragment_key *key,
					   struct nest_fragment *copy, __u64 now_ns)
{
	struct nest_user_fragment_set *set = nest_user_fragment_set(recent, key);
	__u32 way;

	nest_user_lock(&set->lock);
	way = nest_user_fragment_way(set, key);
	if (way < NEST_USER_SET_WAYS) {
		*copy = set->ways[way].fragment;
		set->ways[way].used_ns = now_ns | 1;
	}
	nest_user_unlock(&set->lock);
	return way < NEST_USER_SET_WAYS;
}

/* NULL forgets the datagram. */
static inline void nest_user_fragment_set_to(const struct nest_user_recent *recent,
					     const struct nest_fragment_key *key,
					     const struct nest_fragment *fragment, __u64 now_ns)
{
	struct nest_user_fragment_set *set = nest_user_fragment_set(recent, key);
	__u32 way;

	nest_user_lock(&set->lock);
	way = nest_user_fragment_way(set, key);
	if (!fragment) {
		if (way < NEST_USER_SET_WAYS)
			set->ways[way].used_ns = 0;
	} else {
		if (way == NEST_USER_SET_WAYS) {
			way = 0;
			for (__u32 i = 1; i < NEST_USER_SET_WAYS; i++)
				if (set->ways[i].used_ns < set->ways[way].used_ns)
					way = i;
		}
		set->ways[way].key = *key;
		set->ways[way].fragment = *fragment;
		set->ways[way].used_ns = now_ns | 1;
	}
	nest_user_unlock(&set->lock);
}

/*
 * The bucket of a source, made when it is new and that is wanted. Another lane may give the place to
 * another source while this one takes its tokens: a packet is then charged to the wrong one of them.
 */
static inline struct nest_bucket *nest_user_source_find(const struct nest_user_recent *recent,
							const struct nest_source_key *key,
							__u64 now_ns, bool is_wanted)
{
	const __u64 hash = nest_user_hash_words(recent->seed, (const __u64 *)key, 3);
	struct nest_user_source_set *set = &recent->sources[(__u32)hash & recent->source_mask];
	struct nest_user_source *found = NULL;
	struct nest_user_source *oldest = &set->ways[0];

	nest_user_lock(&set->lock);
	for (__u32 i = 0; i < NEST_USER_SET_WAYS && !found; i++) {
		struct nest_user_source *source = &set->ways[i];

		if (source->used_ns &&
		    nest_user_same_words((const __u64 *)&source->key, (const __u64 *)key, 3))
			found = source;
		if (source->used_ns < oldest->used_ns)
			oldest = source;
	}
	if (!found && is_wanted) {
		found = oldest;
		found->key = *key;
		found->bucket = (struct nest_bucket){0};
	}
	if (found && is_wanted)
		found->used_ns = now_ns | 1;
	nest_user_unlock(&set->lock);
	return found ? &found->bucket : NULL;
}

#endif
