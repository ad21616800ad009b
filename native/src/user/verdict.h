/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The verdict outside the kernel: bpf/lib over tables in memory that the caller gives. C and C++;
 * no libc, no allocation, no system call, no lock on the way of a packet of a known flow.
 *
 * Threads: a lane belongs to one thread at a time. Any number of lanes judge at once; they share the
 * tables, the flow table and the buckets, and have counters and records of their own. The functions
 * marked "control" are for one other thread at a time, beside the judging lanes.
 *
 * Lanes read tables without locks. Control functions replace what lanes may be reading by writing
 * a second copy and flipping one word; before a copy is written again, they wait until no lane that
 * could still see it is inside of a burst. So a burst ends with nest_user_leave: a lane that stays
 * inside while it sleeps holds control functions up (NEST_USER_BUSY after a bounded wait).
 */
#ifndef NEST_USER_VERDICT_H
#define NEST_USER_VERDICT_H

#include <stddef.h>
#include <stdint.h>

#include <nest/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nest_user;

enum nest_user_action { NEST_USER_PASS, NEST_USER_DROP, NEST_USER_TX, NEST_USER_REDIRECT };

/*
 * A packet: [start, end) from the Ethernet header on. head <= start and end <= limit bound the
 * memory around it that may be written: an ICMP answer grows the packet at its front.
 */
struct nest_user_frame {
  uint8_t *start, *end;
  uint8_t* head;
  uint8_t* limit;
  uint32_t interface; /* it came by, an index below NEST_INTERFACE_INDEX_MAX */
};

/* No mapping was asked: the packet is no IP packet, or decided before policy. */
#define NEST_USER_MAPPING_NONE 0xffffu

struct nest_user_verdict {
  uint8_t action;     /* enum nest_user_action */
  uint8_t reason;     /* enum nest_reason */
  uint16_t mapping;   /* index, NEST_MAPPING_DEFAULT, or NEST_USER_MAPPING_NONE */
  uint32_t interface; /* to send it by: TX the frame's own, REDIRECT another; else 0 */
};

/* What the memory has to hold. Hash tables are rounded up to powers of two. */
struct nest_user_sizes {
  uint32_t lanes;     /* 1 .. NEST_USER_LANES_MAX */
  uint32_t flows;     /* of both families, 1 .. NEST_USER_FLOWS_MAX */
  uint32_t fragments; /* datagrams under way, from 1 on */
  uint32_t sources;   /* with a rate limit, from 1 on */
  uint32_t records;   /* per lane, a power of two, from 64 on */
  uint32_t routes;    /* of both families */
  uint64_t seed;      /* random: what hash tables begin from, so that nobody can aim at a bucket */
  /* of one policy; the compiler's limits (NEST_*_MAX) bound them */
  uint32_t identities4;
  uint32_t identities6;
  uint32_t pairs;
  uint32_t port_intervals;
  uint32_t deny4;
  uint32_t deny6;
  uint32_t balancers;
  uint32_t backends;
};

#define NEST_USER_LANES_MAX 64u
#define NEST_USER_FLOWS_MAX 4000000u

/* Results of control functions: 0, or one of these. nest_user_text says them in words. */
#define NEST_USER_INVALID (-1)  /* the image, or an argument, is not valid */
#define NEST_USER_TOO_LONG (-2) /* more than nest_user_sizes promised */
#define NEST_USER_SEQUENCE (-3) /* not newer than the current one, or of the same half */
#define NEST_USER_BUSY (-4)     /* a lane did not leave its burst */

/* Room for the kernel's own limits. Most of it is never touched: give it from mmap. */
void nest_user_sizes_usual(struct nest_user_sizes* sizes, uint32_t lanes);

/* Raises the sizes of the policy to what this image needs. 0 or NEST_USER_INVALID. */
int nest_user_sizes_fit(struct nest_user_sizes* sizes, const void* image, size_t bytes);

/* Bytes that nest_user_init needs; 0 when the sizes are out of range. */
size_t nest_user_bytes(const struct nest_user_sizes* sizes);

/*
 * Lays the tables out. `memory` is zeroed, aligned to 64 bytes (huge pages make it faster) and stays
 * the caller's; it holds pointers into itself. NULL when the bytes do not suffice. Until the first
 * load everything passes.
 */
struct nest_user* nest_user_init(void* memory, size_t bytes, const struct nest_user_sizes* sizes);

/*
 * Takes over memory whose last user has ended, however that came about: flows, policy and counters
 * are as it left them, wherever it lies now. NULL when it was never laid out by this version.
 */
struct nest_user* nest_user_adopt(void* memory, size_t bytes);

/*
 * Control. Checks the image, which may be hostile and is not kept, fills the half of `sequence` and
 * flips to it. `sequence` is above the current one and, but for the first, of the other parity. On an error
 * nothing has changed; nest_user_refusal names the first thing wrong with the image.
 */
int nest_user_load(struct nest_user* user, const void* image, size_t bytes, uint32_t sequence);
const char* nest_user_refusal(const struct nest_user* user);
const char* nest_user_text(int error);

/* Sequence and flags in use. */
struct nest_control nest_user_control(const struct nest_user* user);

/* Control. Flood mode: deny lists come before the flow table. */
void nest_user_set_flood(struct nest_user* user, int is_on);

/* Control. NEST_BACKEND_* by backend index of the current policy; rings are filled anew and flows
 * judged anew (the sequence moves by two). `count` is the policy's number of backends. */
int nest_user_set_backends(struct nest_user* user, const uint8_t* states, uint32_t count);

/* ---- the way of a packet ---- */

/*
 * Judges and, where the verdict says so, rewrites one packet in place; start and end may move.
 * `now_ns` is a monotonic clock that never goes back by more than a second between lanes.
 */
struct nest_user_verdict nest_user_judge(struct nest_user* user, uint32_t lane, struct nest_user_frame* frame,
                                         uint64_t now_ns);

/*
 * Around a burst of nest_user_judge: what keeps the tables in place is then paid once. Without them
 * each judgement is a burst of its own. Neither nests.
 */
void nest_user_enter(struct nest_user* user, uint32_t lane);
void nest_user_leave(struct nest_user* user, uint32_t lane);

/* Fetches what the judgement of this packet will read; called some packets ahead, within a burst. */
void nest_user_prefetch(struct nest_user* user, uint32_t lane, const struct nest_user_frame* frame);

/* Judges and rewrites without effect on flows, counters, buckets or records, and explains.
 * `trace->magic` is left alone. */
struct nest_user_verdict nest_user_trace(struct nest_user* user, uint32_t lane, struct nest_user_frame* frame,
                                         uint64_t now_ns, struct nest_trace* trace,
                                         struct nest_trace_more* more);

/* ---- interfaces and the way out ---- */

struct nest_user_interface {
  uint32_t index; /* below NEST_INTERFACE_INDEX_MAX */
  uint32_t ports; /* NEST_PORT_* */
  struct nest_interface_address address;
};

/* Control. Replaces all; at most NEST_INTERFACES_MAX. The position is the slot of the counters. */
int nest_user_set_interfaces(struct nest_user* user, const struct nest_user_interface* interfaces,
                             uint32_t count);

struct nest_user_route {
  uint8_t family; /* 4 or 6 */
  uint8_t length; /* bits of the prefix */
  uint16_t mtu;   /* of the IP packet, 0 = not known */
  uint32_t egress;
  uint8_t address[16]; /* IPv4 in the first four; no bits behind the length */
  uint8_t destination_mac[6];
  uint8_t source_mac[6];
};

/*
 * Control. Replaces all; in any order, each prefix once. A rewritten packet that they do not cover,
 * or whose egress is no NEST_PORT_TX, is passed for the kernel to route (`has_kernel`, which is how
 * it is before the first call), or dropped (NO_ROUTE).
 */
int nest_user_set_routes(struct nest_user* user, const struct nest_user_route* routes, uint32_t count,
                         int has_kernel);

/*
 * ---- counters and records ----
 * These, and nest_user_control, also work on a mapping of the memory in another process.
 */

/* Of one lane, written by it without atomics. Indexes as in the kernel's maps of the same names. */
struct nest_user_counters {
  struct nest_counter* interfaces;       /* slot * NEST_REASON_SLOTS + reason */
  struct nest_counter* mappings;         /* NEST_MAPPING_COUNTERS */
  struct nest_counter* limits;           /* NEST_MAPPING_COUNTERS */
  struct nest_counter* deny;             /* 2 * NEST_DENY_LISTS_MAX */
  struct nest_backend_counter* backends; /* 2 * NEST_BACKENDS_MAX */
  __u64* stats;                          /* NEST_STAT_KINDS */
  __u64* losses;                         /* NEST_LOSS_KINDS */
};
void nest_user_counters(struct nest_user* user, uint32_t lane, struct nest_user_counters* counters);

/*
 * The record ring of a lane: one writer, one reader, in this or another process (`slots` follows in
 * memory). Positions count up without end; slot = position & (capacity - 1).
 */
struct nest_user_ring {
  __u64 written; /* by the lane, release */
  uint8_t pad0[56];
  __u64 taken; /* by the reader, release */
  uint8_t pad1[56];
  uint32_t capacity;
  uint8_t pad2[60];
  struct nest_record slots[];
};
struct nest_user_ring* nest_user_ring(struct nest_user* user, uint32_t lane);

/* Takes up to `limit` records of a lane; returns how many. One reader at a time per lane. */
uint32_t nest_user_records(struct nest_user* user, uint32_t lane, struct nest_record* records,
                           uint32_t limit);

/*
 * Control. Reads flows from *cursor on (0 at first) as records of kind 0, aliases merged into their
 * primary entries; returns how many. *cursor is 0 again when all were seen.
 */
uint32_t nest_user_flows(struct nest_user* user, uint32_t* cursor, struct nest_record* records,
                         uint32_t limit);

/* Control. Removes idle and ended flows from *cursor on, at most `limit`; likewise, as records of
 * kind NEST_RECORD_END. `now_ns` as in nest_user_judge. */
uint32_t nest_user_sweep(struct nest_user* user, uint32_t* cursor, struct nest_record* records,
                         uint32_t limit, uint64_t now_ns);

#ifdef __cplusplus
}
#endif

#endif
