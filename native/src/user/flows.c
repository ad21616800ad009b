/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The flow table as seen by the control thread: what is in it, and what is over. Lanes go on
 * meanwhile: an entry is copied, and looked at again under its bucket's lock before it goes.
 */
#include "memory.h"

#include "lib/flow.h"
#include "lib/record.h"

/* One flow, as the table had it at one moment. */
struct view {
  struct nest_user_entry entry;
  struct nest_user_entry twin; /* family 0: it has none */
};

static bool has_twin(const struct nest_flow* flow) {
  const uint8_t translated = NEST_REWRITE_SOURCE | NEST_REWRITE_DESTINATION;

  return flow->flags & NEST_FLOW_REWRITE && flow->rewrite.flags & translated;
}

static uint8_t protocol_of(const struct nest_user_entry* entry) {
  /* The protocol follows both ports in the last word of a key. */
  return (uint8_t)(entry->key[entry->family == 4 ? 1 : 4] >> 32);
}

static bool find_twin(const struct nest_user* user, const struct nest_user_entry* entry,
                      struct nest_user_entry* twin) {
  const struct nest_rewrite* rewrite = &entry->flow.rewrite;
  struct nest_scratch scratch = {.packet.family = (uint8_t)entry->family};
  const struct nest_end source = {rewrite->source, rewrite->source_port};
  const struct nest_end destination = {rewrite->destination, rewrite->destination_port};
  const struct nest_user_entry* found;
  uint64_t hash;

  twin->family = 0;
  if (!has_twin(&entry->flow)) return false;
  nest_flow_key_make(&scratch, &source, &destination, protocol_of(entry));
  hash = nest_user_flow_hash(user->flows.seed, scratch.key_words, entry->family);
  found = nest_user_flow_find(&user->flows, scratch.key_words, entry->family, hash, NULL);
  /* Another flow may have that key meanwhile. */
  if (!found || (found->flow.flags & NEST_FLOW_ALIAS) == (entry->flow.flags & NEST_FLOW_ALIAS)) return false;
  *twin = *found;
  return twin->family != 0;
}

/* What both entries know of one flow. */
static struct nest_flow merged(const struct view* view) {
  const struct nest_flow* twin = &view->twin.flow;
  struct nest_flow flow = view->entry.flow;

  if (view->twin.family == 0) return flow;
  for (int i = 0; i < 2; i++) {
    flow.packets[i] += twin->packets[i];
    flow.bytes[i] += twin->bytes[i];
  }
  if (twin->last_seen_ns > flow.last_seen_ns) flow.last_seen_ns = twin->last_seen_ns;
  flow.tcp |= twin->tcp;
  return flow;
}

static void describe(const struct nest_user_entry* entry, const struct nest_flow* flow, uint8_t kind,
                     struct nest_record* record) {
  const __u64* key = entry->key;
  const uint32_t from = flow->flags & NEST_FLOW_INITIATOR_SECOND;
  const uint64_t tail = key[entry->family == 4 ? 1 : 4];
  const uint16_t ports[2] = {(uint16_t)tail, (uint16_t)(tail >> 16)};
  const uint32_t bytes = entry->family == 4 ? 4 : 16;
  const uint8_t* addresses = (const uint8_t*)key;

  *record = (struct nest_record){
      .time_ns = flow->last_seen_ns,
      .packets = {flow->packets[0], flow->packets[1]},
      .bytes = {flow->bytes[0], flow->bytes[1]},
      .interface = flow->interface,
      .sequence = flow->sequence,
      .mapping = flow->mapping,
      .kind = kind,
      .reason = flow->reason,
      .family = (uint8_t)entry->family,
      .protocol = protocol_of(entry),
      .source_port = nest_from_be16(ports[from]),
      .destination_port = nest_from_be16(ports[from ^ 1]),
      .age_ms = nest_record_age_ms(flow->first_seen_ns, flow->last_seen_ns),
  };
  __builtin_memcpy(record->source, addresses + from * bytes, bytes);
  __builtin_memcpy(record->destination, addresses + (from ^ 1) * bytes, bytes);
  nest_record_translate(record, flow);
}

/* Copies the entry at a position; false when it is free. */
static bool look(const struct nest_user* user, uint32_t position, struct view* view) {
  const struct nest_user_entry* entry = &user->flows.entries[position];

  if (__atomic_load_n(&entry->family, __ATOMIC_ACQUIRE) == 0) return false;
  view->entry = *entry;
  return view->entry.family != 0;
}

uint32_t nest_user_flows(struct nest_user* user, uint32_t* cursor, struct nest_record* records,
                         uint32_t limit) {
  uint32_t count = 0;
  uint32_t position = *cursor;
  struct view view;

  nest_user_enter(user, user->lane_count);
  for (; position < user->flows.entry_count && count < limit; position++) {
    struct nest_flow flow;

    if (!look(user, position, &view) || view.entry.flow.flags & NEST_FLOW_ALIAS) continue;
    find_twin(user, &view.entry, &view.twin);
    flow = merged(&view);
    /* Sequence 0: cut by a policy, kept only to be judged. */
    if (flow.sequence != 0 && !nest_tcp_is_finished(flow.tcp))
      describe(&view.entry, &flow, 0, &records[count++]);
  }
  nest_user_leave(user, user->lane_count);
  *cursor = position < user->flows.entry_count ? position : 0;
  return count;
}

/* Takes the entry out unless a packet came since it was looked at. */
static bool remove_idle(struct nest_user* user, struct nest_user_lane* lane,
                        const struct nest_user_entry* entry, uint64_t now_ns) {
  struct nest_user_bucket* bucket = nest_user_bucket_of(&user->flows, entry->hash);
  struct nest_user_entry* found;
  bool is_removed = false;
  uint32_t way;

  nest_user_lock(&bucket->lock);
  found = nest_user_flow_find(&user->flows, entry->key, entry->family, entry->hash, &way);
  if (found && nest_flow_is_idle(&found->flow, protocol_of(entry), now_ns) &&
      !nest_user_limbo_is_full(&lane->spares)) {
    nest_user_flow_retire(&user->flows, &lane->spares, bucket, way, &user->epoch);
    is_removed = true;
  }
  nest_user_unlock(&bucket->lock);
  return is_removed;
}

/* Removes what is idle in both directions; true when it is an end that nobody has reported. */
static bool sweep_one(struct nest_user* user, struct nest_user_lane* lane, struct view* view,
                      uint64_t now_ns) {
  const uint8_t protocol = protocol_of(&view->entry);
  const bool is_alias = view->entry.flow.flags & NEST_FLOW_ALIAS;

  if (!nest_flow_is_idle(&view->entry.flow, protocol, now_ns)) return false;
  if (find_twin(user, &view->entry, &view->twin) &&
      (is_alias || !nest_flow_is_idle(&view->twin.flow, protocol, now_ns)))
    return false; /* an alias goes with its flow */
  if (!remove_idle(user, lane, &view->entry, now_ns) || is_alias) return false;
  if (view->twin.family != 0) remove_idle(user, lane, &view->twin, now_ns);
  return view->entry.flow.sequence != 0 && !nest_tcp_is_finished(merged(view).tcp);
}

uint32_t nest_user_sweep(struct nest_user* user, uint32_t* cursor, struct nest_record* records,
                         uint32_t limit, uint64_t now_ns) {
  struct nest_user_lane* lane = &user->lanes[user->lane_count];
  uint32_t count = 0;
  uint32_t position = *cursor;
  struct view view;

  nest_user_enter(user, user->lane_count);
  for (; position < user->flows.entry_count && count < limit; position++) {
    if (nest_user_limbo_is_full(&lane->spares)) break; /* the next call goes on */
    if (!look(user, position, &view) || !sweep_one(user, lane, &view, now_ns)) continue;
    const struct nest_flow flow = merged(&view);

    describe(&view.entry, &flow, NEST_RECORD_END, &records[count++]);
  }
  nest_user_leave(user, user->lane_count);
  *cursor = position < user->flows.entry_count ? position : 0;
  return count;
}
