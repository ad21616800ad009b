/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* How the caller's memory is divided, and who may write to which part of it when. */
#include "memory.h"

#define MAGIC 0x3252455355545345ull
#define ALIGNMENT 64u
#define TABLE_SLOTS_MIN 16u
#define FLOWS_PER_BUCKET 8u
/* Looks before a lane that does not leave its burst is called busy: some seconds. */
#define WAIT_LOOKS_MAX (1u << 30)

/* Walks through the memory; without a base it only counts. */
struct cursor {
  uint8_t* base;
  size_t offset;
};

static void* take(struct cursor* cursor, uint64_t count, size_t size) {
  const size_t offset = cursor->offset;

  cursor->offset += (size_t)((count * size + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1));
  return cursor->base ? cursor->base + offset : NULL;
}

static uint32_t power_of_two(uint32_t value) {
  uint32_t power = TABLE_SLOTS_MIN;

  while (power < value) power *= 2;
  return power;
}

static bool is_within(uint32_t value, uint32_t low, uint32_t high) {
  return value >= low && value <= high;
}

static bool are_valid(const struct nest_user_sizes* sizes) {
  return is_within(sizes->lanes, 1, NEST_USER_LANES_MAX) && is_within(sizes->flows, 1, NEST_USER_FLOWS_MAX) &&
         is_within(sizes->fragments, 1, 1u << 20) && is_within(sizes->sources, 1, 1u << 24) &&
         is_within(sizes->records, 64, 1u << 24) && (sizes->records & (sizes->records - 1)) == 0 &&
         sizes->routes <= 1u << 20 && sizes->identities4 <= NEST_IDENTITIES_MAX &&
         sizes->identities6 <= NEST_IDENTITIES_MAX && sizes->pairs <= NEST_PAIRS_MAX &&
         sizes->port_intervals <= NEST_PORT_INTERVALS_MAX && sizes->deny4 <= NEST_DENY_PREFIXES_MAX &&
         sizes->deny6 <= NEST_DENY_PREFIXES_MAX && sizes->balancers <= NEST_BALANCERS_MAX &&
         sizes->backends <= NEST_BACKENDS_MAX;
}

void nest_user_sizes_usual(struct nest_user_sizes* sizes, uint32_t lanes) {
  *sizes = (struct nest_user_sizes){
      .lanes = lanes,
      .flows = 2 * NEST_FLOWS_MAX,
      .fragments = NEST_FRAGMENTS_MAX,
      .sources = NEST_SOURCES_MAX,
      .records = 32768,
      .routes = 4096,
      .identities4 = NEST_IDENTITIES_MAX,
      .identities6 = NEST_IDENTITIES_MAX,
      .pairs = NEST_PAIRS_MAX,
      .port_intervals = NEST_PORT_INTERVALS_MAX,
      .deny4 = NEST_DENY_PREFIXES_MAX,
      .deny6 = NEST_DENY_PREFIXES_MAX,
      .balancers = NEST_BALANCERS_MAX,
      .backends = NEST_BACKENDS_MAX,
  };
}

static void raise(uint32_t* size, uint32_t wanted) {
  if (*size < wanted) *size = wanted;
}

int nest_user_sizes_fit(struct nest_user_sizes* sizes, const void* image, size_t bytes) {
  struct nest_user_image sections;
  const struct nest_image_header* header;

  if (nest_user_image_open(image, bytes, &sections)) return NEST_USER_INVALID;
  header = sections.header;
  raise(&sizes->identities4, header->identity4_count);
  raise(&sizes->identities6, header->identity6_count);
  raise(&sizes->pairs, header->pair_count);
  raise(&sizes->port_intervals, header->port_interval_count);
  raise(&sizes->deny4, header->deny4_count);
  raise(&sizes->deny6, header->deny6_count);
  raise(&sizes->balancers, header->balancer_count);
  raise(&sizes->backends, header->backend_count);
  return 0;
}

/* n prefixes make at most 2n + 1 ranges. */
static void take_ranges4(struct cursor* cursor, struct nest_user_ranges4* ranges, uint32_t prefixes) {
  const uint64_t count = 2ull * prefixes + 1;

  ranges->table.kind = NEST_USER_IDENTITIES4;
  ranges->blocks = take(cursor, NEST_USER_BLOCKS4 + 1, sizeof(*ranges->blocks));
  ranges->starts = take(cursor, count, sizeof(*ranges->starts));
  ranges->values = take(cursor, count, sizeof(*ranges->values));
}

static void take_ranges6(struct cursor* cursor, struct nest_user_ranges6* ranges, uint32_t prefixes) {
  const uint64_t count = 2ull * prefixes + 1;

  ranges->table.kind = NEST_USER_IDENTITIES6;
  ranges->starts = take(cursor, count, sizeof(*ranges->starts));
  ranges->values = take(cursor, count, sizeof(*ranges->values));
}

static void take_half(struct cursor* cursor, struct nest_user_half* half,
                      const struct nest_user_sizes* sizes) {
  take_ranges4(cursor, &half->identities4, sizes->identities4);
  take_ranges6(cursor, &half->identities6, sizes->identities6);
  take_ranges4(cursor, &half->deny4, sizes->deny4);
  take_ranges6(cursor, &half->deny6, sizes->deny6);
  half->pairs.table.kind = NEST_USER_PAIRS;
  half->pairs.slots = take(cursor, power_of_two(2 * sizes->pairs), sizeof(struct nest_user_pair_slot));
  half->ports.table.kind = NEST_USER_PORTS;
  half->ports.intervals = take(cursor, sizes->port_intervals, sizeof(struct nest_port_interval));
  half->set_sizes = take(cursor, sizes->port_intervals, sizeof(uint32_t));
  half->action_of = take(cursor, NEST_MAPPINGS_MAX, sizeof(uint16_t));
  half->actions = take(cursor, NEST_MAPPINGS_MAX + 1, sizeof(struct nest_action));
  half->balancers = take(cursor, sizes->balancers, sizeof(struct nest_balancer));
  half->backends = take(cursor, sizes->backends, sizeof(struct nest_backend));
  half->backend_slots =
      take(cursor, power_of_two(2 * sizes->backends), sizeof(struct nest_user_backend_slot));
  half->turns = take(cursor, sizes->backends, sizeof(struct nest_maglev_turn));
  /* One more: rings in use are filled in a copy. */
  half->rings = take(cursor, sizes->balancers ? 2 * sizes->balancers + 1 : 0, sizeof(struct nest_ring));
}

static void take_surroundings(struct cursor* cursor, struct nest_user_surroundings* surroundings,
                              uint32_t routes) {
  surroundings->slot_of = take(cursor, NEST_INTERFACE_INDEX_MAX, 1);
  surroundings->ports = take(cursor, NEST_INTERFACES_MAX, sizeof(uint32_t));
  surroundings->addresses = take(cursor, NEST_INTERFACES_MAX, sizeof(struct nest_interface_address));
  take_ranges4(cursor, &surroundings->ranges4, routes);
  take_ranges6(cursor, &surroundings->ranges6, routes);
  surroundings->ways = take(cursor, routes, sizeof(struct nest_user_way));
}

static void take_lane(struct cursor* cursor, struct nest_user_lane* lane, uint32_t records) {
  lane->interfaces = take(cursor, NEST_INTERFACES_MAX * NEST_REASON_SLOTS, sizeof(struct nest_counter));
  lane->mappings = take(cursor, NEST_MAPPING_COUNTERS, sizeof(struct nest_counter));
  lane->limits = take(cursor, NEST_MAPPING_COUNTERS, sizeof(struct nest_counter));
  lane->deny = take(cursor, 2 * NEST_DENY_LISTS_MAX, sizeof(struct nest_counter));
  lane->backends = take(cursor, 2 * NEST_BACKENDS_MAX, sizeof(struct nest_backend_counter));
  lane->stats = take(cursor, NEST_STAT_KINDS, sizeof(uint64_t));
  lane->losses = take(cursor, NEST_LOSS_KINDS, sizeof(uint64_t));
  lane->ring = take(cursor, 1, sizeof(struct nest_user_ring) + records * sizeof(struct nest_record));
}

static uint32_t entries_of(const struct nest_user_sizes* sizes) {
  return sizes->flows + (sizes->lanes + 1) * NEST_USER_SPARE_MAX;
}

/* Sets every pointer; the same sizes give the same places. Without a base, `root` is a dummy. */
static size_t lay_out(struct nest_user_root* root, uint8_t* base, const struct nest_user_sizes* sizes) {
  struct cursor cursor = {.base = base};
  struct nest_user* user = &root->user;
  struct nest_user_lane dummy;
  uint32_t buckets = power_of_two(sizes->flows / FLOWS_PER_BUCKET);
  uint32_t sets;

  take(&cursor, 1, sizeof(*root));
  user->self = user;
  user->lane_count = sizes->lanes;
  user->lanes = take(&cursor, sizes->lanes + 1, sizeof(struct nest_user_lane));
  for (uint32_t i = 0; i <= sizes->lanes; i++)
    take_lane(&cursor, base ? &user->lanes[i] : &dummy, sizes->records);
  user->flows.bucket_mask = buckets - 1;
  user->flows.entry_count = entries_of(sizes);
  user->flows.buckets = take(&cursor, buckets, sizeof(struct nest_user_bucket));
  user->flows.pool = take(&cursor, user->flows.entry_count, sizeof(uint32_t));
  user->flows.entries = take(&cursor, user->flows.entry_count, sizeof(struct nest_user_entry));
  sets = power_of_two(sizes->fragments / NEST_USER_SET_WAYS);
  user->recent.fragment_mask = sets - 1;
  user->recent.fragments = take(&cursor, sets, sizeof(struct nest_user_fragment_set));
  sets = power_of_two(sizes->sources / NEST_USER_SET_WAYS);
  user->recent.source_mask = sets - 1;
  user->recent.sources = take(&cursor, sets, sizeof(struct nest_user_source_set));
  user->buckets = take(&cursor, NEST_MAPPING_COUNTERS, sizeof(struct nest_bucket));
  root->route_order = take(&cursor, sizes->routes, sizeof(uint32_t));
  for (int i = 0; i < 2; i++) {
    take_surroundings(&cursor, &user->surroundings[i], sizes->routes);
    take_half(&cursor, &user->halves[i], sizes);
  }
  return cursor.offset;
}

size_t nest_user_bytes(const struct nest_user_sizes* sizes) {
  struct nest_user_root dummy;

  return are_valid(sizes) ? lay_out(&dummy, NULL, sizes) : 0;
}

/* Every free entry is in the pool. A new table is not looked at: its pages need not exist yet. */
static void begin_flows(struct nest_user* user, bool is_new) {
  struct nest_user_flow_table* flows = &user->flows;

  flows->pool_lock = 0;
  flows->pool_count = 0;
  for (uint32_t entry = flows->entry_count; entry-- > 0;)
    if (is_new || flows->entries[entry].family == 0) flows->pool[flows->pool_count++] = entry;
}

static void begin_lanes(struct nest_user_root* root) {
  struct nest_user* user = &root->user;

  for (uint32_t i = 0; i <= user->lane_count; i++) {
    struct nest_user_lane* lane = &user->lanes[i];

    lane->inside = 0;
    lane->user = user;
    lane->index = i;
    lane->random = 0x9e3779b9u * (i + 1) ^ (uint32_t)root->sizes.seed;
    if (lane->random == 0) lane->random = 1;
    lane->is_shared = user->lane_count > 1;
    lane->ring->capacity = root->sizes.records;
    lane->ring_taken = lane->ring->taken;
    lane->spares.free_count = 0;
    lane->spares.limbo_first = 0;
    lane->spares.limbo_end = 0;
    nest_user_spares_balance(user, lane);
  }
}

struct nest_user* nest_user_init(void* memory, size_t bytes, const struct nest_user_sizes* sizes) {
  struct nest_user_root* root = memory;
  const size_t needed = nest_user_bytes(sizes);
  struct nest_user* user;

  if (needed == 0 || bytes < needed || (uintptr_t)memory % ALIGNMENT != 0) return NULL;
  user = &root->user;
  root->sizes = *sizes;
  lay_out(root, memory, sizes);
  user->epoch = 1;
  user->flows.seed = nest_user_mix(sizes->seed + 1);
  user->recent.seed = nest_user_mix(sizes->seed + 2);
  for (int i = 0; i < 2; i++) {
    user->halves[i].pairs.seed = nest_user_mix(sizes->seed + 3);
    user->halves[i].actions[0].dscp = NEST_DSCP_KEEP;
    user->surroundings[i].has_kernel = true;
  }
  begin_flows(user, true);
  begin_lanes(root);
  root->magic = MAGIC;
  return user;
}

/* Forgets who held what: locks, and entries that no bucket names. */
static void mend(struct nest_user* user) {
  struct nest_user_flow_table* flows = &user->flows;

  for (uint32_t i = 0; i < flows->entry_count; i++) flows->entries[i].pad[0] = 0;
  for (uint32_t i = 0; i <= flows->bucket_mask; i++) {
    struct nest_user_bucket* bucket = &flows->buckets[i];

    bucket->lock = 0;
    for (uint32_t way = 0; way < NEST_USER_WAYS; way++) {
      const uint32_t slot = bucket->slots[way] & NEST_USER_INDEX_MASK;

      if (slot > flows->entry_count || (slot && flows->entries[slot - 1].pad[0]))
        bucket->slots[way] = 0;
      else if (slot)
        flows->entries[slot - 1].pad[0] = 1;
    }
  }
  for (uint32_t i = 0; i < flows->entry_count; i++)
    if (flows->entries[i].pad[0] == 0) flows->entries[i].family = 0;
  for (uint32_t i = 0; i <= user->recent.fragment_mask; i++) user->recent.fragments[i].lock = 0;
  for (uint32_t i = 0; i <= user->recent.source_mask; i++) user->recent.sources[i].lock = 0;
}

struct nest_user* nest_user_adopt(void* memory, size_t bytes) {
  struct nest_user_root* root = memory;
  struct nest_user_sizes sizes;

  if ((uintptr_t)memory % ALIGNMENT != 0 || bytes < sizeof(*root) || root->magic != MAGIC) return NULL;
  sizes = root->sizes;
  if (!are_valid(&sizes) || nest_user_bytes(&sizes) > bytes) return NULL;
  lay_out(root, memory, &sizes);
  root->refusal = NULL;
  mend(&root->user);
  begin_flows(&root->user, false);
  begin_lanes(root);
  return &root->user;
}

uint64_t nest_user_advance(struct nest_user* user) {
  return __atomic_add_fetch(&user->epoch, 1, __ATOMIC_SEQ_CST);
}

uint64_t nest_user_oldest_burst(const struct nest_user* user) {
  uint64_t oldest = ~0ull;

  for (uint32_t i = 0; i <= user->lane_count; i++) {
    const uint64_t inside = __atomic_load_n(&user->lanes[i].inside, __ATOMIC_SEQ_CST);

    if (inside != 0 && inside < oldest) oldest = inside;
  }
  return oldest;
}

int nest_user_wait(const struct nest_user* user, uint64_t epoch) {
  for (uint32_t look = 0; look < WAIT_LOOKS_MAX; look++) {
    if (nest_user_oldest_burst(user) >= epoch) return 0;
    nest_user_pause();
  }
  return NEST_USER_BUSY;
}

void nest_user_spares_balance(struct nest_user* user, struct nest_user_lane* lane) {
  struct nest_user_flow_table* flows = &user->flows;
  struct nest_user_spares* spares = &lane->spares;

  if (spares->limbo_first != spares->limbo_end) {
    const uint64_t oldest = nest_user_oldest_burst(user);

    while (spares->limbo_first != spares->limbo_end && spares->free_count < NEST_USER_SPARE_MAX) {
      const struct nest_user_limbo* limbo = &spares->limbo[spares->limbo_first & (NEST_USER_LIMBO_MAX - 1)];

      if (limbo->epoch > oldest) break;
      spares->free[spares->free_count++] = limbo->entry;
      spares->limbo_first++;
    }
  }
  if (spares->free_count >= NEST_USER_SPARE_LOW && spares->free_count < NEST_USER_SPARE_MAX) return;
  nest_user_lock(&flows->pool_lock);
  while (spares->free_count < 2 * NEST_USER_SPARE_LOW && flows->pool_count > 0)
    spares->free[spares->free_count++] = flows->pool[--flows->pool_count];
  while (spares->free_count > 2 * NEST_USER_SPARE_LOW)
    flows->pool[flows->pool_count++] = spares->free[--spares->free_count];
  nest_user_unlock(&flows->pool_lock);
}
