/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The checks of a table image. It comes from outside: nothing in it is believed before it has been
 * looked at here, and what passes can be loaded without a further look. The same rules as in
 * native/src/engine/image.cc; a test holds both to the same answers.
 */
#include "memory.h"

#define PRIORITY_MAX 1000u
#define PORT_MAX 65535u
#define INTERVALS_SET_MAX (PORT_MAX + 1u)
#define TEXT_BYTES_MAX (256u << 20)
#define WEIGHT_MAX 1000u
#define DSCP_MAX 63u
#define PACKETS_MAX 1000000000ull
#define BYTES_MAX 1000000000000ull
#define BURST_BYTES_MIN 1514ull
#define BURST_BYTES_MAX 4000000000ull

struct reader {
  const uint8_t* bytes;
  size_t length;
  size_t offset;
  const char* refusal;
};

static const void* next(struct reader* reader, uint32_t count, size_t size) {
  const uint64_t wanted = (uint64_t)count * size;
  const uint8_t* section;

  if (reader->refusal) return NULL;
  while (reader->offset % 8 != 0) {
    if (reader->offset >= reader->length || reader->bytes[reader->offset] != 0) {
      reader->refusal = "padding between sections is not zero";
      return NULL;
    }
    reader->offset++;
  }
  if (wanted > reader->length - reader->offset) {
    reader->refusal = "it is shorter than its header says";
    return NULL;
  }
  section = reader->bytes + reader->offset;
  reader->offset += (size_t)wanted;
  return section;
}

static const char* check_header(const struct nest_image_header* header) {
  const uint32_t flags = NEST_FLAG_ENFORCE | NEST_FLAG_DEFAULT_DENY | NEST_FLAG_DENY;

  for (int i = 0; i < 8; i++)
    if (header->magic[i] != (uint8_t)NEST_IMAGE_MAGIC[i]) return "it does not begin with " NEST_IMAGE_MAGIC;
  if (header->version != NEST_IMAGE_VERSION) return "its version is not known";
  if (header->flags & ~flags) return "it has unknown flags";
  if (header->identity4_count > NEST_IDENTITIES_MAX || header->identity6_count > NEST_IDENTITIES_MAX)
    return "too many prefixes";
  if (header->pair_count > NEST_PAIRS_MAX) return "too many pairs";
  if (header->port_interval_count > NEST_PORT_INTERVALS_MAX) return "too many port intervals";
  if (header->mapping_count > NEST_MAPPINGS_MAX) return "too many mappings";
  if (header->action_count > header->mapping_count) return "more actions than mappings";
  if (header->deny4_count > NEST_DENY_PREFIXES_MAX || header->deny6_count > NEST_DENY_PREFIXES_MAX)
    return "too many denied prefixes";
  if (header->deny_list_count > NEST_DENY_LISTS_MAX) return "too many deny lists";
  if (((header->flags & NEST_FLAG_DENY) != 0) != (header->deny_list_count > 0))
    return "its flags and its deny lists contradict each other";
  if (header->balancer_count > NEST_BALANCERS_MAX) return "too many balancers";
  if (header->backend_count > NEST_BACKENDS_MAX) return "too many backends";
  if (header->names_bytes > TEXT_BYTES_MAX || header->explain_bytes > TEXT_BYTES_MAX) return "too much text";
  for (size_t i = 0; i < sizeof(header->reserved) / sizeof(header->reserved[0]); i++)
    if (header->reserved[i] != 0) return "a reserved word is not zero";
  return NULL;
}

const char* nest_user_image_open(const void* image, size_t bytes, struct nest_user_image* sections) {
  struct reader reader = {.bytes = image, .length = bytes};
  const struct nest_image_header* header;

  if ((uintptr_t)image % 8 != 0) return "it does not lie at a multiple of eight bytes";
  if (bytes < sizeof(*header)) return "it is shorter than its header";
  header = next(&reader, 1, sizeof(*header));
  reader.refusal = check_header(header);
  sections->header = header;
  sections->identities4 = next(&reader, header->identity4_count, sizeof(struct nest_image_identity4));
  sections->identities6 = next(&reader, header->identity6_count, sizeof(struct nest_image_identity6));
  sections->pairs = next(&reader, header->pair_count, sizeof(struct nest_image_pair));
  sections->port_intervals = next(&reader, header->port_interval_count, sizeof(struct nest_port_interval));
  sections->mappings = next(&reader, header->mapping_count, sizeof(struct nest_image_mapping));
  sections->actions = next(&reader, header->action_count, sizeof(struct nest_image_action));
  sections->deny4 = next(&reader, header->deny4_count, sizeof(struct nest_image_deny4));
  sections->deny6 = next(&reader, header->deny6_count, sizeof(struct nest_image_deny6));
  sections->balancers = next(&reader, header->balancer_count, sizeof(struct nest_balancer));
  sections->backends = next(&reader, header->backend_count, sizeof(struct nest_backend));
  sections->names = next(&reader, header->names_bytes, 1);
  next(&reader, header->explain_bytes, 1);
  sections->ring_count = 0;
  if (!reader.refusal && reader.offset != bytes) reader.refusal = "it is longer than its header says";
  return reader.refusal;
}

static bool has_host_bits(const uint8_t* address, uint32_t bytes, uint32_t length) {
  for (uint32_t i = 0; i < bytes; i++) {
    const uint32_t bits = length > i * 8 ? length - i * 8 : 0;
    const uint8_t mask = bits >= 8 ? 0 : (uint8_t)(0xffu >> bits);

    if (address[i] & mask) return true;
  }
  return false;
}

static int compare_bytes(const uint8_t* a, const uint8_t* b, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; i++)
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  return 0;
}

/* `previous` is NULL for the first. A prefix is a length word and `bytes` of address. */
static const char* check_prefix(const void* prefix, const void* previous, uint32_t bytes) {
  const uint32_t length = *(const uint32_t*)prefix;
  const uint8_t* address = (const uint8_t*)prefix + 4;
  int order;

  if (length > bytes * 8) return "a prefix is too long";
  if (has_host_bits(address, bytes, length)) return "a prefix has bits behind its length";
  if (!previous) return NULL;
  order = compare_bytes((const uint8_t*)previous + 4, address, bytes);
  if (order > 0 || (order == 0 && *(const uint32_t*)previous >= length))
    return "prefixes are not sorted, or one is there twice";
  return NULL;
}

static const char* check_prefixes(const void* entries, uint32_t count, size_t size, uint32_t bytes) {
  const uint8_t* entry = entries;
  const char* refusal = NULL;

  for (uint32_t i = 0; i < count && !refusal; i++, entry += size)
    refusal = check_prefix(entry, i == 0 ? NULL : entry - size, bytes);
  return refusal;
}

static const char* check_identity(const struct nest_identity* identity,
                                  const struct nest_image_header* header) {
  if (identity->source > header->source_class_count) return "a source class does not exist";
  if (identity->destination > header->destination_class_count) return "a destination class does not exist";
  return NULL;
}

static const char* check_identities(const struct nest_user_image* image) {
  const struct nest_image_header* header = image->header;
  const char* refusal =
      check_prefixes(image->identities4, header->identity4_count, sizeof(*image->identities4), 4);

  if (!refusal)
    refusal = check_prefixes(image->identities6, header->identity6_count, sizeof(*image->identities6), 16);
  for (uint32_t i = 0; i < header->identity4_count && !refusal; i++)
    refusal = check_identity(&image->identities4[i].identity, header);
  for (uint32_t i = 0; i < header->identity6_count && !refusal; i++)
    refusal = check_identity(&image->identities6[i].identity, header);
  return refusal;
}

static const char* check_deny(const struct nest_user_image* image) {
  const struct nest_image_header* header = image->header;
  const char* refusal = check_prefixes(image->deny4, header->deny4_count, sizeof(*image->deny4), 4);

  if (!refusal) refusal = check_prefixes(image->deny6, header->deny6_count, sizeof(*image->deny6), 16);
  for (uint32_t i = 0; i < header->deny4_count && !refusal; i++)
    if (image->deny4[i].deny.list >= header->deny_list_count) refusal = "a deny list does not exist";
  for (uint32_t i = 0; i < header->deny6_count && !refusal; i++)
    if (image->deny6[i].deny.list >= header->deny_list_count) refusal = "a deny list does not exist";
  return refusal;
}

static const char* check_mappings(const struct nest_user_image* image) {
  const uint32_t names_bytes = image->header->names_bytes;

  for (uint32_t i = 0; i < image->header->mapping_count; i++) {
    const struct nest_image_mapping* mapping = &image->mappings[i];
    const struct nest_image_mapping* previous;
    uint32_t common;
    int order;

    if (mapping->name_offset > names_bytes || mapping->name_bytes > names_bytes - mapping->name_offset)
      return "a mapping's name lies outside the names";
    if (mapping->name_bytes == 0) return "a mapping has no name";
    if (mapping->deny > 1 || mapping->pad != 0) return "a mapping's action is not known";
    if (mapping->priority > PRIORITY_MAX) return "a priority is above 1000";
    if (i == 0) continue;
    previous = mapping - 1;
    common = previous->name_bytes < mapping->name_bytes ? previous->name_bytes : mapping->name_bytes;
    order = compare_bytes(image->names + previous->name_offset, image->names + mapping->name_offset, common);
    if (order > 0 || (order == 0 && previous->name_bytes >= mapping->name_bytes))
      return "mappings are not sorted by name, or a name is there twice";
  }
  return NULL;
}

/* A match has to be one of the image's mappings, with that mapping's priority and action. */
static bool is_match(uint32_t match, const struct nest_user_image* image) {
  const uint32_t index = NEST_MATCH_MAPPING(match);

  if (match == NEST_MATCH_NONE) return true;
  if (match >> 16 == 0 || index >= image->header->mapping_count) return false;
  return NEST_MATCH_PRIORITY(match) == image->mappings[index].priority &&
         NEST_MATCH_IS_DENY(match) == (image->mappings[index].deny == 1);
}

/* Leaves in set_sizes how many intervals follow each one in its set, itself included; 0: it is not
 * the first. */
static const char* check_intervals(const struct nest_user_image* image, uint32_t* set_sizes) {
  uint32_t first = 0;

  for (uint32_t i = 0; i < image->header->port_interval_count; i++) {
    const struct nest_port_interval* interval = &image->port_intervals[i];

    if (interval->start > PORT_MAX) return "a port is above 65535";
    if (!is_match(interval->match, image)) return "a port interval names no mapping of this image";
    if (i == 0 && interval->start != 0) return "the first port interval does not start at 0";
    if (interval->start == 0)
      first = i;
    else if ((interval - 1)->start >= interval->start)
      return "port intervals are not sorted";
    set_sizes[i] = 0;
    set_sizes[first]++;
  }
  return NULL;
}

static bool is_pair_before(const struct nest_pair* a, const struct nest_pair* b) {
  if (a->source != b->source) return a->source < b->source;
  if (a->destination != b->destination) return a->destination < b->destination;
  return a->l4 < b->l4;
}

static const char* check_pairs(const struct nest_user_image* image, const uint32_t* set_sizes) {
  const struct nest_image_header* header = image->header;

  for (uint32_t i = 0; i < header->pair_count; i++) {
    const struct nest_pair* key = &image->pairs[i].key;
    const struct nest_port_set* ports = &image->pairs[i].ports;

    if (key->source > header->source_class_count) return "a pair's source class does not exist";
    if (key->destination > header->destination_class_count)
      return "a pair's destination class does not exist";
    if (key->l4 < NEST_L4_TCP || key->l4 > NEST_L4_OTHER) return "a pair's transport class does not exist";
    if (key->pad[0] != 0 || key->pad[1] != 0 || key->pad[2] != 0) return "a pair's padding is not zero";
    if (ports->count == 1) {
      if (!is_match(ports->first, image)) return "a pair names no mapping of this image";
    } else {
      if (ports->count < 2 || ports->count > INTERVALS_SET_MAX) return "a port set is empty or too large";
      if (ports->first >= header->port_interval_count || ports->count > set_sizes[ports->first])
        return "a port set lies outside the port intervals";
    }
    if (i > 0 && !is_pair_before(&image->pairs[i - 1].key, key))
      return "pairs are not sorted, or one is there twice";
  }
  return NULL;
}

/* A rate and the depth of its bucket: both, within their limits, or neither. */
static bool is_limit(uint64_t rate, uint64_t rate_max, uint64_t burst, uint64_t burst_min,
                     uint64_t burst_max) {
  if (rate == 0) return burst == 0;
  return rate <= rate_max && burst >= burst_min && burst <= burst_max;
}

static const char* check_limit(const struct nest_action* action) {
  if (!is_limit(action->packets_per_second, PACKETS_MAX, action->burst_packets, 1, PACKETS_MAX) ||
      !is_limit(action->bytes_per_second, BYTES_MAX, action->burst_bytes, BURST_BYTES_MIN, BURST_BYTES_MAX))
    return "a rate limit is out of its range";
  if (action->flags & NEST_ACTION_LIMIT_PER_SOURCE &&
      (action->packets_per_second | action->bytes_per_second) == 0)
    return "a limit per source has no rate";
  return NULL;
}

/* One kind of source NAT or none, an address exactly when it is asked for, never beside a balancer. */
static bool is_source_nat(const struct nest_action* action) {
  const uint8_t kind = action->flags & (NEST_ACTION_SNAT | NEST_ACTION_MASQUERADE);
  const bool has_address = (action->source4 | action->source6[0] | action->source6[1] | action->source6[2] |
                            action->source6[3]) != 0;

  if (kind == 0) return !has_address;
  return action->balancer == 0 && (kind == NEST_ACTION_SNAT || kind == NEST_ACTION_MASQUERADE) &&
         has_address == (kind == NEST_ACTION_SNAT);
}

static const char* check_action(const struct nest_user_image* image, uint32_t index) {
  const uint8_t flags = NEST_ACTION_LIMIT_PER_SOURCE | NEST_ACTION_SNAT | NEST_ACTION_MASQUERADE;
  const struct nest_image_action* entry = &image->actions[index];
  const struct nest_action* action = &entry->action;

  if (entry->mapping >= image->header->mapping_count || image->mappings[entry->mapping].deny)
    return "an action's mapping does not exist or denies";
  if (index > 0 && (entry - 1)->mapping >= entry->mapping)
    return "actions are not sorted, or a mapping has two";
  if (entry->pad != 0 || action->pad[0] != 0 || action->pad[1] != 0 || action->reserved != 0)
    return "an action's padding is not zero";
  if ((action->flags & ~flags) != 0 || !is_source_nat(action))
    return "an action's source NAT contradicts itself";
  if (action->dscp > DSCP_MAX && action->dscp != NEST_DSCP_KEEP) return "a DSCP is above 63";
  if (action->balancer > image->header->balancer_count) return "an action's balancer does not exist";
  if (action->balancer && image->balancers[action->balancer - 1].mapping != entry->mapping)
    return "an action names the balancer of another mapping";
  return check_limit(action);
}

static const char* check_actions(const struct nest_user_image* image) {
  uint32_t balancing = 0;
  const char* refusal = NULL;

  for (uint32_t i = 0; i < image->header->action_count && !refusal; i++) {
    refusal = check_action(image, i);
    balancing += image->actions[i].action.balancer != 0;
  }
  if (!refusal && balancing != image->header->balancer_count) refusal = "a balancer has no action";
  return refusal;
}

static const char* check_backend(const struct nest_backend* backend, uint32_t balancer) {
  if (backend->family != 4 && backend->family != 6) return "a backend's address family is not known";
  if (backend->family == 4 && (backend->address[1] || backend->address[2] || backend->address[3]))
    return "a backend's IPv4 address is longer than four bytes";
  if (backend->weight > WEIGHT_MAX) return "a backend's weight is above 1000";
  if (backend->state > NEST_BACKEND_DOWN) return "a backend's state is not known";
  if (backend->pad[0] != 0 || backend->pad[1] != 0) return "a backend's padding is not zero";
  if (backend->balancer != balancer) return "a backend belongs to another balancer";
  return NULL;
}

/* Rings are numbered in the order of use, IPv4 before IPv6. */
static const char* check_rings(const struct nest_balancer* balancer, bool has_family4, bool has_family6,
                               uint32_t* ring_count) {
  const uint32_t ring4 = has_family4 ? *ring_count : NEST_RING_NONE;
  const uint32_t ring6 = has_family6 ? *ring_count + has_family4 : NEST_RING_NONE;

  if (balancer->ring4 != ring4 || balancer->ring6 != ring6)
    return "a balancer's rings are not those of its backends";
  *ring_count += has_family4 + has_family6;
  return NULL;
}

static const char* check_balancers(struct nest_user_image* image) {
  uint32_t backend = 0;
  const char* refusal = NULL;

  for (uint32_t i = 0; i < image->header->balancer_count && !refusal; i++) {
    const struct nest_balancer* balancer = &image->balancers[i];
    bool has_family[2] = {false, false};

    if (balancer->mapping >= image->header->mapping_count || image->mappings[balancer->mapping].deny)
      return "a balancer's mapping does not exist or denies";
    if (i > 0 && (balancer - 1)->mapping >= balancer->mapping)
      return "balancers are not sorted, or a mapping has two";
    if (balancer->nat < NEST_NAT_DESTINATION || balancer->nat > NEST_NAT_DIRECT || balancer->by_source > 1 ||
        balancer->pad != 0)
      return "a balancer's kind is not known";
    if (balancer->first_backend != backend || balancer->backend_count == 0 ||
        balancer->backend_count > image->header->backend_count - backend)
      return "a balancer's backends are not in a row";
    for (uint32_t k = 0; k < balancer->backend_count && !refusal; k++, backend++) {
      refusal = check_backend(&image->backends[backend], i);
      has_family[image->backends[backend].family == 6] = true;
    }
    if (!refusal) refusal = check_rings(balancer, has_family[0], has_family[1], &image->ring_count);
  }
  if (!refusal && backend != image->header->backend_count) refusal = "a backend belongs to no balancer";
  return refusal;
}

const char* nest_user_image_check(struct nest_user_image* image, uint32_t* set_sizes) {
  const char* refusal = check_identities(image);

  if (!refusal) refusal = check_mappings(image);
  if (!refusal) refusal = check_intervals(image, set_sizes);
  if (!refusal) refusal = check_pairs(image, set_sizes);
  if (!refusal) refusal = check_deny(image);
  if (!refusal) refusal = check_balancers(image);
  if (!refusal) refusal = check_actions(image);
  return refusal;
}
