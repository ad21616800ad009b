/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* Counters and records of a lane, for readers in this process and in others that map the memory. */
#include "memory.h"

/* Where something lies in this mapping: pointers are those of whoever laid the memory out. */
static void* here(const struct nest_user* user, const void* there) {
  return (uint8_t*)(uintptr_t)user + ((const uint8_t*)there - (const uint8_t*)user->self);
}

static struct nest_user_lane* lane_of(const struct nest_user* user, uint32_t lane) {
  return (struct nest_user_lane*)here(user, user->lanes) + lane;
}

void nest_user_counters(struct nest_user* user, uint32_t lane_index, struct nest_user_counters* counters) {
  const struct nest_user_lane* lane = lane_of(user, lane_index);

  *counters = (struct nest_user_counters){
      .interfaces = here(user, lane->interfaces),
      .mappings = here(user, lane->mappings),
      .limits = here(user, lane->limits),
      .deny = here(user, lane->deny),
      .backends = here(user, lane->backends),
      .stats = here(user, lane->stats),
      .losses = here(user, lane->losses),
  };
}

struct nest_user_ring* nest_user_ring(struct nest_user* user, uint32_t lane) {
  return here(user, lane_of(user, lane)->ring);
}

uint32_t nest_user_records(struct nest_user* user, uint32_t lane, struct nest_record* records,
                           uint32_t limit) {
  struct nest_user_ring* ring = nest_user_ring(user, lane);
  const __u64 written = __atomic_load_n(&ring->written, __ATOMIC_ACQUIRE);
  const uint32_t capacity = nest_user_root_of(user)->sizes.records;
  __u64 taken = ring->taken;
  uint32_t count = 0;

  for (; taken != written && count < limit; taken++) records[count++] = ring->slots[taken & (capacity - 1)];
  __atomic_store_n(&ring->taken, taken, __ATOMIC_RELEASE);
  return count;
}
