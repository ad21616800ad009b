/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* From sorted prefixes to disjoint ranges (bpf/lib/user_tables.h). */
#ifndef NEST_USER_RANGES_H
#define NEST_USER_RANGES_H

#include "lib/user_tables.h"

#define NEST_USER_DEPTH_MAX 130u /* prefixes of one family that contain one another, and one */

/* Prefixes that hold the next one wait in `open` for their ends. */
struct nest_user_builder4 {
  struct nest_user_ranges4* ranges;
  struct {
    uint32_t last; /* address */
    uint64_t value;
  } open[NEST_USER_DEPTH_MAX];
  uint32_t depth;
};

struct nest_user_builder6 {
  struct nest_user_ranges6* ranges;
  struct {
    struct nest_user_address6 last;
    uint64_t value;
  } open[NEST_USER_DEPTH_MAX];
  uint32_t depth;
};

/* begin, add each prefix by address, then length, end. `address` is in network order, without bits
 * behind the length. n prefixes need room for 2n + 1 ranges. */
void nest_user_begin4(struct nest_user_builder4* builder, struct nest_user_ranges4* ranges);
void nest_user_add4(struct nest_user_builder4* builder, const uint8_t* address, uint32_t length,
                    uint64_t value);
void nest_user_end4(struct nest_user_builder4* builder);

void nest_user_begin6(struct nest_user_builder6* builder, struct nest_user_ranges6* ranges);
void nest_user_add6(struct nest_user_builder6* builder, const uint8_t* address, uint32_t length,
                    uint64_t value);
void nest_user_end6(struct nest_user_builder6* builder);

#endif
