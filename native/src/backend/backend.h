// SPDX-License-Identifier: AGPL-3.0-only
// What an engine of the data path can do. The engine (src/engine) knows this and no more; each folder beside
// this file is one implementation. Every operation throws nest::Error. Operations are called from any thread,
// one at a time unless marked (any time).
#pragma once

#include <nest/abi.h>
#include <nest/image.h>

#include <array>
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

/// What the kernel and the driver say about an interface.
struct InterfaceFacts {
  std::string name;
  uint32_t index = 0;
  std::string driver;  // empty: not known
  uint32_t receive_queues = 0;
  uint32_t send_queues = 0;
  std::optional<uint32_t> numa_node;
  uint32_t mtu = 0;
  std::optional<uint32_t> speed_mbps;
  std::optional<std::vector<std::string>> xdp_features;  // nothing before kernel 6.3
  std::vector<std::array<uint8_t, 4>> addresses4;        // in the order of the kernel, no link-local ones
  std::vector<std::array<uint8_t, 16>> addresses6;
};

struct LoadOptions {
  std::string object_path;
  std::string pin_path;
};

/// Where an interface's packets can be sent to, and from which addresses.
struct InterfaceAddress {
  uint32_t index = 0;
  nest_interface_address address = {};
};

/// A program at the egress of an interface.
struct LocalEgress {
  std::string name;
  uint32_t index = 0;
  std::string kind;    // "tcx" (kernel 6.6), "clsact", or "none"
  std::string reason;  // why none
};

/// Hooks for what this host itself sends.
struct LocalState {
  bool is_attached = false;  // to the control group
  std::string cgroup_path;
  std::string reason;  // why not
  std::vector<LocalEgress> egress;
};

/// What the kernel has now, beside what was put there: somebody else may have changed it.
struct Inspection {
  struct Interface {
    std::string name;
    uint32_t index = 0;
    uint32_t program_id = 0;  // 0: none
    bool is_counted = false;  // its counter slot is as it was
  };
  std::vector<Interface> interfaces;        // those that are attached, as far as this process knows
  std::vector<std::string> hooks_missing;   // of the local hooks
  std::vector<std::string> tables_changed;  // of the policy in use
  std::vector<std::string> tables_skipped;  // too large to be compared
};

struct LocalCounters {
  std::vector<uint64_t>
      values;  // struct nest_local_counter per mapping and the default action; of the policy in use
  std::vector<uint64_t> reasons;  // calls per reason, since the hooks were loaded
};

/// A validated image: views into memory the caller keeps alive during the call.
struct Tables {
  uint32_t flags = 0;
  uint32_t mapping_count = 0;
  std::span<const nest_image_identity4> identities4;
  std::span<const nest_image_identity6> identities6;
  std::span<const nest_image_pair> pairs;
  std::span<const nest_port_interval> port_intervals;
  std::span<const nest_image_action> actions;
  std::span<const nest_image_deny4> deny4;
  std::span<const nest_image_deny6> deny6;
  uint32_t deny_list_count = 0;
  std::span<const nest_balancer> balancers;
  std::span<const nest_backend> backends;
};

struct SwapTimes {
  double load_ms = 0;
  double flip_ms = 0;
};

/// Of one policy. Packets and bytes side by side.
struct MappingCounters {
  uint32_t sequence = 0;             // of the swap that loaded the policy
  std::vector<uint64_t> values;      // 2 * (NEST_MAPPINGS_MAX + 1)
  std::vector<uint64_t> limits;      // likewise, over the rate limit; empty when no mapping has one
  std::vector<uint64_t> deny_lists;  // 2 * NEST_DENY_LISTS_MAX
  std::vector<uint64_t> backends;    // 3 per backend of the policy: flows, packets, bytes
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
  std::vector<uint64_t> stats;   // NEST_STAT_KINDS
};

struct FlowPage {
  std::vector<nest_record> rows;
  bool is_truncated = false;
};

struct TraceResult {
  nest_trace trace = {};
  nest_trace_more more = {};
  std::vector<uint8_t> packet;  // as it leaves the program
  uint32_t action = 0;          // enum xdp_action
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

  /// The sequence of the swap that loaded the policy in use. (any time)
  virtual uint32_t swapped() const = 0;
  /// Fills the inactive tables and makes them current. `states`: of the backends, instead of those in the
  /// tables; empty = those. Packets on their way may be judged by the old tables for a moment more.
  virtual SwapTimes swap(const Tables& tables, std::span<const uint8_t> states, uint32_t sequence) = 0;

  /// On the policy in use. Each returns the sequence from then on.
  virtual uint32_t set_backend_states(std::span<const uint8_t> states) = 0;
  virtual uint32_t change_deny(std::span<const nest_image_deny4> stored,
                               std::span<const nest_image_deny4> removed) = 0;
  virtual uint32_t change_deny(std::span<const nest_image_deny6> stored,
                               std::span<const nest_image_deny6> removed) = 0;
  /// Deny lists come before the flow table. (any time)
  virtual void set_flood(bool is_on) = 0;

  /// All interfaces that are not named have no address.
  virtual void set_interface_addresses(std::span<const InterfaceAddress> addresses) = 0;
  /// Interfaces that packets may be sent to without the kernel; all others may not.
  virtual void set_tx_ports(std::span<const uint32_t> indexes) = 0;

  /// Hooks for the host's own traffic. What is not possible is a reason in the state.
  virtual LocalState attach_local(const std::string& cgroup_path) = 0;
  virtual void detach_local() = 0;
  virtual LocalState local() = 0;
  virtual LocalCounters local_counters() = 0;

  /// Reads what is attached, and policy tables of moderate size whole.
  virtual Inspection inspect() = 0;

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

/// In one call of ask_next_hops.
constexpr size_t kNextHopsMax = 1024;

struct NextHopQuery {
  bool is_ipv4 = false;
  bool is_gateway_only = false;          // for a network: its addresses on the link itself are not asked for
  std::array<uint8_t, 16> address = {};  // IPv4 in the first four
};

/// The numbers are those of native/addon.ts.
enum class NextHop : uint8_t {
  kNoRoute = 0,
  kNotNeeded = 1,  // an address of this host, or a network on the link
  kKnown = 2,
  kAsked = 3,  // the kernel looks for it now
};

/// Finds the next hop towards each address by the routes of this host, and has the kernel look for those that
/// it does not know, or has not heard of lately. Does not wait for their answers. Throws kPermission,
/// kTableFull.
std::vector<NextHop> ask_next_hops(std::span<const NextHopQuery> queries);

/// Throws kInterfaceUnknown.
InterfaceFacts read_interface_facts(const std::string& name);

/// Which engines can run on this host, and why not.
std::vector<EngineProbe> probe_engines();

}  // namespace nest
