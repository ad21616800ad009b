// SPDX-License-Identifier: AGPL-3.0-only
// Two ways to have a packet judged, and what they answer.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "engine/data_path.h"
#include "user/verdict.h"

namespace nest::differential {

/// What becomes of a packet. Reason and mapping of the kernel come from counters and traces.
struct Outcome {
  uint32_t action = 0;  // NEST_OUTCOME_*
  std::vector<uint8_t> bytes;

  bool operator==(const Outcome&) const = default;
};

struct Explanation {
  nest_trace trace = {};
  nest_trace_more more = {};
  Outcome outcome;
};

/// A flow as both sides tell it, without times. The third list: its ends as its packets leave, empty when
/// they are those it came with.
using FlowRow =
    std::tuple<std::vector<uint8_t>, std::vector<uint8_t>, std::vector<uint8_t>, uint16_t, uint16_t, uint8_t,
               uint16_t, uint8_t, uint64_t, uint64_t, uint64_t, uint64_t, uint8_t, uint16_t>;

/// Sums since the policy began, in the order of their kinds.
struct Totals {
  std::vector<uint64_t> reasons;
  std::vector<uint64_t> mappings;
  std::vector<uint64_t> limits;
  std::vector<uint64_t> deny_lists;
  std::vector<uint64_t> backends;
};

struct Route {
  nest_user_route route = {};
};

struct Surroundings {
  std::string interface;
  uint32_t index = 0;
  std::vector<InterfaceAddress> addresses;
  std::vector<uint32_t> ports;
  std::vector<nest_user_route> routes;
};

class KernelSide {
 public:
  KernelSide(const std::string& object, const std::string& pin_path, const Surroundings& around);
  ~KernelSide();

  /// `forget`: flows, fragments and sources of the policies before.
  void load(std::span<const uint8_t> image, uint32_t sequence, bool forget);
  Outcome judge(std::span<const uint8_t> packet);
  Explanation explain(std::span<const uint8_t> packet);
  Totals totals();
  std::vector<FlowRow> flows();

 private:
  void clear(const char* map);

  DataPath data_path_;
  std::string pin_path_;
  std::string interface_;
  uint32_t index_;
  int program_;
  std::vector<uint64_t> reasons_before_;
};

class UserSide {
 public:
  UserSide(const Surroundings& around, uint32_t lanes, uint32_t lane);
  ~UserSide();

  void load(std::span<const uint8_t> image, uint32_t sequence, bool forget);
  Outcome judge(std::span<const uint8_t> packet, uint64_t time_ns, nest_user_verdict& verdict);
  Explanation explain(std::span<const uint8_t> packet, uint64_t time_ns);
  Totals totals();
  std::vector<FlowRow> flows();

 private:
  void begin();

  const Surroundings& around_;
  nest_user_sizes sizes_ = {};
  size_t bytes_ = 0;
  void* memory_ = nullptr;
  uint32_t lane_;
  uint32_t sequence_ = 0;
  nest_user* user_ = nullptr;
  std::vector<uint8_t> buffer_;
};

/// The clock of the kernel's flow table.
uint64_t now_ns();

FlowRow row_of(const nest_record& record);

}  // namespace nest::differential
