/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The token bucket of bpf/lib/limit.h outside the kernel, for bucket.test.ts. With no argument: reads cases from
 * standard input (struct run_case, then its packets) and writes one byte per packet, 1 = within the limit. With
 * "race <packets per second> <burst> <milliseconds>": threads take from one bucket by the real clock; writes how many
 * packets they took, then the time of each one offered.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NEST_RUNTIME_H /* in the place of bpf/lib/runtime.h */

#include "../lib/scratch.h"

static __u64 nest_runtime_compare_swap(__u64 *value, __u64 expected, __u64 desired)
{
	return __sync_val_compare_and_swap(value, expected, desired);
}

static __u64 nest_runtime_clock_precise(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * 1000000000u + (__u64)now.tv_nsec;
}

/* The header declares more than the bucket, all of it by maps: none of that is called here. */
struct nest_counter *nest_runtime_interface_counter(__u32 interface, __u32 reason);
struct nest_counter *nest_runtime_mapping_counter(__u32 index);
struct nest_counter *nest_runtime_limit_counter(__u32 index);
struct nest_counter *nest_runtime_deny_counter(__u32 index);
__u64 *nest_runtime_stat(__u32 kind);
__u64 *nest_runtime_loss(__u32 kind);
struct nest_bucket *nest_runtime_bucket(__u32 index);
struct nest_bucket *nest_runtime_source_bucket(const struct nest_source_key *key);
const struct nest_bucket *nest_runtime_source_bucket_peek(const struct nest_source_key *key);

#include "../lib/limit.h"

#define THREADS    2
#define OFFERS_MAX 2000000u /* per thread */

struct run_case {
	__u64 packets_per_second, bytes_per_second, burst_packets, burst_bytes;
	__u64 count;
};

struct run_packet {
	__u64 now_ns, bytes;
};

struct taker {
	struct nest_bucket *bucket;
	const struct nest_action *action;
	__u64 until_ns, taken, offered;
	__u64 *times;
};

static int run_cases(void)
{
	struct run_case header;

	while (fread(&header, sizeof(header), 1, stdin) == 1) {
		const struct nest_action action = {
			.packets_per_second = header.packets_per_second,
			.bytes_per_second = header.bytes_per_second,
			.burst_packets = header.burst_packets,
			.burst_bytes = header.burst_bytes,
		};
		struct nest_bucket bucket = {};

		for (__u64 i = 0; i < header.count; i++) {
			struct run_packet packet;
			bool has_room, is_within;

			if (fread(&packet, sizeof(packet), 1, stdin) != 1)
				return 1;
			has_room = nest_bucket_has_room(&bucket, &action, (__u32)packet.bytes,
							packet.now_ns);
			is_within = nest_bucket_take(&bucket, &action, (__u32)packet.bytes,
						     packet.now_ns);
			/* A trace has to say what the packet would have met. */
			putchar(has_room == is_within ? is_within : 2);
		}
	}
	return 0;
}

static void *take(void *argument)
{
	struct taker *taker = argument;
	__u64 now_ns = nest_runtime_clock_precise();

	while (now_ns < taker->until_ns && taker->offered < OFFERS_MAX) {
		taker->times[taker->offered++] = now_ns;
		taker->taken += nest_bucket_take(taker->bucket, taker->action, 64, now_ns);
		now_ns = nest_runtime_clock_precise();
	}
	return NULL;
}

static int race(char **arguments)
{
	const struct nest_action action = {
		.packets_per_second = strtoull(arguments[0], NULL, 10),
		.burst_packets = strtoull(arguments[1], NULL, 10),
	};
	const __u64 until_ns =
		nest_runtime_clock_precise() + strtoull(arguments[2], NULL, 10) * 1000000u;
	struct nest_bucket bucket = {};
	struct taker takers[THREADS] = {};
	pthread_t threads[THREADS];
	__u64 taken = 0;

	for (int i = 0; i < THREADS; i++) {
		takers[i].bucket = &bucket;
		takers[i].action = &action;
		takers[i].until_ns = until_ns;
		takers[i].times = calloc(OFFERS_MAX, sizeof(__u64));
		if (!takers[i].times || pthread_create(&threads[i], NULL, take, &takers[i]) != 0)
			return 1;
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		taken += takers[i].taken;
	}
	fwrite(&taken, sizeof(taken), 1, stdout);
	for (int i = 0; i < THREADS; i++)
		fwrite(takers[i].times, sizeof(__u64), takers[i].offered, stdout);
	return 0;
}

int main(int count, char **arguments)
{
	if (count == 5 && strcmp(arguments[1], "race") == 0)
		return race(arguments + 2);
	return run_cases();
}
