/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* What the files of this folder share. Not for users of verdict.h. */
#ifndef NEST_USER_MEMORY_H
#define NEST_USER_MEMORY_H

#include <nest/image.h>

#include "verdict.h"

#include "lib/runtime_user.h"

/* struct nest_user, and what only control functions need. */
struct nest_user_root {
  struct nest_user user;
  struct nest_user_sizes sizes;
  uint64_t magic;
  uint64_t half_left[2]; /* the epoch at which lanes began to leave the half */
  uint64_t surroundings_left[2];
  uint32_t* route_order;
  const char* refusal; /* of the last image; read-only data of this program */
};

static inline struct nest_user_root* nest_user_root_of(struct nest_user* user) {
  return (struct nest_user_root*)user;
}

/* The sections of an image, in place. */
struct nest_user_image {
  const struct nest_image_header* header;
  const struct nest_image_identity4* identities4;
  const struct nest_image_identity6* identities6;
  const struct nest_image_pair* pairs;
  const struct nest_port_interval* port_intervals;
  const struct nest_image_mapping* mappings;
  const struct nest_image_action* actions;
  const struct nest_image_deny4* deny4;
  const struct nest_image_deny6* deny6;
  const struct nest_balancer* balancers;
  const struct nest_backend* backends;
  const uint8_t* names;
  uint32_t ring_count;
};

/* The sections, when header and lengths are right; else what is wrong. `image` is eight-byte aligned. */
const char* nest_user_image_open(const void* image, size_t bytes, struct nest_user_image* sections);

/* What is wrong with the contents of opened sections; NULL when nothing is. `set_sizes` has room for
 * one word per port interval. */
const char* nest_user_image_check(struct nest_user_image* sections, uint32_t* set_sizes);

/* Fills a half that no lane reads from a checked image that fits. */
void nest_user_half_fill(struct nest_user_root* root, uint32_t slot, const struct nest_user_image* image);

/* Waits, not without end, until every lane has left the bursts it entered before `epoch`. */
int nest_user_wait(const struct nest_user* user, uint64_t epoch);

/* Marks that something may no longer be found from now on. */
uint64_t nest_user_advance(struct nest_user* user);

/* The epoch of the oldest burst under way; ~0 when there is none. */
uint64_t nest_user_oldest_burst(const struct nest_user* user);

/* Gets spare entries back from limbo and from the pool, and returns what are too many. */
void nest_user_spares_balance(struct nest_user* user, struct nest_user_lane* lane);

#endif
