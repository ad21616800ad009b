/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * Rate limits: a token bucket per mapping, or per mapping and source, exact to a billionth of a packet or byte.
 *
 * A level stands for what was taken as time does for what was refilled: level - rate * now is what is in use, and a
 * level that time has overtaken is a full bucket. So refilling writes nothing, no remainder is ever lost, and one
 * compare and swap of one word takes a packet: races cannot let more than burst + rate * time pass. All of it is
 * modulo 2^64, which is unambiguous for NEST_LIMIT_HORIZON / rate nanoseconds. Before more than
 * NEST_LIMIT_SETTLE_NS have gone by, a packet settles the bucket: raises the levels that time has overtaken, then
 * moves refilled_ns, from which they are known to be right. A bucket left alone for longer than the horizon is full.
 *
 * Levels are raised before refilled_ns, and nothing is taken while that is old: who still sees the old time can only
 * raise them again.
 */
#ifndef NEST_LIMIT_H
#define NEST_LIMIT_H

#include "counters.h"

/* A packet that loses so many races in a row is over the limit. */
#define NEST_LIMIT_TRIES_MAX 8
#define NEST_LIMIT_SCALE     1000000000ull /* levels are in billionths */
#define NEST_LIMIT_SETTLE_NS 1000000ull

/* Under 2^63, and above the deepest bucket (4e9 bytes) by more than the fastest rate gives back while unsettled. */
#define NEST_LIMIT_HORIZON 9000000000000000000ull

static __always_inline bool nest_action_is_limited(const struct nest_action *action)
{
	return action && (action->packets_per_second | action->bytes_per_second) != 0;
}

/*
 * What is in use of a level, in billionths; settled_ns: time since refilled_ns. More than the depth is left from a
 * policy with another rate.
 */
static __always_inline __u64 nest_level_used(__u64 level, __u64 rate, __u64 depth, __u64 now_ns,
					     __u64 settled_ns)
{
	const __u64 used = level - rate * now_ns;

	if ((__s64)used < 0)
		return 0;
	if (settled_ns > NEST_LIMIT_SETTLE_NS &&
	    (used > depth || settled_ns >= NEST_LIMIT_HORIZON / rate))
		return 0;
	return used;
}

/* Raises a level that time has overtaken to now. False: somebody else has moved it. */
static __always_inline bool nest_level_settle(__u64 *level, __u64 seen, __u64 rate, __u64 depth,
					      __u64 now_ns, __u64 settled_ns)
{
	__u64 next;

	if (rate == 0)
		return true;
	next = rate * now_ns + nest_level_used(seen, rate, depth, now_ns, settled_ns);
	return next == seen || nest_runtime_compare_swap(level, seen, next) == seen;
}

/* Takes the cost if there is room, from a settled level. */
static __always_inline bool nest_level_take(__u64 *level, __u64 rate, __u64 depth, __u64 cost,
					    __u64 now_ns)
{
	for (int i = 0; i < NEST_LIMIT_TRIES_MAX; i++) {
		const __u64 seen = *(volatile __u64 *)level;
		const __u64 used = nest_level_used(seen, rate, depth, now_ns, 0);

		if (used + cost > depth)
			return false;
		if (nest_runtime_compare_swap(level, seen, rate * now_ns + used + cost) == seen)
			return true;
	}
	return false;
}

/* The levels are read before the time they are right from. */
static __always_inline struct nest_bucket nest_bucket_read(const struct nest_bucket *bucket)
{
	struct nest_bucket state;

	state.packets_used = *(const volatile __u64 *)&bucket->packets_used;
	state.bytes_used = *(const volatile __u64 *)&bucket->bytes_used;
	state.refilled_ns = *(const volatile __u64 *)&bucket->refilled_ns;
	return state;
}

/* Another CPU's reading of the clock may be the newer one: then that is the time. */
static __always_inline __u64 nest_bucket_time(const struct nest_bucket *state, __u64 now_ns)
{
	return now_ns > state->refilled_ns ? now_ns : state->refilled_ns;
}

/* Makes the levels right for now; returns the time to take at, 0 when others were always faster. */
static __always_inline __u64 nest_bucket_settle(struct nest_bucket *bucket,
						const struct nest_action *action, __u64 now_ns)
{
	for (int i = 0; i < NEST_LIMIT_TRIES_MAX; i++) {
		const struct nest_bucket state = nest_bucket_read(bucket);
		const __u64 time_ns = nest_bucket_time(&state, now_ns);
		const __u64 settled_ns = time_ns - state.refilled_ns;

		if (settled_ns <= NEST_LIMIT_SETTLE_NS)
			return time_ns;
		if (nest_level_settle(
			    &bucket->packets_used, state.packets_used, action->packets_per_second,
			    action->burst_packets * NEST_LIMIT_SCALE, time_ns, settled_ns) &&
		    nest_level_settle(&bucket->bytes_used, state.bytes_used,
				      action->bytes_per_second,
				      action->burst_bytes * NEST_LIMIT_SCALE, time_ns, settled_ns))
			nest_runtime_compare_swap(&bucket->refilled_ns, state.refilled_ns, time_ns);
	}
	return 0;
}

/* Whether a packet of that length fits a bucket in this state. */
static __always_inline bool nest_bucket_has_room(const struct nest_bucket *state,
						 const struct nest_action *action, __u32 bytes,
						 __u64 now_ns)
{
	const __u64 time_ns = nest_bucket_time(state, now_ns);
	const __u64 settled_ns = time_ns - state->refilled_ns;
	__u64 used, depth;

	if (action->packets_per_second) {
		depth = action->burst_packets * NEST_LIMIT_SCALE;
		used = nest_level_used(state->packets_used, action->packets_per_second, depth,
				       time_ns, settled_ns);
		if (used + NEST_LIMIT_SCALE > depth)
			return false;
	}
	if (action->bytes_per_second) {
		depth = action->burst_bytes * NEST_LIMIT_SCALE;
		used = nest_level_used(state->bytes_used, action->bytes_per_second, depth, time_ns,
				       settled_ns);
		if (used + bytes * NEST_LIMIT_SCALE > depth)
			return false;
	}
	return true;
}

/*
 * Takes a packet of that length from both levels, or from neither. When another CPU takes the last bytes in between,
 * the packet's own token is lost: giving it back could give it twice.
 */
static __always_inline bool nest_bucket_take(struct nest_bucket *bucket,
					     const struct nest_action *action, __u32 bytes,
					     __u64 now_ns)
{
	const __u64 time_ns = nest_bucket_settle(bucket, action, now_ns);
	const struct nest_bucket state = nest_bucket_read(bucket);

	if (time_ns == 0 || !nest_bucket_has_room(&state, action, bytes, time_ns))
		return false;
	if (action->packets_per_second &&
	    !nest_level_take(&bucket->packets_used, action->packets_per_second,
			     action->burst_packets * NEST_LIMIT_SCALE, NEST_LIMIT_SCALE, time_ns))
		return false;
	return !action->bytes_per_second ||
	       nest_level_take(&bucket->bytes_used, action->bytes_per_second,
			       action->burst_bytes * NEST_LIMIT_SCALE, bytes * NEST_LIMIT_SCALE,
			       time_ns);
}

/* The key of the bucket of the packet's source: an address, or, for IPv6, the /64 that one host can draw from. */
static __always_inline struct nest_source_key nest_limit_source(const struct nest_scratch *scratch,
								__u32 index)
{
	const struct nest_packet *packet = &scratch->packet;
	struct nest_source_key key = {.mapping = index, .family = packet->family};

	key.address[0] = packet->source[0];
	if (packet->family == 6)
		key.address[1] = packet->source[1];
	return key;
}

/* Where the mapping's buckets and counters lie: each policy begins with full buckets. */
static __always_inline __u32 nest_limit_index(const struct nest_scratch *scratch, __u32 mapping)
{
	return (scratch->control.sequence & 1) * (NEST_MAPPINGS_MAX + 1) + mapping;
}

/*
 * Takes a packet of the initiator from the limit of its mapping. False: over the limit. When there is no memory for a
 * new source, its packets pass.
 */
static __always_inline bool nest_limit_take(const struct nest_scratch *scratch,
					    const struct nest_action *action, __u32 mapping)
{
	const __u32 index = nest_limit_index(scratch, mapping);
	struct nest_bucket *bucket;

	if (action->flags & NEST_ACTION_LIMIT_PER_SOURCE) {
		const struct nest_source_key key = nest_limit_source(scratch, index);

		bucket = nest_runtime_source_bucket(&key);
	} else {
		bucket = nest_runtime_bucket(index);
	}
	return !bucket || nest_bucket_take(bucket, action, scratch->packet.length,
					   nest_runtime_clock_precise());
}

/* Whether nest_limit_take would return true. */
static __always_inline bool nest_limit_peek(const struct nest_scratch *scratch,
					    const struct nest_action *action, __u32 mapping)
{
	const __u32 index = nest_limit_index(scratch, mapping);
	const struct nest_bucket *bucket;
	struct nest_bucket state = {};

	if (action->flags & NEST_ACTION_LIMIT_PER_SOURCE) {
		const struct nest_source_key key = nest_limit_source(scratch, index);

		bucket = nest_runtime_source_bucket_peek(&key);
	} else {
		bucket = nest_runtime_bucket(index);
	}
	if (bucket)
		state = nest_bucket_read(bucket);
	return nest_bucket_has_room(&state, action, scratch->packet.length,
				    nest_runtime_clock_precise());
}

/*
 * Asks the limit of the mapping, if it has one, for a packet of the initiator. False: the packet is over it, and is
 * counted there and nowhere else. A trace takes and counts nothing. action may be NULL.
 */
static __always_inline bool nest_limit_allows(struct nest_scratch *scratch,
					      const struct nest_action *action, __u32 mapping,
					      bool is_traced)
{
	bool is_within;

	if (!nest_action_is_limited(action))
		return true;
	if (is_traced) {
		is_within = nest_limit_peek(scratch, action, mapping);
		scratch->limit = is_within ? NEST_TRACE_LIMIT_WITHIN : NEST_TRACE_LIMIT_OVER;
		return is_within;
	}
	is_within = nest_limit_take(scratch, action, mapping);
	if (!is_within)
		nest_count_limit(&scratch->packet, scratch->control.sequence, mapping);
	return is_within;
}

#endif
