// SPDX-License-Identifier: AGPL-3.0-only
// What an engine of the data path can do. The engine (src/engine) knows this and no more; each folder beside
// this file is one implementation. Every operation throws nest::Error. Operations are called from any thread,
// one at a time unless marked (any time).
#pragma once

#include <nest/abi.h>
#include <nest/image.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/error.h"

namespace nest {

enum class AttachMode { kNative, kGeneric };

struct AttachedInterface {
  std::string name;
  uint32_t index = 0;
  AttachMode mode = AttachMode::kNative;
  uint32_t slot = 0;
};

struct EngineProbe {
  std::string engine;
  bool is_available = false;
  std::string reason;
};

struct LoadOptions {
  std::string object_path;
  std::string pin_path;
};

/// A validated image: views into memory the caller keeps alive during the call.
struct Tables {
  uint32_t flags = 0;
  uint32_t mapping_count = 0;
  std::span<const nest_image_identity4> identities4;
  std::span<const nest_image_identity6> identities6;
  std::span<const nest_image_pair> pairs;
  std::span<const nest_port_interval> port_intervals;
};

struct SwapTimes {
  double load_ms = 0;
  double flip_ms = 0;
};

struct MappingCounters {
  uint32_t sequence = 0;
  std::vector<uint64_t> values;  // 2 * (NEST_MAPPINGS_MAX + 1): packets, bytes
};

struct InterfaceCounters {
  std::string name;
  uint32_t index = 0;
  std::vector<uint64_t> reasons;  // 2 * NEST_REASON_COUNT: packets, bytes
};

struct Counters {
  std::vector<InterfaceCounters> interfaces;
  MappingCounters active;
  std::optional<MappingCounters> retired;
  std::vector<uint64_t> losses;  // NEST_LOSS_KINDS
};

struct FlowPage {
  std::vector<nest_record> rows;
  bool is_truncated = false;
};

struct TraceResult {
  nest_trace trace = {};
  uint32_t action = 0;  // enum xdp_action
  uint32_t duration_ns = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual bool is_adopted() const = 0;
  virtual uint32_t program_id() const = 0;
  /// (any time)
  virtual nest_control control() const = 0;

  virtual std::vector<AttachedInterface> interfaces() = 0;
  virtual AttachedInterface attach(const std::string& name) = 0;
  /// True when it was attached.
  virtual bool detach(const std::string& name) = 0;

  /// Fills the inactive tables and makes them current; returns when no packet is judged by the old ones any
  /// more.
  virtual SwapTimes swap(const Tables& tables, uint32_t sequence) = 0;

  /// (any time) For the given interfaces.
  virtual Counters counters(std::span<const AttachedInterface> interfaces) = 0;

  /// (any time) NEST_LOSS_KINDS; cheap, for the poll of records.
  virtual std::vector<uint64_t> losses() = 0;

  virtual FlowPage flows(size_t limit) = 0;
  /// Removes at most `limit` idle flows; the records of those whose end nobody has reported yet.
  virtual std::vector<nest_record> sweep(size_t limit) = 0;

  /// Reads flow records on the calling thread until `stop`, handing them over in batches. (any time, once)
  virtual void read_records(const std::atomic<bool>& stop,
                            const std::function<void(std::span<const nest_record>)>& take) = 0;

  virtual TraceResult trace(std::span<const uint8_t> packet, const std::string& interface_name) = 0;

  /// Detaches everything and removes every pin. Only destruction may follow.
  virtual void remove() = 0;
};

/// Adopts what is pinned under the options' pin path, else loads and pins.
std::unique_ptr<Backend> open_xdp(const LoadOptions& options);

/// Which engines can run on this host, and why not.
std::vector<EngineProbe> probe_engines();

}  // namespace nest
