// SPDX-License-Identifier: AGPL-3.0-only
// The data path as its users see it: one backend, its rules, its threads. All operations may be called from
// any thread; changes wait for one another, readings do not wait for changes. Everything throws nest::Error.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>

#include "backend/backend.h"
#include "engine/record_buffer.h"

namespace nest {

struct DataPathState {
  bool is_adopted = false;
  nest_control control = {};
  uint32_t swapped = 0;  // the sequence of the swap that loaded the policy in use
  uint32_t program_id = 0;
  std::vector<AttachedInterface> interfaces;
  LocalState local;
};

class DataPath {
 public:
  explicit DataPath(std::unique_ptr<Backend> backend);
  /// As close().
  ~DataPath();
  DataPath(const DataPath&) = delete;
  DataPath& operator=(const DataPath&) = delete;

  DataPathState state();
  AttachedInterface attach(const std::string& interface_name);
  bool detach(const std::string& interface_name);
  /// Hooks for what this host itself sends, in a control group and at the egress of attached interfaces.
  LocalState attach_local(const std::string& cgroup_path);
  void detach_local();
  LocalCounters local_counters();
  /// `sequence` is above the current one and of the other parity. `states`: of the image's backends, in its
  /// order, or empty.
  SwapTimes swap(std::span<const uint8_t> image, std::span<const uint8_t> states, uint32_t sequence);
  /// NEST_BACKEND_* per backend of the policy in use. Returns the sequence from then on.
  uint32_t set_backend_states(std::span<const uint8_t> states);
  /// Packed struct nest_image_deny4 or nest_image_deny6, sorted; the lists of what is removed do not matter.
  uint32_t update_deny(uint32_t family, std::span<const uint8_t> add, std::span<const uint8_t> remove);
  void set_flood(bool is_on);
  void set_interface_addresses(std::span<const InterfaceAddress> addresses);
  void set_tx_ports(std::span<const uint32_t> indexes);
  /// What the kernel has now. Changes wait for it.
  Inspection inspect();
  Counters counters();
  FlowPage flows(size_t limit);
  std::vector<nest_record> sweep(size_t limit);
  /// `lost`: here and in the kernel's ring, since the last call.
  RecordBuffer::Taken take_records(size_t limit);
  TraceResult trace(std::span<const uint8_t> packet, const std::string& interface_name);

  /// Stops the thread and closes descriptors; pins stay. Idempotent.
  void close();
  /// Detaches, removes every pin, closes.
  void remove();

  /// Milliseconds since the Unix epoch minus the clock of the data path.
  static double clock_offset_ms();

 private:
  Backend& open_backend();
  Backend& loaded_backend();
  void refresh_interfaces();

  std::unique_ptr<Backend> backend_;
  RecordBuffer records_;
  std::mutex change_;       // held during a change or a trace, before `life_`
  std::shared_mutex life_;  // exclusive: while the backend goes away
  std::mutex interfaces_mutex_;
  std::vector<AttachedInterface> interfaces_;
  LocalState local_;
  std::mutex losses_mutex_;
  uint64_t ring_lost_ = 0;  // as reported by take_records
  std::atomic<bool> stop_ = false;
  std::thread reader_;
};

}  // namespace nest
