/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/* The way of a packet outside the kernel: what bpf/nest_xdp.bpf.c is to the kernel. */
#include "memory.h"

#include "lib/verdict.h"

/* Stages of one packet: none comes twice. */
#define STAGES_MAX NEST_TAIL_PROGRAMS

/* Every judgement of a lane happens between these two. */
static inline void enter(struct nest_user* user, struct nest_user_lane* lane) {
  /* A lane that enters is seen by whoever replaces tables, or sees the new ones. */
  __atomic_store_n(&lane->inside, __atomic_load_n(&user->epoch, __ATOMIC_ACQUIRE), __ATOMIC_SEQ_CST);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void leave(struct nest_user* user, struct nest_user_lane* lane) {
  const struct nest_user_spares* spares = &lane->spares;

  __atomic_store_n(&lane->inside, 0, __ATOMIC_RELEASE);
  if (spares->limbo_first != spares->limbo_end || spares->free_count < NEST_USER_SPARE_LOW)
    nest_user_spares_balance(user, lane);
}

void nest_user_enter(struct nest_user* user, uint32_t lane) {
  enter(user, &user->lanes[lane]);
}

void nest_user_leave(struct nest_user* user, uint32_t lane) {
  leave(user, &user->lanes[lane]);
}

/* The stages after the first, until one settles the packet. */
static void go_on(struct nest_scratch* scratch, struct nest_user_frame* bounds, bool is_traced) {
  struct nest_frame frame = {bounds->start, bounds->end};
  __u32 stage = NEST_TAIL_JUDGE;

  for (__u32 i = 0; i < STAGES_MAX && stage != NEST_TAIL_NONE; i++) {
    switch (stage) {
      case NEST_TAIL_JUDGE:
        stage = nest_stage_judge(bounds, scratch, is_traced);
        break;
      case NEST_TAIL_RULE:
        stage = nest_stage_rule(scratch, is_traced);
        break;
      case NEST_TAIL_BEGIN:
        stage = nest_stage_begin(bounds, scratch, is_traced);
        break;
      case NEST_TAIL_CONTINUE:
        stage = nest_stage_continue(bounds, scratch, is_traced);
        break;
      case NEST_TAIL_RELATED:
        stage = nest_stage_related(bounds, scratch, &frame, is_traced);
        break;
      case NEST_TAIL_SEND:
        stage = nest_stage_send(scratch, &frame, is_traced);
        break;
      default:
        stage = nest_stage_too_big(bounds, scratch, &frame, is_traced);
        break;
    }
  }
}

static inline void judge(struct nest_scratch* scratch, struct nest_user_frame* frame, bool is_traced) {
  struct nest_cursor cursor = {
      .start = frame->start,
      .position = frame->start,
      .end = frame->end,
  };
  enum nest_reason reason;

  scratch->packet.length = (__u32)(frame->end - frame->start);
  scratch->packet.interface = frame->interface;
  scratch->control = nest_runtime_control();
  scratch->outcome = NEST_OUTCOME_PASS;
  reason = nest_verdict_begin(scratch, &cursor, is_traced);
  scratch->packet.reason = (__u8)reason;
  /* In a flood nothing is recorded: the counters of the lists and of the reason say enough. */
  if (is_traced || reason == NEST_REASON_UNSPECIFIED ||
      (nest_is_dropped(reason) && reason != NEST_REASON_DENY_LIST))
    go_on(scratch, frame, is_traced);
  else if (nest_is_dropped(reason))
    scratch->outcome = NEST_OUTCOME_DROP;
}

_Static_assert((int)NEST_USER_PASS == NEST_OUTCOME_PASS && (int)NEST_USER_DROP == NEST_OUTCOME_DROP &&
                   (int)NEST_USER_TX == NEST_OUTCOME_TX && (int)NEST_USER_REDIRECT == NEST_OUTCOME_REDIRECT,
               "an outcome is an action");

static inline struct nest_user_verdict verdict_of(const struct nest_scratch* scratch, uint32_t mapping) {
  const uint32_t outcome = scratch->outcome;
  const uint32_t interface = outcome == NEST_OUTCOME_TX ? scratch->packet.interface :
				   outcome == NEST_OUTCOME_REDIRECT ? scratch->out.egress :
								      0;

  return (struct nest_user_verdict){
      .action = (uint8_t)outcome,
      .reason = scratch->packet.reason,
      .mapping = (uint16_t)mapping,
      .interface = interface,
  };
}

static inline struct nest_user_lane* begin(struct nest_user* user, uint32_t index, uint64_t now_ns) {
  struct nest_user_lane* lane = &user->lanes[index];

  nest_user_lane_here = lane;
  lane->now_ns = now_ns;
  lane->mapping = NEST_USER_MAPPING_NONE;
  return lane;
}

struct nest_user_verdict nest_user_judge(struct nest_user* user, uint32_t lane_index,
                                         struct nest_user_frame* frame, uint64_t now_ns) {
  struct nest_user_lane* lane = begin(user, lane_index, now_ns);
  struct nest_scratch* scratch = &lane->scratch[0];
  const bool is_burst = lane->inside != 0;

  if (!is_burst) enter(user, lane);
  judge(scratch, frame, false);
  nest_count_reason(&scratch->packet, scratch->packet.reason);
  if (!is_burst) leave(user, lane);
  return verdict_of(scratch, lane->mapping);
}

/* A trace counts nothing, so that no counter tells its mapping: the match and the reason do. */
static uint32_t traced_mapping(const struct nest_trace* trace) {
  switch (trace->reason) {
    case NEST_REASON_FLOW:
    case NEST_REASON_POLICY_ALLOW:
    case NEST_REASON_POLICY_DENY:
    case NEST_REASON_DEFAULT_ALLOW:
    case NEST_REASON_DEFAULT_DENY:
    case NEST_REASON_RATE_LIMIT:
    case NEST_REASON_NO_BACKEND:
    case NEST_REASON_NAT_EXHAUSTED:
    case NEST_REASON_NOT_TRANSLATABLE:
    case NEST_REASON_NO_ROUTE:
    case NEST_REASON_TOO_BIG:
      return trace->match == NEST_MATCH_NONE ? NEST_MAPPING_DEFAULT : NEST_MATCH_MAPPING(trace->match);
    default:
      return NEST_USER_MAPPING_NONE;
  }
}

struct nest_user_verdict nest_user_trace(struct nest_user* user, uint32_t lane_index,
                                         struct nest_user_frame* frame, uint64_t now_ns,
                                         struct nest_trace* trace, struct nest_trace_more* more) {
  struct nest_user_lane* lane = begin(user, lane_index, now_ns);
  struct nest_scratch* scratch = &lane->scratch[1];
  const bool is_burst = lane->inside != 0;

  if (!is_burst) enter(user, lane);
  judge(scratch, frame, true);
  nest_trace_answer(trace, scratch, scratch->packet.reason);
  *more = lane->more;
  if (!is_burst) leave(user, lane);
  return verdict_of(scratch, traced_mapping(trace));
}

/* The usual packets only: no tags, no options. Others are judged without having been fetched. */
static inline bool peek_key(const struct nest_user_frame* frame, __u64 key[5], uint32_t* family) {
  const uint8_t* packet = frame->start;
  struct nest_scratch scratch;
  struct nest_end source = {scratch.packet.source, 0};
  struct nest_end destination = {scratch.packet.destination, 0};
  uint16_t type;
  uint8_t protocol;
  uint32_t ports;

  if (frame->end - packet < 14 + 40 + 4) return false;
  __builtin_memcpy(&type, packet + 12, sizeof(type));
  if (type == nest_to_be16(NEST_ETHERTYPE_IPV4) && packet[14] == 0x45) {
    *family = 4;
    protocol = packet[23];
    __builtin_memcpy(scratch.packet.source, packet + 26, 4);
    __builtin_memcpy(scratch.packet.destination, packet + 30, 4);
    ports = 34;
  } else if (type == nest_to_be16(NEST_ETHERTYPE_IPV6)) {
    *family = 6;
    protocol = packet[20];
    __builtin_memcpy(scratch.packet.source, packet + 22, 16);
    __builtin_memcpy(scratch.packet.destination, packet + 38, 16);
    ports = 54;
  } else {
    return false;
  }
  if (protocol != NEST_PROTOCOL_TCP && protocol != NEST_PROTOCOL_UDP) return false;
  __builtin_memcpy(&source.port, packet + ports, 2);
  __builtin_memcpy(&destination.port, packet + ports + 2, 2);
  scratch.packet.family = (uint8_t)*family;
  nest_flow_key_make(&scratch, &source, &destination, protocol);
  __builtin_memcpy(key, scratch.key_words, sizeof(scratch.key_words));
  return true;
}

void nest_user_prefetch(struct nest_user* user, uint32_t lane, const struct nest_user_frame* frame) {
  const struct nest_user_flow_table* table = &user->flows;
  const struct nest_user_bucket* bucket;
  __u64 key[5];
  uint32_t family, candidates;
  __u64 hash;

  (void)lane;
  if (!peek_key(frame, key, &family)) return;
  hash = nest_user_flow_hash(table->seed, key, family);
  bucket = nest_user_bucket_of(table, hash);
  /* The bucket is read, not fetched: the waits for several packets overlap in the processor. */
  candidates = nest_user_candidates(bucket, nest_user_tag(hash));
  while (candidates) {
    const uint32_t slot = bucket->slots[__builtin_ctz(candidates)] & NEST_USER_INDEX_MASK;

    candidates &= candidates - 1;
    if (slot == 0) continue;
    __builtin_prefetch(&table->entries[slot - 1]);
    __builtin_prefetch(&table->entries[slot - 1].flow, 1);
  }
}
