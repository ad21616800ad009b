/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* From a checked image to the tables of a half, and the flip to it. */
#include "memory.h"
#include "ranges.h"

static uint64_t identity_value(const struct nest_identity* identity) {
  return (uint64_t)identity->destination << 32 | identity->source;
}
_Static_assert(offsetof(struct nest_identity, source) == 0 &&
                   offsetof(struct nest_identity, destination) == 4,
               "a value is an identity, little-endian");

static void fill_identities(struct nest_user_half* half, const struct nest_user_image* image) {
  struct nest_user_builder4 builder4;
  struct nest_user_builder6 builder6;

  nest_user_begin4(&builder4, &half->identities4);
  for (uint32_t i = 0; i < image->header->identity4_count; i++)
    nest_user_add4(&builder4, image->identities4[i].prefix.address, image->identities4[i].prefix.length,
                   identity_value(&image->identities4[i].identity));
  nest_user_end4(&builder4);
  nest_user_begin6(&builder6, &half->identities6);
  for (uint32_t i = 0; i < image->header->identity6_count; i++)
    nest_user_add6(&builder6, image->identities6[i].prefix.address, image->identities6[i].prefix.length,
                   identity_value(&image->identities6[i].identity));
  nest_user_end6(&builder6);
}

static void fill_deny(struct nest_user_half* half, const struct nest_user_image* image) {
  struct nest_user_builder4 builder4;
  struct nest_user_builder6 builder6;

  nest_user_begin4(&builder4, &half->deny4);
  for (uint32_t i = 0; i < image->header->deny4_count; i++)
    nest_user_add4(&builder4, image->deny4[i].prefix.address, image->deny4[i].prefix.length,
                   NEST_USER_PRESENT | image->deny4[i].deny.list);
  nest_user_end4(&builder4);
  nest_user_begin6(&builder6, &half->deny6);
  for (uint32_t i = 0; i < image->header->deny6_count; i++)
    nest_user_add6(&builder6, image->deny6[i].prefix.address, image->deny6[i].prefix.length,
                   NEST_USER_PRESENT | image->deny6[i].deny.list);
  nest_user_end6(&builder6);
}

static uint32_t slots_for(uint32_t count) {
  uint32_t slots = 16;

  while (slots < 2 * count) slots *= 2;
  return slots;
}

static void fill_pairs(struct nest_user_half* half, const struct nest_user_image* image) {
  struct nest_user_pairs* pairs = &half->pairs;
  const uint32_t slots = slots_for(image->header->pair_count);

  __builtin_memset(pairs->slots, 0, slots * sizeof(*pairs->slots));
  pairs->mask = slots - 1;
  for (uint32_t i = 0; i < image->header->pair_count; i++) {
    const struct nest_image_pair* pair = &image->pairs[i];
    uint32_t position = nest_user_pair_hash(pairs, &pair->key) & pairs->mask;

    while (pairs->slots[position].key.l4 != 0) position = (position + 1) & pairs->mask;
    pairs->slots[position].key = pair->key;
    pairs->slots[position].ports = pair->ports;
  }
}

static void fill_actions(struct nest_user_half* half, const struct nest_user_image* image) {
  half->mapping_count = image->header->mapping_count;
  __builtin_memset(half->action_of, 0, half->mapping_count * sizeof(*half->action_of));
  for (uint32_t i = 0; i < image->header->action_count; i++) {
    half->action_of[image->actions[i].mapping] = (uint16_t)(i + 1);
    half->actions[i + 1] = image->actions[i].action;
  }
}

static void index_backend(struct nest_user_half* half, uint32_t index) {
  const struct nest_backend* backend = &half->backends[index];
  struct nest_backend_key key = {
      .balancer = backend->balancer,
      .port = backend->port,
      .family = backend->family,
  };
  uint32_t position;

  __builtin_memcpy(key.address, backend->address, sizeof(key.address));
  position = nest_user_backend_hash(half->pairs.seed, &key) & half->backend_mask;
  while (half->backend_slots[position].index != NEST_USER_FREE &&
         !nest_user_backend_is(&half->backend_slots[position].key, &key))
    position = (position + 1) & half->backend_mask;
  half->backend_slots[position].key = key;
  half->backend_slots[position].index = index;
}

/* Fills each ring in the spare one, then copies it over: those in use are never empty. */
static void fill_rings(struct nest_user_half* half) {
  for (uint32_t i = 0; i < half->balancer_count; i++) {
    const struct nest_balancer* balancer = &half->balancers[i];
    const uint32_t rings[2] = {balancer->ring4, balancer->ring6};

    for (int family = 0; family < 2; family++) {
      struct nest_ring* spare = &half->rings[half->ring_count];

      if (rings[family] == NEST_RING_NONE) continue;
      nest_maglev_fill(spare, half->backends, balancer->first_backend, balancer->backend_count,
                       family ? 6 : 4, half->turns);
      for (uint32_t k = 0; k < NEST_RING_SLOTS; k++)
        __atomic_store_n(&half->rings[rings[family]].backend[k], spare->backend[k], __ATOMIC_RELAXED);
    }
  }
}

static void fill_balancers(struct nest_user_half* half, const struct nest_user_image* image) {
  const struct nest_image_header* header = image->header;
  const uint32_t slots = slots_for(header->backend_count);

  half->balancer_count = header->balancer_count;
  half->backend_count = header->backend_count;
  half->ring_count = image->ring_count;
  __builtin_memcpy(half->balancers, image->balancers, header->balancer_count * sizeof(*half->balancers));
  __builtin_memcpy(half->backends, image->backends, header->backend_count * sizeof(*half->backends));
  half->backend_mask = slots - 1;
  for (uint32_t i = 0; i < slots; i++) half->backend_slots[i].index = NEST_USER_FREE;
  for (uint32_t i = 0; i < header->backend_count; i++) index_backend(half, i);
  fill_rings(half);
}

static void fill(struct nest_user_half* half, const struct nest_user_image* image) {
  const struct nest_image_header* header = image->header;

  fill_identities(half, image);
  fill_pairs(half, image);
  half->ports.count = header->port_interval_count;
  __builtin_memcpy(half->ports.intervals, image->port_intervals,
                   header->port_interval_count * sizeof(*half->ports.intervals));
  fill_actions(half, image);
  fill_deny(half, image);
  fill_balancers(half, image);
}

/* Counters and buckets of a policy begin at zero. */
static void clear_half(struct nest_user* user, uint32_t slot) {
  const uint32_t mappings = NEST_MAPPINGS_MAX + 1;

  for (uint32_t i = 0; i <= user->lane_count; i++) {
    struct nest_user_lane* lane = &user->lanes[i];

    __builtin_memset(lane->mappings + slot * mappings, 0, mappings * sizeof(*lane->mappings));
    __builtin_memset(lane->limits + slot * mappings, 0, mappings * sizeof(*lane->limits));
    __builtin_memset(lane->deny + slot * NEST_DENY_LISTS_MAX, 0, NEST_DENY_LISTS_MAX * sizeof(*lane->deny));
    __builtin_memset(lane->backends + slot * NEST_BACKENDS_MAX, 0,
                     NEST_BACKENDS_MAX * sizeof(*lane->backends));
  }
  __builtin_memset(user->buckets + slot * mappings, 0, mappings * sizeof(*user->buckets));
  for (uint32_t i = 0; i <= user->recent.source_mask; i++) {
    struct nest_user_source_set* set = &user->recent.sources[i];

    nest_user_lock(&set->lock);
    for (uint32_t way = 0; way < NEST_USER_SET_WAYS; way++)
      if (set->ways[way].key.mapping / mappings == slot) set->ways[way].used_ns = 0;
    nest_user_unlock(&set->lock);
  }
}

static bool fits(const struct nest_user_sizes* sizes, const struct nest_image_header* header) {
  return header->identity4_count <= sizes->identities4 && header->identity6_count <= sizes->identities6 &&
         header->pair_count <= sizes->pairs && header->port_interval_count <= sizes->port_intervals &&
         header->deny4_count <= sizes->deny4 && header->deny6_count <= sizes->deny6 &&
         header->balancer_count <= sizes->balancers && header->backend_count <= sizes->backends;
}

/* What lanes judge by from now on; the half before is free when they have left their bursts. */
static void publish(struct nest_user_root* root, uint32_t sequence, uint32_t flags) {
  struct nest_user* user = &root->user;
  const uint32_t before = (uint32_t)user->control;

  __atomic_store_n(&user->control, (uint64_t)flags << 32 | sequence, __ATOMIC_SEQ_CST);
  if (((before ^ sequence) & 1) != 0) root->half_left[before & 1] = nest_user_advance(user);
}

int nest_user_load(struct nest_user* user, const void* image, size_t bytes, uint32_t sequence) {
  struct nest_user_root* root = nest_user_root_of(user);
  const struct nest_control control = nest_user_control(user);
  const uint32_t slot = sequence & 1;
  struct nest_user_half* half = &user->halves[slot];
  struct nest_user_image sections;

  root->refusal = nest_user_image_open(image, bytes, &sections);
  if (root->refusal) return NEST_USER_INVALID;
  if (!fits(&root->sizes, sections.header)) return NEST_USER_TOO_LONG;
  /* Before the first load no half is in use. */
  if (sequence <= control.sequence || (control.sequence != 0 && ((sequence ^ control.sequence) & 1) == 0))
    return NEST_USER_SEQUENCE;
  if (nest_user_wait(user, root->half_left[slot])) return NEST_USER_BUSY;
  root->refusal = nest_user_image_check(&sections, half->set_sizes);
  if (root->refusal) return NEST_USER_INVALID;
  fill(half, &sections);
  clear_half(user, slot);
  publish(root, sequence, sections.header->flags | (control.flags & NEST_FLAG_FLOOD));
  return 0;
}

const char* nest_user_refusal(const struct nest_user* user) {
  const char* refusal = ((const struct nest_user_root*)user)->refusal;

  return refusal ? refusal : "";
}

const char* nest_user_text(int error) {
  switch (error) {
    case 0:
      return "done";
    case NEST_USER_INVALID:
      return "the image or an argument is not valid";
    case NEST_USER_TOO_LONG:
      return "more than the memory was laid out for";
    case NEST_USER_SEQUENCE:
      return "the sequence is not newer, or of the same half";
    case NEST_USER_BUSY:
      return "a lane did not leave its burst";
    default:
      return "not an error of this library";
  }
}

struct nest_control nest_user_control(const struct nest_user* user) {
  const uint64_t word = __atomic_load_n(&user->control, __ATOMIC_ACQUIRE);

  return (struct nest_control){.sequence = (uint32_t)word, .flags = (uint32_t)(word >> 32)};
}

void nest_user_set_flood(struct nest_user* user, int is_on) {
  const struct nest_control control = nest_user_control(user);
  const uint32_t flags = control.flags & ~NEST_FLAG_FLOOD;

  publish(nest_user_root_of(user), control.sequence, flags | (is_on ? NEST_FLAG_FLOOD : 0));
}

int nest_user_set_backends(struct nest_user* user, const uint8_t* states, uint32_t count) {
  const struct nest_control control = nest_user_control(user);
  struct nest_user_half* half = &user->halves[control.sequence & 1];

  if (control.sequence == 0 || count != half->backend_count) return NEST_USER_INVALID;
  for (uint32_t i = 0; i < count; i++)
    if (states[i] > NEST_BACKEND_DOWN) return NEST_USER_INVALID;
  for (uint32_t i = 0; i < count; i++)
    __atomic_store_n(&half->backends[i].state, states[i], __ATOMIC_RELAXED);
  fill_rings(half);
  publish(nest_user_root_of(user), control.sequence + 2, control.flags);
  return 0;
}
