/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* Interfaces and routes: written into the copy that no lane reads, then flipped to. */
#include "memory.h"
#include "ranges.h"

/* The copy that is not in use, when no lane can read it any more; else NULL. */
static struct nest_user_surroundings* spare_of(struct nest_user* user) {
  const uint32_t spare = (user->surroundings_in_use & 1) ^ 1;

  if (nest_user_wait(user, nest_user_root_of(user)->surroundings_left[spare])) return NULL;
  return &user->surroundings[spare];
}

static void flip(struct nest_user* user) {
  const uint32_t before = user->surroundings_in_use & 1;

  __atomic_store_n(&user->surroundings_in_use, before ^ 1, __ATOMIC_SEQ_CST);
  nest_user_root_of(user)->surroundings_left[before] = nest_user_advance(user);
}

static void copy_interfaces(struct nest_user_surroundings* to, const struct nest_user_surroundings* from) {
  __builtin_memcpy(to->slot_of, from->slot_of, NEST_INTERFACE_INDEX_MAX);
  __builtin_memcpy(to->ports, from->ports, NEST_INTERFACES_MAX * sizeof(*to->ports));
  __builtin_memcpy(to->addresses, from->addresses, NEST_INTERFACES_MAX * sizeof(*to->addresses));
}

static void copy_routes(struct nest_user_surroundings* to, const struct nest_user_surroundings* from,
                        uint32_t routes) {
  const struct nest_user_ranges4* ranges4 = &from->ranges4;
  const struct nest_user_ranges6* ranges6 = &from->ranges6;

  to->has_kernel = from->has_kernel;
  to->ranges4.count = ranges4->count;
  to->ranges6.count = ranges6->count;
  __builtin_memcpy(to->ranges4.blocks, ranges4->blocks, (NEST_USER_BLOCKS4 + 1) * sizeof(*ranges4->blocks));
  __builtin_memcpy(to->ranges4.starts, ranges4->starts, ranges4->count * sizeof(*ranges4->starts));
  __builtin_memcpy(to->ranges4.values, ranges4->values, ranges4->count * sizeof(*ranges4->values));
  __builtin_memcpy(to->ranges6.starts, ranges6->starts, ranges6->count * sizeof(*ranges6->starts));
  __builtin_memcpy(to->ranges6.values, ranges6->values, ranges6->count * sizeof(*ranges6->values));
  __builtin_memcpy(to->ways, from->ways, routes * sizeof(*to->ways));
}

int nest_user_set_interfaces(struct nest_user* user, const struct nest_user_interface* interfaces,
                             uint32_t count) {
  struct nest_user_surroundings* spare;

  if (count > NEST_INTERFACES_MAX) return NEST_USER_TOO_LONG;
  for (uint32_t i = 0; i < count; i++)
    if (interfaces[i].index >= NEST_INTERFACE_INDEX_MAX) return NEST_USER_INVALID;
  spare = spare_of(user);
  if (!spare) return NEST_USER_BUSY;
  copy_routes(spare, &user->surroundings[user->surroundings_in_use & 1],
              nest_user_root_of(user)->sizes.routes);
  __builtin_memset(spare->slot_of, 0, NEST_INTERFACE_INDEX_MAX);
  for (uint32_t i = 0; i < count; i++) {
    spare->slot_of[interfaces[i].index] = (uint8_t)(i + 1);
    spare->ports[i] = interfaces[i].ports;
    spare->addresses[i] = interfaces[i].address;
  }
  flip(user);
  return 0;
}

static bool is_route(const struct nest_user_route* route) {
  const uint32_t bytes = route->family == 4 ? 4 : 16;

  if ((route->family != 4 && route->family != 6) || route->length > bytes * 8 ||
      route->egress >= NEST_INTERFACE_INDEX_MAX)
    return false;
  for (uint32_t bit = route->length; bit < bytes * 8; bit++)
    if (route->address[bit / 8] & (0x80u >> (bit % 8))) return false;
  return true;
}

/* By family, then address, then length. */
static bool is_before(const struct nest_user_route* a, const struct nest_user_route* b) {
  if (a->family != b->family) return a->family < b->family;
  for (uint32_t i = 0; i < (a->family == 4 ? 4u : 16u); i++)
    if (a->address[i] != b->address[i]) return a->address[i] < b->address[i];
  return a->length < b->length;
}

/* Heap sort of indexes: no memory of its own, n log n whatever the caller gives. */
static void sink(uint32_t* order, const struct nest_user_route* routes, uint32_t at, uint32_t count) {
  for (;;) {
    uint32_t child = 2 * at + 1;
    const uint32_t parent = order[at];

    if (child >= count) return;
    if (child + 1 < count && is_before(&routes[order[child]], &routes[order[child + 1]])) child++;
    if (!is_before(&routes[parent], &routes[order[child]])) return;
    order[at] = order[child];
    order[child] = parent;
    at = child;
  }
}

static void sort(uint32_t* order, const struct nest_user_route* routes, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) order[i] = i;
  for (uint32_t i = count / 2; i-- > 0;) sink(order, routes, i, count);
  for (uint32_t end = count; end-- > 1;) {
    const uint32_t largest = order[0];

    order[0] = order[end];
    order[end] = largest;
    sink(order, routes, 0, end);
  }
}

static void fill_routes(struct nest_user_surroundings* spare, const struct nest_user_route* routes,
                        const uint32_t* order, uint32_t count) {
  struct nest_user_builder4 builder4;
  struct nest_user_builder6 builder6;

  nest_user_begin4(&builder4, &spare->ranges4);
  nest_user_begin6(&builder6, &spare->ranges6);
  for (uint32_t i = 0; i < count; i++) {
    const struct nest_user_route* route = &routes[order[i]];
    const uint64_t value = NEST_USER_PRESENT | i;
    struct nest_user_way* way = &spare->ways[i];

    way->egress = route->egress;
    way->mtu = route->mtu;
    __builtin_memcpy(way->destination_mac, route->destination_mac, 6);
    __builtin_memcpy(way->source_mac, route->source_mac, 6);
    if (route->family == 4)
      nest_user_add4(&builder4, route->address, route->length, value);
    else
      nest_user_add6(&builder6, route->address, route->length, value);
  }
  nest_user_end4(&builder4);
  nest_user_end6(&builder6);
}

int nest_user_set_routes(struct nest_user* user, const struct nest_user_route* routes, uint32_t count,
                         int has_kernel) {
  uint32_t* order = nest_user_root_of(user)->route_order;
  struct nest_user_surroundings* spare;

  if (count > nest_user_root_of(user)->sizes.routes) return NEST_USER_TOO_LONG;
  for (uint32_t i = 0; i < count; i++)
    if (!is_route(&routes[i])) return NEST_USER_INVALID;
  sort(order, routes, count);
  for (uint32_t i = 1; i < count; i++)
    if (!is_before(&routes[order[i - 1]], &routes[order[i]])) return NEST_USER_INVALID;
  spare = spare_of(user);
  if (!spare) return NEST_USER_BUSY;
  copy_interfaces(spare, &user->surroundings[user->surroundings_in_use & 1]);
  fill_routes(spare, routes, order, count);
  spare->has_kernel = has_kernel != 0;
  flip(user);
  return 0;
}
