// SPDX-License-Identifier: AGPL-3.0-only
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "sides.h"

namespace nest::differential {
namespace {

constexpr size_t kHeadRoom = 256;
constexpr size_t kTailRoom = 64;
constexpr size_t kPage = 4096;

void check(int result, nest_user* user) {
  if (result != 0)
    throw std::runtime_error(std::string(nest_user_text(result)) + ": " + nest_user_refusal(user));
}

void add(std::vector<uint64_t>& sums, const nest_counter* counters, size_t count) {
  sums.resize(2 * count);
  for (size_t i = 0; i < count; i++) {
    sums[2 * i] += counters[i].packets;
    sums[2 * i + 1] += counters[i].bytes;
  }
}

}  // namespace

uint64_t now_ns() {
  timespec time = {};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(time.tv_nsec);
}

UserSide::UserSide(const Surroundings& around, uint32_t lanes, uint32_t lane)
    : around_(around), lane_(lane), buffer_(2 * kPage + kHeadRoom) {
  nest_user_sizes_usual(&sizes_, lanes);
  sizes_.seed = now_ns();
  bytes_ = nest_user_bytes(&sizes_);
}

UserSide::~UserSide() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

void UserSide::begin() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
  memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory_ == MAP_FAILED) throw std::runtime_error("there is not enough memory");
  user_ = nest_user_init(memory_, bytes_, &sizes_);
  if (user_ == nullptr) throw std::runtime_error("the memory cannot be laid out");
  std::vector<nest_user_interface> interfaces;
  for (const InterfaceAddress& each : around_.addresses) {
    const bool is_port = std::ranges::find(around_.ports, each.index) != around_.ports.end();
    interfaces.push_back({.index = each.index, .ports = is_port ? NEST_PORT_TX : 0, .address = each.address});
  }
  check(nest_user_set_interfaces(user_, interfaces.data(), static_cast<uint32_t>(interfaces.size())), user_);
  check(nest_user_set_routes(user_, around_.routes.data(), static_cast<uint32_t>(around_.routes.size()), 1),
        user_);
}

void UserSide::load(std::span<const uint8_t> image, uint32_t sequence, bool forget) {
  if (forget || user_ == nullptr) begin();
  // An image lies at a multiple of eight bytes.
  std::vector<uint64_t> aligned((image.size() + 7) / 8);
  std::memcpy(aligned.data(), image.data(), image.size());
  struct nest_user_counters counters = {};
  nest_user_counters(user_, lane_, &counters);
  std::memset(counters.interfaces, 0, NEST_INTERFACES_MAX * NEST_REASON_SLOTS * sizeof(nest_counter));
  check(nest_user_load(user_, aligned.data(), image.size(), sequence), user_);
  sequence_ = sequence;
}

Outcome UserSide::judge(std::span<const uint8_t> packet, uint64_t time_ns, nest_user_verdict& verdict) {
  uint8_t* start = buffer_.data() + kHeadRoom;
  std::memcpy(start, packet.data(), packet.size());
  nest_user_frame frame = {.start = start,
                           .end = start + packet.size(),
                           .head = buffer_.data(),
                           .limit = start + packet.size() + kTailRoom,
                           .interface = around_.index};
  verdict = nest_user_judge(user_, lane_, &frame, time_ns);
  std::vector<nest_record> records(64);
  while (nest_user_records(user_, lane_, records.data(), 64) > 0) {
  }
  return {verdict.action, std::vector<uint8_t>(frame.start, frame.end)};
}

Explanation UserSide::explain(std::span<const uint8_t> packet, uint64_t time_ns) {
  uint8_t* start = buffer_.data() + kHeadRoom;
  std::memcpy(start, packet.data(), packet.size());
  nest_user_frame frame = {.start = start,
                           .end = start + packet.size(),
                           .head = buffer_.data(),
                           .limit = start + packet.size() + kTailRoom,
                           .interface = around_.index};
  Explanation explanation;
  const nest_user_verdict verdict =
      nest_user_trace(user_, lane_, &frame, time_ns, &explanation.trace, &explanation.more);
  explanation.outcome = {verdict.action, std::vector<uint8_t>(frame.start, frame.end)};
  return explanation;
}

Totals UserSide::totals() {
  struct nest_user_counters counters = {};
  nest_user_counters(user_, lane_, &counters);
  const size_t half = sequence_ & 1;
  Totals totals;
  const size_t slot =
      static_cast<size_t>(std::ranges::find(around_.addresses, around_.index, &InterfaceAddress::index) -
                          around_.addresses.begin());
  add(totals.reasons, counters.interfaces + slot * NEST_REASON_SLOTS, NEST_REASON_COUNT);
  add(totals.mappings, counters.mappings + half * (NEST_MAPPINGS_MAX + 1), NEST_MAPPINGS_MAX + 1);
  add(totals.limits, counters.limits + half * (NEST_MAPPINGS_MAX + 1), NEST_MAPPINGS_MAX + 1);
  add(totals.deny_lists, counters.deny + half * NEST_DENY_LISTS_MAX, NEST_DENY_LISTS_MAX);
  for (size_t i = 0; i < NEST_BACKENDS_MAX; i++) {
    const nest_backend_counter& each = counters.backends[half * NEST_BACKENDS_MAX + i];
    totals.backends.insert(totals.backends.end(), {each.flows, each.packets, each.bytes});
  }
  return totals;
}

std::vector<FlowRow> UserSide::flows() {
  std::vector<FlowRow> rows;
  std::vector<nest_record> page(4096);
  uint32_t cursor = 0;
  do {
    const uint32_t count = nest_user_flows(user_, &cursor, page.data(), static_cast<uint32_t>(page.size()));
    for (uint32_t i = 0; i < count; i++) rows.push_back(row_of(page[i]));
  } while (cursor != 0);
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace nest::differential
