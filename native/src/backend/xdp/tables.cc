// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/tables.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

namespace nest::xdp {
namespace {

/// A reading that a swap crosses is made again.
constexpr int kCounterReadings = 3;
/// Nothing is known of what a half holds.
constexpr PolicySlot::Counted kEverything = {
    .has_limits = true, .deny_lists = NEST_DENY_LISTS_MAX, .backends = NEST_BACKENDS_MAX};

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

uint64_t word_of(nest_control value) {
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(word));
  return word;
}

nest_control control_of(uint64_t word) {
  nest_control value = {};
  std::memcpy(&value, &word, sizeof(value));
  return value;
}

Error states_error(size_t given, size_t needed) {
  return Error(
      Code::kSystem,
      std::to_string(given) + " backend states for a policy with " + std::to_string(needed) + " backends",
      "read the state of the data path and set them again");
}

}  // namespace

PolicyTables::PolicyTables(const Loaded& loaded)
    : loaded_(loaded),
      memory_(loaded.map(kControl), NEST_CONTROL_ENTRIES * sizeof(nest_control)),
      counters_(loaded),
      slots_{PolicySlot(loaded, 0), PolicySlot(loaded, 1)},
      counted_{slots_[0].counted(), slots_[1].counted()} {
  // The process before this one may have flipped a moment ago.
  begin_wait();
}

PolicyTables::~PolicyTables() {
  if (wait_.valid()) wait_.wait();
}

nest_control PolicyTables::read(size_t entry) const {
  return control_of(
      __atomic_load_n(static_cast<const uint64_t*>(memory_.address()) + entry, __ATOMIC_ACQUIRE));
}

void PolicyTables::store(size_t entry, nest_control value) {
  __atomic_store_n(static_cast<uint64_t*>(memory_.address()) + entry, word_of(value), __ATOMIC_SEQ_CST);
}

/// The control word: one store, which loses no change that another thread makes meanwhile.
template <typename Change>
void PolicyTables::change_control(Change change) {
  auto* const word = static_cast<uint64_t*>(memory_.address());
  uint64_t before = __atomic_load_n(word, __ATOMIC_ACQUIRE);
  uint64_t after = 0;
  do {
    after = word_of(change(control_of(before)));
  } while (!__atomic_compare_exchange_n(word, &before, after, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
}

nest_control PolicyTables::control() const {
  return read(0);
}

uint32_t PolicyTables::swapped() const {
  const uint32_t sequence = control().sequence;
  return sequence == 0 ? 0 : read(NEST_CONTROL_TABLES + (sequence & 1)).sequence;
}

/// Nothing when a swap has begun to clear it, or nothing was ever there.
std::optional<MappingCounters> PolicyTables::read_half(uint32_t half) {
  const nest_control tables = read(NEST_CONTROL_TABLES + half);
  if (tables.sequence == 0) return std::nullopt;
  PolicySlot::Counted counted;
  {
    const std::lock_guard lock(counted_mutex_);
    counted = counted_[half];
  }
  MappingCounters counters = counters_.read(half, std::min(tables.flags, NEST_MAPPINGS_MAX), counted);
  counters.sequence = tables.sequence;
  if (read(NEST_CONTROL_TABLES + half).sequence != tables.sequence) return std::nullopt;
  return counters;
}

void PolicyTables::read_counters(Counters& counters) {
  for (int reading = 0; reading < kCounterReadings; reading++) {
    end_wait();
    const uint32_t half = control().sequence & 1;
    counters.active = read_half(half).value_or(MappingCounters{});
    counters.retired = read_half(half ^ 1);
    if ((control().sequence & 1) == half) break;
  }
  // Before the first swap there is nothing to count by.
  if (counters.active.values.empty()) counters.active.values.resize(size_t{2} * (NEST_MAPPINGS_MAX + 1), 0);
}

void PolicyTables::clear_counters(uint32_t half) {
  const nest_control tables = read(NEST_CONTROL_TABLES + half);
  // From here on the counters of this slot's last policy are going away: nobody may show them.
  store(NEST_CONTROL_TABLES + half, {});
  if (tables.sequence == 0) {
    counters_.clear(half, NEST_MAPPINGS_MAX, kEverything);
  } else {
    counters_.clear(half, std::min(tables.flags, NEST_MAPPINGS_MAX), counted_[half]);
  }
}

SwapTimes PolicyTables::swap(const Tables& tables, std::span<const uint8_t> states, uint32_t sequence) {
  if (!states.empty() && states.size() != tables.backends.size())
    throw states_error(states.size(), tables.backends.size());
  SwapTimes times;
  const uint32_t slot = sequence & 1;
  const auto load_start = Clock::now();
  end_wait();
  // Other maps than those of the slot: at the same time.
  std::future<void> clearing = std::async(std::launch::async, [&] { clear_counters(slot); });
  slots_[slot].load(tables);
  clearing.get();
  if (!states.empty()) slots_[slot].set_backend_states(states);
  {
    const std::lock_guard lock(counted_mutex_);
    counted_[slot] = PolicySlot::counted(tables);
  }
  store(NEST_CONTROL_TABLES + slot, {.sequence = sequence, .flags = tables.mapping_count});
  times.load_ms = milliseconds_since(load_start);

  const auto flip_start = Clock::now();
  change_control([&](nest_control now) {
    return nest_control{.sequence = sequence, .flags = tables.flags | (now.flags & NEST_FLAG_FLOOD)};
  });
  begin_wait();
  times.flip_ms = milliseconds_since(flip_start);
  return times;
}

/// Putting the table in use in its place once more changes nothing, and the kernel returns from it when every
/// packet that began before is through.
void PolicyTables::begin_wait() {
  const uint32_t slot = control().sequence & 1;
  const std::lock_guard lock(wait_mutex_);
  wait_ = std::async(std::launch::async, [this, slot] {
            const Descriptor current = placed_table(loaded_.map(kIdentities4), slot);
            if (!current) return;
            place_table(loaded_.map(kIdentities4), slot, current.get());
            counters_.forget_sources(slot ^ 1);
          }).share();
}

void PolicyTables::end_wait() {
  const auto current = [&] {
    const std::lock_guard lock(wait_mutex_);
    return wait_;
  };
  try {
    current().get();
  } catch (const std::exception&) {
    // The host may have been out of threads or descriptors then; now it may have some again.
    begin_wait();
    current().get();
  }
}

/// Flows are judged anew at their next packet, by the same tables.
uint32_t PolicyTables::stamp_again(uint32_t flags) {
  uint32_t sequence = 0;
  change_control([&](nest_control now) {
    if (now.sequence > UINT32_MAX - 2)
      throw Error(Code::kSystem, "the sequence of the policy is at its end", "restart this host");
    sequence = now.sequence + 2;
    return nest_control{.sequence = sequence, .flags = now.flags | flags};
  });
  return sequence;
}

uint32_t PolicyTables::set_backend_states(std::span<const uint8_t> states) {
  const size_t count = active().backend_count();
  if (states.size() != count) throw states_error(states.size(), count);
  return active().set_backend_states(states) ? stamp_again(0) : control().sequence;
}

template <typename Entry>
uint32_t PolicyTables::change_deny(std::span<const Entry> stored, std::span<const Entry> removed) {
  active().change_deny(stored, removed);
  // What is allowed again needs no new judgement: a flow that was cut is judged at each packet.
  return stored.empty() ? control().sequence : stamp_again(NEST_FLAG_DENY);
}

template uint32_t PolicyTables::change_deny(std::span<const nest_image_deny4>,
                                            std::span<const nest_image_deny4>);
template uint32_t PolicyTables::change_deny(std::span<const nest_image_deny6>,
                                            std::span<const nest_image_deny6>);

void PolicyTables::inspect(Inspection& inspection) {
  if (control().sequence != 0) active().inspect(inspection);
}

void PolicyTables::set_flood(bool is_on) {
  change_control([&](nest_control now) {
    const uint32_t flags = now.flags & ~NEST_FLAG_FLOOD;
    return nest_control{.sequence = now.sequence, .flags = is_on ? flags | NEST_FLAG_FLOOD : flags};
  });
}

}  // namespace nest::xdp
