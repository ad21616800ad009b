/* SPDX-License-Identifier: AGPL-3.0-only OR GPL-2.0-only */
/*
 * libFuzzer: hostile packets against good tables, and hostile images, in the build of the verdict that
 * ASan and UBSan watch. Each packet lies in memory of exactly its length, so that a byte read outside
 * is seen. Input: one byte of kind; kind odd: an image, then packets; else packets against the image
 * named by NEST_FUZZ_IMAGE. A packet is two bytes of length (little-endian) and that many bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/verdict.h"

#define IMAGE_BYTES_MAX (1u << 20)
#define PACKET_BYTES_MAX 4096u
#define HEAD_ROOM 64u

static struct nest_user* base;

static struct nest_user* open_image(const void* image, size_t bytes, void** memory) {
  struct nest_user_sizes sizes = {
      .lanes = 1,
      .flows = 64,
      .fragments = 8,
      .sources = 8,
      .records = 64,
      .routes = 4,
  };
  struct nest_user* user;
  size_t needed;

  *memory = NULL;
  if (nest_user_sizes_fit(&sizes, image, bytes) != 0) return NULL;
  /* An image that lies about its counts does not have the bytes for them: this stays small. */
  needed = nest_user_bytes(&sizes);
  if (needed == 0) return NULL;
  *memory = aligned_alloc(64, (needed + 63) & ~(size_t)63);
  memset(*memory, 0, needed);
  user = nest_user_init(*memory, needed, &sizes);
  if (!user || nest_user_load(user, image, bytes, 1) != 0) return NULL;
  return user;
}

static void set_surroundings(struct nest_user* user) {
  const struct nest_user_interface interface = {
      .index = 3,
      .ports = NEST_PORT_TX,
      .address = {.address4 = 0x010200c0},
  };
  const struct nest_user_route route = {.family = 4, .length = 0, .mtu = 600, .egress = 3};

  nest_user_set_interfaces(user, &interface, 1);
  nest_user_set_routes(user, &route, 1, 1);
}

/* The verdict names an action, a reason and bytes inside of the memory it was given. */
static void judge(struct nest_user* user, const uint8_t* packet, size_t bytes, uint64_t now_ns) {
  for (int is_trace = 0; is_trace < 2; is_trace++) {
    uint8_t* memory = malloc(HEAD_ROOM + bytes);
    struct nest_user_frame frame = {
        .start = memory + HEAD_ROOM,
        .end = memory + HEAD_ROOM + bytes,
        .head = memory,
        .limit = memory + HEAD_ROOM + bytes,
        .interface = 3,
    };
    struct nest_user_verdict verdict;
    struct nest_trace_more more;
    struct nest_trace trace;

    memcpy(frame.start, packet, bytes);
    verdict = is_trace ? nest_user_trace(user, 0, &frame, now_ns, &trace, &more)
                       : nest_user_judge(user, 0, &frame, now_ns);
    if (verdict.action > NEST_USER_REDIRECT || verdict.reason >= NEST_REASON_COUNT ||
        frame.start < frame.head || frame.end > frame.limit || frame.start > frame.end)
      abort();
    free(memory);
  }
}

static void judge_all(struct nest_user* user, const uint8_t* data, size_t bytes) {
  static uint64_t now_ns = 1;
  struct nest_record records[64];

  while (bytes >= 2) {
    size_t length = data[0] | (size_t)data[1] << 8;

    data += 2;
    bytes -= 2;
    if (length > bytes) length = bytes;
    if (length > PACKET_BYTES_MAX) return;
    now_ns += 1000000;
    judge(user, data, length, now_ns);
    data += length;
    bytes -= length;
  }
  nest_user_records(user, 0, records, 64);
}

int LLVMFuzzerInitialize(int* argc, char*** argv) {
  const char* path = getenv("NEST_FUZZ_IMAGE");
  FILE* file = path ? fopen(path, "rb") : NULL;
  void* image = aligned_alloc(64, IMAGE_BYTES_MAX);
  void* memory;
  size_t bytes;

  (void)argc;
  (void)argv;
  if (!file) {
    fprintf(stderr, "NEST_FUZZ_IMAGE has to name a table image\n");
    exit(2);
  }
  bytes = fread(image, 1, IMAGE_BYTES_MAX, file);
  fclose(file);
  base = open_image(image, bytes, &memory);
  if (!base) {
    fprintf(stderr, "the image in NEST_FUZZ_IMAGE is refused\n");
    exit(2);
  }
  set_surroundings(base);
  free(image);
  return 0;
}

static void judge_hostile(const uint8_t* data, size_t bytes) {
  uint32_t image_bytes;
  void *image, *memory;
  struct nest_user* user;

  if (bytes < 4) return;
  memcpy(&image_bytes, data, 4);
  if (image_bytes > bytes - 4) image_bytes = (uint32_t)bytes - 4;
  /* malloc is aligned to eight bytes, and ends where the image ends. */
  image = malloc(image_bytes ? image_bytes : 1);
  memcpy(image, data + 4, image_bytes);
  user = open_image(image, image_bytes, &memory);
  free(image);
  if (user) {
    set_surroundings(user);
    judge_all(user, data + 4 + image_bytes, bytes - 4 - image_bytes);
  }
  free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  if (bytes < 1) return 0;
  if (data[0] & 1)
    judge_hostile(data + 1, bytes - 1);
  else
    judge_all(base, data + 1, bytes - 1);
  return 0;
}
