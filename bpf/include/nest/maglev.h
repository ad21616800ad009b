/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * Consistent hashing after Maglev (Eisenbud et al., NSDI 2016), with weights: who fills a ring
 * (the loader, every user-space engine, tests) and who asks it (bpf/lib/balance.h) take both from
 * here. C and C++, no library.
 */
#ifndef NEST_MAGLEV_H
#define NEST_MAGLEV_H

#include "abi.h"

/* ---- the hash of a flow ---- */

#define NEST_HASH_SEED 0x4e455354u

/* Every bit of the word moves every bit of the hash; 32-bit products only, as Math.imul gives. */
static inline __attribute__((always_inline)) __u32 nest_hash_word(__u32 hash, __u32 word)
{
	hash ^= word;
	hash ^= hash >> 16;
	hash *= 0x7feb352du;
	hash ^= hash >> 15;
	hash *= 0x846ca68bu;
	return hash ^ hash >> 16;
}

/*
 * Of an address as it lies in memory, read as little-endian words. For the flow hash: the source
 * from NEST_HASH_SEED on, then the destination, then nest_hash_word of the ports (as four bytes of a
 * header, likewise) and of the protocol; for affinity the source alone.
 */
static inline __attribute__((always_inline)) __u32 nest_hash_address(__u32 hash, __u8 family,
								     const __be32 *address)
{
	hash = nest_hash_word(hash, address[0]);
	if (family == 4)
		return hash;
	hash = nest_hash_word(hash, address[1]);
	hash = nest_hash_word(hash, address[2]);
	return nest_hash_word(hash, address[3]);
}

/* ---- filling a ring ---- */

/* What nest_maglev_fill needs per backend while it works. */
struct nest_maglev_turn {
	__u64 due;      /* it takes a position in the round that reaches this */
	__u32 position; /* next one it would like */
	__u32 skip;     /* 1 .. NEST_RING_SIZE - 1: walks through all, as the size is prime */
	__u16 backend;
	__u16 weight;
};

/* A backend of the family that new flows may go to. */
static inline __attribute__((always_inline)) int
nest_maglev_is_eligible(const struct nest_backend *backend, __u8 family)
{
	return backend->family == family && backend->state == NEST_BACKEND_UP &&
	       backend->weight > 0;
}

/*
 * Fills the ring of one balancer and family from backends[first .. first + count - 1]; `turns` has
 * room for `count`. A position holds an index in `backends`, so give the whole table. Returns how
 * many backends share the ring; with none, every position is NEST_BACKEND_NONE.
 *
 * The backends take positions in turns: in a round each one whose weight has accumulated to the
 * largest weight takes the next free position of its own permutation, which its seed alone decides.
 * At most NEST_RING_SIZE rounds, and at most NEST_RING_SIZE steps per backend in all of them.
 *
 * It clears the ring first: fill a copy, and copy that over a ring in use.
 */
static inline __u32 nest_maglev_fill(struct nest_ring *ring, const struct nest_backend *backends,
				     __u32 first, __u32 count, __u8 family,
				     struct nest_maglev_turn *turns)
{
	__u32 eligible = 0;
	__u32 weight_max = 0;
	__u32 filled = 0;
	__u32 i;
	__u64 round;

	for (i = 0; i < NEST_RING_SLOTS; i++)
		ring->backend[i] = NEST_BACKEND_NONE;
	for (i = 0; i < count; i++) {
		const struct nest_backend *backend = &backends[first + i];
		struct nest_maglev_turn *turn = &turns[eligible];

		if (!nest_maglev_is_eligible(backend, family))
			continue;
		turn->position = nest_hash_word(backend->seed, 1) % NEST_RING_SIZE;
		turn->skip = nest_hash_word(backend->seed, 2) % (NEST_RING_SIZE - 1) + 1;
		turn->backend = (__u16)(first + i);
		turn->weight = backend->weight;
		if (backend->weight > weight_max)
			weight_max = backend->weight;
		eligible++;
	}
	if (eligible == 0)
		return 0;
	for (i = 0; i < eligible; i++)
		turns[i].due = weight_max;
	for (round = 1; filled < NEST_RING_SIZE; round++) {
		for (i = 0; i < eligible && filled < NEST_RING_SIZE; i++) {
			struct nest_maglev_turn *turn = &turns[i];

			if (round * turn->weight < turn->due)
				continue;
			turn->due += weight_max;
			while (ring->backend[turn->position] != NEST_BACKEND_NONE) {
				turn->position += turn->skip;
				if (turn->position >= NEST_RING_SIZE)
					turn->position -= NEST_RING_SIZE;
			}
			ring->backend[turn->position] = turn->backend;
			filled++;
		}
	}
	return eligible;
}

#endif
