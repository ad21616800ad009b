// SPDX-License-Identifier: AGPL-3.0-only
// One of the two slots of policy tables.
#pragma once

#include "backend/backend.h"
#include "backend/xdp/policy_table.h"
#include "backend/xdp/ring_table.h"

namespace nest::xdp {

class PolicySlot {
 public:
  PolicySlot(const Loaded& loaded, uint32_t slot);

  /// Makes the tables hold this policy; nobody may read them meanwhile. After a failure they hold nothing of
  /// use.
  void load(const Tables& tables);

  /// Also when another process loaded the policy.
  size_t backend_count();

  /// Changes states (NEST_BACKEND_*) in place, one per backend, and the rings with them. True when any
  /// changed.
  bool set_backend_states(std::span<const uint8_t> states);

  void change_deny(std::span<const nest_image_deny4> stored, std::span<const nest_image_deny4> removed);
  void change_deny(std::span<const nest_image_deny6> stored, std::span<const nest_image_deny6> removed);

  /// Of the tables in use: adds the names of those that somebody has changed, and of those too large to tell.
  void inspect(Inspection& inspection);

  /// Which counters packets of this policy move.
  struct Counted {
    bool has_limits = false;
    uint32_t deny_lists = 0;
    uint32_t backends = 0;
  };
  static Counted counted(const Tables& tables);
  /// The same of the policy in the tables; of deny lists, all there may be.
  Counted counted();

 private:
  template <typename Address, typename Prefix>
  struct DenyTables {
    KeyedTable<Address, nest_deny> exact;
    KeyedTable<Prefix, nest_deny> prefixes;
  };

  void begin(const Tables& tables, Pending& pending);
  void forget();
  std::span<const nest_balancer> balancers();

  KeyedTable<nest_prefix4, nest_identity> identities4_;
  KeyedTable<nest_prefix6, nest_identity> identities6_;
  KeyedTable<nest_pair, nest_port_set> pairs_;
  ArrayTable<nest_port_interval> ports_;
  ArrayTable<nest_action> actions_;
  DenyTables<Address4, nest_prefix4> deny4_;
  DenyTables<Address6, nest_prefix6> deny6_;
  ArrayTable<nest_balancer> balancers_;
  ArrayTable<nest_backend> backends_;
  KeyedTable<nest_backend_key, uint32_t> backend_index_;
  RingTable rings_;
};

}  // namespace nest::xdp
