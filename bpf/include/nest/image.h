/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * The table image: what native/image writes and native/src/engine reads. Little-endian, no
 * pointers, sections in the order of the header's counts, each starting at a multiple of eight
 * bytes (zero filled). The same policy gives the same bytes; the SHA-256 of the whole image is the
 * generation.
 */
#ifndef NEST_IMAGE_H
#define NEST_IMAGE_H

#include "abi.h"

#define NEST_IMAGE_MAGIC   "NESTIMG1"
#define NEST_IMAGE_VERSION 2u

struct nest_image_header {
	__u8 magic[8];
	__u32 version;
	__u32 flags; /* NEST_FLAG_* */
	__u32 identity4_count;
	__u32 identity6_count;
	__u32 pair_count;
	__u32 port_interval_count;
	__u32 mapping_count;
	__u32 names_bytes;
	__u32 explain_bytes;
	__u32 source_class_count; /* classes 1 .. count; 0 is "any" */
	__u32 destination_class_count;
	__u32 action_count;
	__u32 deny4_count;
	__u32 deny6_count;
	__u32 deny_list_count; /* lists are named in the explanation, in this order */
	__u32 balancer_count;
	__u32 backend_count;
	__u32 reserved[5];
};

/* section 1, sorted by address, then length */
struct nest_image_identity4 {
	struct nest_prefix4 prefix;
	struct nest_identity identity;
};

/* section 2, likewise */
struct nest_image_identity6 {
	struct nest_prefix6 prefix;
	struct nest_identity identity;
};

/* section 3, sorted by source, destination, l4 */
struct nest_image_pair {
	struct nest_pair key;
	struct nest_port_set ports;
};

/* section 4: struct nest_port_interval */

/* section 5, sorted by name (UTF-8 bytes); the position is the mapping index */
struct nest_image_mapping {
	__u32 name_offset; /* bytes into section 11 */
	__u16 name_bytes;
	__u8 deny;
	__u8 pad;
	__u32 priority; /* 0..1000 */
};

/* section 6, sorted by mapping: mappings that do more than allow or deny */
struct nest_image_action {
	__u32 mapping;
	__u32 pad;
	struct nest_action action;
};

/* sections 7 and 8, sorted by address, then length */
struct nest_image_deny4 {
	struct nest_prefix4 prefix;
	struct nest_deny deny;
};

struct nest_image_deny6 {
	struct nest_prefix6 prefix;
	struct nest_deny deny;
};

/* section 9: struct nest_balancer, sorted by mapping. Rings are numbered in the order of use, IPv4
 * before IPv6; they are not in the image: the loader fills them (maglev.h). section 10: struct
 * nest_backend, those of one balancer in a row, sorted by name. */

/* section 11: names, UTF-8, back to back. section 12: UTF-8 JSON { "sources": [[service]],
 * "destinations": [[service]], "denyLists": [name], "backends": [name] }: the service names of each
 * class from 1 on, and the names of lists and backends by index, for explaining a verdict; the data
 * path never reads it. */

_Static_assert(sizeof(struct nest_image_header) == 96, "nest_image_header");
_Static_assert(sizeof(struct nest_image_identity4) == 16, "nest_image_identity4");
_Static_assert(sizeof(struct nest_image_identity6) == 28, "nest_image_identity6");
_Static_assert(sizeof(struct nest_image_pair) == 20, "nest_image_pair");
_Static_assert(sizeof(struct nest_image_mapping) == 12, "nest_image_mapping");
_Static_assert(sizeof(struct nest_image_action) == 72, "nest_image_action");
_Static_assert(sizeof(struct nest_image_deny4) == 12, "nest_image_deny4");
_Static_assert(sizeof(struct nest_image_deny6) == 24, "nest_image_deny6");

#endif
