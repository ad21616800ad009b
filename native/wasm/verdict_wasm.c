/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The verdict for WebAssembly: one lane, one image, packets in and out through a buffer. index.ts is
 * the only caller; offsets in the answer are those of struct answer.
 */
#include "memory.h"

#define PAGE_BYTES 65536u
#define HEAD_ROOM_BYTES 64u
#define PACKET_BYTES 65600u /* the longest IP packet and its Ethernet header, rounded */
#define SEQUENCE 1u
#define ROUTES_MAX 64u

#define EXPORT(name) __attribute__((export_name(name)))

/* What index.ts reads after each packet. */
struct answer {
  uint32_t action;
  uint32_t reason;
  uint32_t mapping;
  uint32_t interface;
  uint32_t packet; /* where the output lies */
  uint32_t bytes;
  struct nest_trace trace;
  struct nest_trace_more more;
};
_Static_assert(offsetof(struct answer, trace) == 24, "index.ts");
_Static_assert(offsetof(struct answer, more) == 56, "index.ts");

static uint8_t buffer[HEAD_ROOM_BYTES + PACKET_BYTES];
static struct answer answer;
static struct nest_user* user;
static struct nest_user_interface interfaces[NEST_INTERFACES_MAX];
static struct nest_user_route routes[ROUTES_MAX];
static const char* refusal = "";

extern uint8_t __heap_base;
static uint32_t heap_end;

/* Fresh, zeroed memory behind all that was taken before; 0 when the host gives none. */
static uint32_t take(uint32_t bytes) {
  const uint32_t start = heap_end ? heap_end : ((uint32_t)(uintptr_t)&__heap_base + 63) & ~63u;
  const uint64_t end = ((uint64_t)start + bytes + 63) & ~63ull;
  const uint64_t pages = (end + PAGE_BYTES - 1) / PAGE_BYTES;
  const uint32_t present = (uint32_t)__builtin_wasm_memory_size(0);

  if (pages > 65536 ||
      (pages > present && __builtin_wasm_memory_grow(0, (size_t)(pages - present)) == (size_t)-1))
    return 0;
  heap_end = (uint32_t)end;
  return start;
}

/* Where to write an image of that length; 0: no memory. */
EXPORT("allocate") uint32_t allocate(uint32_t bytes) {
  return take(bytes);
}

/* Opens the image at that place. 0, or NEST_USER_*; then text() names what is wrong. */
EXPORT("open") int32_t open_image(uint32_t image, uint32_t bytes, uint32_t flows, uint32_t lanes) {
  struct nest_user_sizes sizes = {
      .lanes = lanes,
      .flows = flows,
      .fragments = 1024,
      .sources = 1024,
      .records = 64,
      .routes = ROUTES_MAX,
      .seed = 1,
  };
  struct nest_user_image sections;
  uint32_t memory;
  size_t needed;
  int32_t result;

  refusal = nest_user_image_open((const void*)(uintptr_t)image, bytes, &sections);
  if (refusal) return NEST_USER_INVALID;
  nest_user_sizes_fit(&sizes, (const void*)(uintptr_t)image, bytes);
  needed = nest_user_bytes(&sizes);
  memory = needed ? take((uint32_t)needed) : 0;
  user = memory ? nest_user_init((void*)(uintptr_t)memory, needed, &sizes) : NULL;
  if (!user) {
    refusal = "there is not enough memory for it";
    return NEST_USER_TOO_LONG;
  }
  result = nest_user_load(user, (const void*)(uintptr_t)image, bytes, SEQUENCE);
  refusal = nest_user_refusal(user);
  return result;
}

EXPORT("text") uint32_t text(void) {
  return (uint32_t)(uintptr_t)refusal;
}

EXPORT("buffer") uint32_t packet_buffer(void) {
  return (uint32_t)(uintptr_t)(buffer + HEAD_ROOM_BYTES);
}

EXPORT("answer") uint32_t answer_place(void) {
  return (uint32_t)(uintptr_t)&answer;
}

EXPORT("interfaces") uint32_t interfaces_place(void) {
  return (uint32_t)(uintptr_t)interfaces;
}

EXPORT("setInterfaces") int32_t set_interfaces(uint32_t count) {
  return user ? nest_user_set_interfaces(user, interfaces, count) : NEST_USER_INVALID;
}

EXPORT("routes") uint32_t routes_place(void) {
  return (uint32_t)(uintptr_t)routes;
}

EXPORT("setRoutes") int32_t set_routes(uint32_t count) {
  return user ? nest_user_set_routes(user, routes, count, 1) : NEST_USER_INVALID;
}

_Static_assert(sizeof(struct nest_user_interface) == 28 && sizeof(struct nest_user_route) == 36, "index.ts");

/* Judges the packet in the buffer. A trace has no effect on what follows and explains itself. */
EXPORT("judge")
int32_t judge_packet(uint32_t bytes, uint32_t interface, uint64_t now_ns, uint32_t is_trace) {
  struct nest_user_frame frame = {
      .start = buffer + HEAD_ROOM_BYTES,
      .end = buffer + HEAD_ROOM_BYTES + bytes,
      .head = buffer,
      .limit = buffer + sizeof(buffer),
      .interface = interface,
  };
  struct nest_user_verdict verdict;

  if (!user || bytes > PACKET_BYTES) return NEST_USER_INVALID;
  verdict = is_trace ? nest_user_trace(user, 0, &frame, now_ns, &answer.trace, &answer.more)
                     : nest_user_judge(user, 0, &frame, now_ns);
  answer.action = verdict.action;
  answer.reason = verdict.reason;
  answer.mapping = verdict.mapping;
  answer.interface = verdict.interface;
  answer.packet = (uint32_t)(uintptr_t)frame.start;
  answer.bytes = (uint32_t)(frame.end - frame.start);
  return 0;
}
