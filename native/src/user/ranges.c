/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
#include <stdint.h>

#include "ranges.h"

static void emit6(struct nest_user_ranges6* ranges, struct nest_user_address6 start, uint64_t value) {
  if (ranges->count > 0) {
    const struct nest_user_address6* last = &ranges->starts[ranges->count - 1];

    if (last->high == start.high && last->low == start.low) {
      ranges->values[ranges->count - 1] = value;
      return;
    }
    if (ranges->values[ranges->count - 1] == value) return;
  }
  ranges->starts[ranges->count] = start;
  ranges->values[ranges->count] = value;
  ranges->count++;
}

/* Ends the innermost prefix: what follows belongs to the one around it. */
static void close6(struct nest_user_builder6* builder) {
  const struct nest_user_address6 last = builder->open[builder->depth - 1].last;
  struct nest_user_address6 after = {.high = last.high, .low = last.low + 1};

  builder->depth--;
  if (after.low == 0 && ++after.high == 0) return;
  emit6(builder->ranges, after, builder->depth ? builder->open[builder->depth - 1].value : 0);
}

static bool is_after(const struct nest_user_address6* a, const struct nest_user_address6* b) {
  return !nest_user_is_at_most(a, b);
}

void nest_user_begin6(struct nest_user_builder6* builder, struct nest_user_ranges6* ranges) {
  builder->ranges = ranges;
  builder->depth = 0;
  ranges->count = 0;
  emit6(ranges, (struct nest_user_address6){0, 0}, 0);
}

void nest_user_add6(struct nest_user_builder6* builder, const uint8_t* address, uint32_t length,
                    uint64_t value) {
  __be32 words[4];
  struct nest_user_address6 first, last;

  __builtin_memcpy(words, address, sizeof(words));
  first = nest_user_number6(words);
  last = first;
  last.high |= length >= 64 ? 0 : ~0ull >> length;
  last.low |= length >= 128 ? 0 : length <= 64 ? ~0ull : ~0ull >> (length - 64);
  while (builder->depth > 0 && is_after(&first, &builder->open[builder->depth - 1].last)) close6(builder);
  builder->open[builder->depth].last = last;
  builder->open[builder->depth].value = value;
  builder->depth++;
  emit6(builder->ranges, first, value);
}

void nest_user_end6(struct nest_user_builder6* builder) {
  while (builder->depth > 0) close6(builder);
}

static void emit4(struct nest_user_ranges4* ranges, uint32_t start, uint64_t value) {
  if (ranges->count > 0) {
    if (ranges->starts[ranges->count - 1] == start) {
      ranges->values[ranges->count - 1] = value;
      return;
    }
    if (ranges->values[ranges->count - 1] == value) return;
  }
  ranges->starts[ranges->count] = start;
  ranges->values[ranges->count] = value;
  ranges->count++;
}

static void close4(struct nest_user_builder4* builder) {
  const uint32_t after = builder->open[builder->depth - 1].last + 1;

  builder->depth--;
  if (after != 0) emit4(builder->ranges, after, builder->depth ? builder->open[builder->depth - 1].value : 0);
}

void nest_user_begin4(struct nest_user_builder4* builder, struct nest_user_ranges4* ranges) {
  builder->ranges = ranges;
  builder->depth = 0;
  ranges->count = 0;
  emit4(ranges, 0, 0);
}

void nest_user_add4(struct nest_user_builder4* builder, const uint8_t* address, uint32_t length,
                    uint64_t value) {
  uint32_t first, last;

  __builtin_memcpy(&first, address, sizeof(first));
  first = nest_user_swap32(first);
  last = first | (length >= 32 ? 0 : ~0u >> length);
  while (builder->depth > 0 && first > builder->open[builder->depth - 1].last) close4(builder);
  builder->open[builder->depth].last = last;
  builder->open[builder->depth].value = value;
  builder->depth++;
  emit4(builder->ranges, first, value);
}

void nest_user_end4(struct nest_user_builder4* builder) {
  struct nest_user_ranges4* ranges = builder->ranges;
  uint32_t range = 0;

  while (builder->depth > 0) close4(builder);
  for (uint32_t block = 0; block < NEST_USER_BLOCKS4; block++) {
    while (range + 1 < ranges->count && ranges->starts[range + 1] <= block << 16) range++;
    ranges->blocks[block] = range;
  }
  ranges->blocks[NEST_USER_BLOCKS4] = ranges->count - 1;
}
