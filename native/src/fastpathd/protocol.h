/* SPDX-License-Identifier: AGPL-3.0-only */
/*
 * What nest-fastpathd and its controllers say to each other, and the status page they share. C and C++.
 * Native-endian: both ends run on one host.
 *
 * The socket is a SOCK_SEQPACKET Unix socket, mode 0600; a peer must be root or the daemon's own user. One
 * message is one packet: a nest_fast_header, then the body of its kind. Each request gets one reply with the
 * same kind and id. A message that is no request (wrong magic, length or version) is answered with its
 * status, then the connection ends; a request that fails leaves the connection open.
 */
#ifndef NEST_FASTPATHD_PROTOCOL_H
#define NEST_FASTPATHD_PROTOCOL_H

#include <linux/types.h>

#include <nest/abi.h>

#define NEST_FAST_MAGIC 0x3150464eu /* "NFP1" */
#define NEST_FAST_VERSION 2u

/* ---- limits ---- */
#define NEST_FAST_MESSAGE_BYTES_MAX 4096u /* longer: STATUS_MESSAGE, the connection ends */
#define NEST_FAST_DESCRIPTORS_MAX 4u      /* in one message; more: STATUS_MESSAGE, the connection ends */
#define NEST_FAST_CONNECTIONS_MAX 4u      /* one more is closed at once */
#define NEST_FAST_LANES_MAX 16u           /* worker threads */
#define NEST_FAST_PORTS_MAX 16u           /* interfaces */
#define NEST_FAST_NAME_BYTES 16u          /* with the final zero */
#define NEST_FAST_PATH_BYTES 512u
#define NEST_FAST_IMAGE_BYTES_MAX (1u << 30)
#define NEST_FAST_RECORDS_MAX 65536u /* of one FLOWS or SWEEP reply */
#define NEST_FAST_ROUTES_MAX 65536u

/* ---- requests ---- */
/* Body: u32 version. Reply: nest_fast_hello_reply with descriptors, see there. */
#define NEST_FAST_HELLO 1u
/* Body: nest_fast_load; one descriptor: a memfd with the table image, sealed against writing, growing and
 * shrinking. Reply when no packet is judged by the old tables any more: no body. */
#define NEST_FAST_LOAD 2u
/* No body. Reply: nest_fast_stats_reply. */
#define NEST_FAST_STATS 3u
/* Body: nest_fast_port_request. Reply: no body. */
#define NEST_FAST_ADD_PORT 4u
/* Body: nest_fast_port_request, of which only the name counts. Takes the packet program off, too. */
#define NEST_FAST_REMOVE_PORT 5u
/* Body: u32, 1: take the packet programs off as well; 0: leave the fallback in place. Reply, then the end. */
#define NEST_FAST_STOP 6u
/* Body: u32, 1: deny lists come before the flow table. Reply: no body. */
#define NEST_FAST_FLOOD 7u
/* Body: u64 bytes; one descriptor: a sealed memfd of NEST_BACKEND_* as bytes, one for each backend of the
 * current image. Reply: u32, the sequence from now on (a new state has flows judged anew). */
#define NEST_FAST_BACKENDS 8u
/* Body: nest_fast_routes; one descriptor, unless bytes is 0: a sealed memfd of struct nest_user_route, which
 * replace all. Reply: no body. */
#define NEST_FAST_ROUTES 9u
/* Body: nest_fast_flows. Reply: nest_fast_flows_reply; when count > 0 one descriptor: a sealed memfd of
 * struct nest_record. SWEEP removes what is idle or ended, and its records are those of the ends. */
#define NEST_FAST_FLOWS 10u
#define NEST_FAST_SWEEP 11u

struct nest_fast_header {
  __u32 magic;
  __u16 kind;
  __u16 status; /* NEST_FAST_STATUS_*; 0 in requests */
  __u32 id;     /* the requester's */
  __u32 bytes;  /* of the body */
};

/* On failure the body of a reply is a UTF-8 text: the cause, a line feed, what the operator can do. */
/* X(number, name) */
#define NEST_FAST_STATUSES(X)                                                      \
  X(0, OK)                                                                         \
  X(1, MESSAGE)         /* not a message of this protocol */                       \
  X(2, VERSION)         /* another version of this protocol */                     \
  X(3, KIND)            /* no such request */                                      \
  X(4, DESCRIPTOR)      /* a descriptor is missing, not a memfd, or not sealed */  \
  X(5, IMAGE)           /* the table image is invalid */                           \
  X(6, TABLE_FULL)      /* the image does not fit the memory given at the start */ \
  X(7, INTERFACE)       /* no such interface, or not that queue */                 \
  X(8, FOREIGN_PROGRAM) /* the interface runs a packet program that is not ours */ \
  X(9, PORT)            /* exists already, or does not exist */                    \
  X(10, PORTS_EXHAUSTED)                                                           \
  X(11, UNSUPPORTED) /* by this engine, this driver or this kernel */              \
  X(12, PERMISSION)                                                                \
  X(13, NO_PORTS) /* the engine started and has no port to work on */              \
  X(14, ENGINE)   /* the engine cannot start */                                    \
  X(15, BUSY)     /* a worker did not answer in time */                            \
  X(16, USAGE)    /* command line */                                               \
  X(17, SYSTEM)

enum nest_fast_status_code {
#define NEST_FAST_STATUS_MEMBER(number, name) NEST_FAST_STATUS_##name = number,
  NEST_FAST_STATUSES(NEST_FAST_STATUS_MEMBER)
#undef NEST_FAST_STATUS_MEMBER
};

#define NEST_FAST_ENGINE_AF_XDP 1u
#define NEST_FAST_ENGINE_DPDK 2u

/* Bits of nest_fast_hello_reply.descriptors; the descriptors come in this order. */
#define NEST_FAST_DESCRIPTOR_MEMORY 1u   /* struct nest_user: tables, flows, counters, record rings */
#define NEST_FAST_DESCRIPTOR_STATUS 2u   /* struct nest_fast_status, read-only */
#define NEST_FAST_DESCRIPTOR_CURRENT 4u  /* table image in use, sealed */
#define NEST_FAST_DESCRIPTOR_PREVIOUS 8u /* the one before */

struct nest_fast_hello_reply {
  __u32 version;
  __u32 engine; /* NEST_FAST_ENGINE_* */
  __u32 process;
  __u32 sequence; /* of the image in use; 0: none was ever loaded */
  __u32 lanes;
  __u32 descriptors;
  __u64 memory_bytes;
  __u64 status_bytes;
  __u64 current_bytes; /* of the images; 0: no such image */
  __u64 previous_bytes;
  __u64 started_ns; /* CLOCK_MONOTONIC */
};

struct nest_fast_load {
  __u32 sequence; /* must not be 0 */
  __u32 pad;
  __u64 bytes; /* of the image; the memfd has exactly that size */
};

struct nest_fast_routes {
  __u64 bytes;
  __u32 has_kernel; /* 1: a rewritten packet without a route is passed, 0: it is dropped */
  __u32 pad;
};

struct nest_fast_flows {
  __u32 cursor; /* 0 at first, then the last reply's until that is 0 again */
  __u32 limit;  /* at most NEST_FAST_RECORDS_MAX */
};

struct nest_fast_flows_reply {
  __u32 cursor;
  __u32 count;
};

/* What happens to a packet that the verdict passes. */
#define NEST_FAST_PASS_KERNEL 0u  /* into this host's stack, as if it came in at the port's interface */
#define NEST_FAST_PASS_PEER 1u    /* out of the port named in `peer` */
#define NEST_FAST_PASS_REFLECT 2u /* out of the same port, Ethernet addresses exchanged */

/* What the interface does while no fastpathd serves it. */
#define NEST_FAST_FALLBACK_PASS 0u
#define NEST_FAST_FALLBACK_DROP 1u
#define NEST_FAST_FALLBACK_XDP 2u /* the program pinned at `program` */

struct nest_fast_port_request {
  char name[NEST_FAST_NAME_BYTES];
  char peer[NEST_FAST_NAME_BYTES];
  __u32 pass;
  __u32 fallback;
  __u32 queue_count; /* one per lane */
  __u32 queues[NEST_FAST_LANES_MAX];
  struct nest_interface_address address; /* zero: none. What translated sources become */
  char program[NEST_FAST_PATH_BYTES];
};

/* ---- counters: one writer each, never reset ---- */
struct nest_fast_counters {
  __u64 received_packets;
  __u64 received_bytes;
  __u64 sent_packets;
  __u64 sent_bytes;
  __u64 denied;      /* by the verdict */
  __u64 passed;      /* by the verdict, before `pass` is looked at */
  __u64 send_full;   /* lost: the way out was full (ring, tap) */
  __u64 unreachable; /* lost: redirected to an interface that is no port of this lane */
};

struct nest_fast_port_stats {
  char name[NEST_FAST_NAME_BYTES];
  __u32 interface;
  __u32 pad;
  struct nest_fast_counters counters; /* sum over the lanes */
  __u64 receive_lost;                 /* arrived and were lost before a worker saw them: it was too slow */
};

struct nest_fast_stats_reply {
  __u32 sequence;
  __u32 port_count;
  struct nest_fast_port_stats ports[NEST_FAST_PORTS_MAX];
};

/* ---- status page ---- */
struct nest_fast_lane {
  __u64 rounds;   /* grows while the worker lives; that it stands still for long is how a hang shows */
  __u32 sleeping; /* 1: waits for packets, and `rounds` may stand still */
  __u32 processor;
  __u64 pad[6];
};

/* Where the memory of the data path keeps what a lane writes: byte offsets into it. What lies there is
 * documented in user/verdict.h, struct nest_user_counters; the ring is a struct nest_user_ring with its one
 * reader outside. */
struct nest_fast_offsets {
  __u64 ring;
  __u64 interfaces;
  __u64 mappings;
  __u64 limits;
  __u64 deny;
  __u64 backends;
  __u64 stats;
  __u64 losses;
};

#define NEST_FAST_PORT_UNUSED 0u
#define NEST_FAST_PORT_COPY 1u /* AF_XDP, the kernel copies */
#define NEST_FAST_PORT_ZERO_COPY 2u
#define NEST_FAST_PORT_DPDK 3u
struct nest_fast_port {
  char name[NEST_FAST_NAME_BYTES];
  __u32 interface;   /* index; the position in `ports` is the slot of the interface counters */
  __u32 mode;        /* NEST_FAST_PORT_* */
  __s32 numa_device; /* -1: the device names none */
  __s32 numa_memory; /* where the packet memory was asked for; -1: anywhere */
  char driver[NEST_FAST_NAME_BYTES];
  __u64 pad[2];
};

struct nest_fast_status {
  __u32 magic;
  __u32 version;
  __u32 engine;
  __u32 process;
  __u64 started_ns;
  __u32 sequence;
  __u32 lane_count;
  __u64 pad[4];
  struct nest_fast_lane lanes[NEST_FAST_LANES_MAX];
  struct nest_fast_offsets offsets[NEST_FAST_LANES_MAX];
  struct nest_fast_port ports[NEST_FAST_PORTS_MAX];
  struct nest_fast_counters counters[NEST_FAST_LANES_MAX][NEST_FAST_PORTS_MAX];
};

_Static_assert(sizeof(struct nest_fast_header) == 16, "nest_fast_header");
_Static_assert(sizeof(struct nest_fast_hello_reply) == 64, "nest_fast_hello_reply");
_Static_assert(sizeof(struct nest_fast_load) == 16, "nest_fast_load");
_Static_assert(sizeof(struct nest_fast_port_request) == 640, "nest_fast_port_request");
_Static_assert(sizeof(struct nest_fast_counters) == 64, "one cache line, one writer");
_Static_assert(sizeof(struct nest_fast_lane) == 64, "one cache line, one writer");
_Static_assert(sizeof(struct nest_fast_port) == 64, "nest_fast_port");
_Static_assert(sizeof(struct nest_fast_header) + sizeof(struct nest_fast_stats_reply) <=
                   NEST_FAST_MESSAGE_BYTES_MAX,
               "every reply fits a message");

#endif
