// SPDX-License-Identifier: AGPL-3.0-only
// The rings of one slot, filled from its balancers and backends.
#pragma once

#include "backend/xdp/policy_table.h"

namespace nest::xdp {

class RingTable {
 public:
  RingTable(const Loaded& loaded, uint32_t slot);

  /// As ArrayTable::load: rings whose backends are those of the load before stay as they are.
  void load(std::span<const nest_balancer> balancers, std::span<const nest_backend> backends,
            Pending& pending);

  /// Beside packets that read: each position of a ring is changed at once, the ring is not.
  void update(std::span<const nest_balancer> balancers, std::span<const nest_backend> backends);

  void forget();

 private:
  /// What a ring is made of.
  struct Source {
    uint32_t first = 0;
    uint8_t family = 0;
    std::vector<nest_backend> backends;

    bool operator==(const Source& other) const;
  };

  static std::vector<Source> sources_of(std::span<const nest_balancer> balancers,
                                        std::span<const nest_backend> backends);
  void fill(std::vector<Source> sources, std::span<const nest_backend> backends);

  ArrayTable<nest_ring> table_;
  std::vector<Source> sources_;  // of the rings as they are filled; empty: not known
};

}  // namespace nest::xdp
