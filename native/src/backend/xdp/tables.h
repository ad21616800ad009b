// SPDX-License-Identifier: AGPL-3.0-only
// The policy tables: two slots behind map-in-maps, and the control word that chooses one.
//
// A slot is filled while no packet reads it. A packet may go on reading the old slot for a moment after the
// flip, so that the flip begins a wait for the kernel's readers in the background, and the next swap begins
// with its end.
#pragma once

#include <future>
#include <mutex>

#include "backend/backend.h"
#include "backend/xdp/object.h"
#include "backend/xdp/policy_counters.h"
#include "backend/xdp/policy_slot.h"

namespace nest::xdp {

class PolicyTables {
 public:
  explicit PolicyTables(const Loaded& loaded);
  ~PolicyTables();

  nest_control control() const;
  /// The sequence whose swap filled the tables in use.
  uint32_t swapped() const;

  /// Of the policy in use and of the one before, which nothing moves any more: waits for that.
  void read_counters(Counters& counters);

  /// `states`: of the backends, instead of those in the tables; may be empty.
  SwapTimes swap(const Tables& tables, std::span<const uint8_t> states, uint32_t sequence);

  /// Each returns the sequence from then on: flows are judged anew when it is another one.
  uint32_t set_backend_states(std::span<const uint8_t> states);
  template <typename Entry>
  uint32_t change_deny(std::span<const Entry> stored, std::span<const Entry> removed);

  /// Nothing is changed meanwhile.
  void inspect(Inspection& inspection);

  /// (any time)
  void set_flood(bool is_on);

 private:
  void store(size_t entry, nest_control value);
  nest_control read(size_t entry) const;
  template <typename Change>
  void change_control(Change change);
  uint32_t stamp_again(uint32_t flags);
  void clear_counters(uint32_t half);
  void begin_wait();
  void end_wait();
  std::optional<MappingCounters> read_half(uint32_t half);
  PolicySlot& active() { return slots_[control().sequence & 1]; }

  const Loaded& loaded_;
  Mapping memory_;
  PolicyCounters counters_;
  std::array<PolicySlot, 2> slots_;
  std::mutex counted_mutex_;
  std::array<PolicySlot::Counted, 2> counted_;
  std::mutex wait_mutex_;
  std::shared_future<void> wait_;  // for packets that read the slot the last flip left
};

}  // namespace nest::xdp
