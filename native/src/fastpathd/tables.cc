// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/tables.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "fastpathd/failure.h"

namespace nest::fast {
namespace {

nest_user_sizes usual_sizes(uint32_t lanes) {
  nest_user_sizes sizes = {};
  nest_user_sizes_usual(&sizes, lanes);
  return sizes;
}

uint64_t now_ns() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

Descriptor sealed_copy(const std::string& name, const void* bytes, size_t count) {
  Descriptor copy(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!copy) throw system_failure(errno, "no shared memory");
  const auto* rest = static_cast<const uint8_t*>(bytes);
  for (size_t done = 0; done < count;) {
    const ssize_t written = write(copy.get(), rest + done, count - done);
    if (written <= 0) throw system_failure(errno, "shared memory cannot be written");
    done += static_cast<size_t>(written);
  }
  if (fcntl(copy.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
    throw system_failure(errno, "shared memory cannot be sealed");
  return copy;
}

Tables::Tables(uint32_t lanes, int node) {
  const nest_user_sizes sizes = usual_sizes(lanes);
  const size_t bytes = nest_user_bytes(&sizes);
  memory_ = shared_memory("nest-fastpathd", bytes, node);
  user_ = nest_user_init(memory_.pages.address(), bytes, &sizes);
  if (user_ == nullptr)
    throw Failure(NEST_FAST_STATUS_SYSTEM, "the tables cannot be laid out", "report this as a bug");
}

void Tables::check(int result) const {
  if (result == 0) return;
  const std::string text = nest_user_text(result);
  switch (result) {
    case NEST_USER_TOO_LONG:
      throw Failure(NEST_FAST_STATUS_TABLE_FULL, text, "use a smaller policy");
    case NEST_USER_BUSY:
      throw Failure(NEST_FAST_STATUS_BUSY, text, "try again; if it lasts, restart nest-fastpathd");
    case NEST_USER_SEQUENCE:
      throw Failure(NEST_FAST_STATUS_IMAGE, text,
                    "the current sequence is " + std::to_string(sequence()) + ": take the next one");
    default:
      throw Failure(NEST_FAST_STATUS_IMAGE, text, "compile the policy with this release's compiler");
  }
}

void Tables::load(Descriptor image, size_t bytes, uint32_t sequence) {
  if (bytes > NEST_FAST_IMAGE_BYTES_MAX) check(NEST_USER_TOO_LONG);
  const Pages pages = map_sealed(image.get(), bytes);
  const int result = nest_user_load(user_, pages.address(), bytes, sequence);
  if (result == NEST_USER_INVALID) {
    throw Failure(NEST_FAST_STATUS_IMAGE,
                  std::string("the table image is invalid: ") + nest_user_refusal(user_),
                  "compile the policy with this release's compiler");
  }
  check(result);
  previous_ = std::exchange(current_, Image{std::move(image), bytes, sequence});
}

void Tables::load_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file)
    throw Failure(NEST_FAST_STATUS_USAGE, "the table image " + path + " cannot be read", "check --image");
  load(sealed_copy("nest-image", text.data(), text.size()), text.size(), sequence() + 1);
}

void Tables::set_flood(bool is_on) {
  nest_user_set_flood(user_, is_on ? 1 : 0);
}

uint32_t Tables::set_backends(std::span<const uint8_t> states) {
  check(nest_user_set_backends(user_, states.data(), static_cast<uint32_t>(states.size())));
  return sequence();
}

void Tables::set_routes(std::span<const nest_user_route> routes, bool has_kernel) {
  check(nest_user_set_routes(user_, routes.data(), static_cast<uint32_t>(routes.size()), has_kernel ? 1 : 0));
}

void Tables::set_interfaces(std::span<const nest_user_interface> interfaces) {
  check(nest_user_set_interfaces(user_, interfaces.data(), static_cast<uint32_t>(interfaces.size())));
}

std::vector<nest_record> Tables::flows(uint32_t& cursor, uint32_t limit, bool is_sweeping) {
  std::vector<nest_record> rows(limit);
  const uint32_t count = is_sweeping ? nest_user_sweep(user_, &cursor, rows.data(), limit, now_ns())
                                     : nest_user_flows(user_, &cursor, rows.data(), limit);
  rows.resize(count);
  return rows;
}

nest_fast_offsets Tables::offsets(uint32_t lane) const {
  struct nest_user_counters counters = {};
  nest_user_counters(user_, lane, &counters);
  const auto offset = [this](const void* place) {
    return static_cast<uint64_t>(static_cast<const uint8_t*>(place) - memory_.pages.address());
  };
  return {.ring = offset(nest_user_ring(user_, lane)),
          .interfaces = offset(counters.interfaces),
          .mappings = offset(counters.mappings),
          .limits = offset(counters.limits),
          .deny = offset(counters.deny),
          .backends = offset(counters.backends),
          .stats = offset(counters.stats),
          .losses = offset(counters.losses)};
}

}  // namespace nest::fast
