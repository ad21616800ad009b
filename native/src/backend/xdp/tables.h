// SPDX-License-Identifier: AGPL-3.0-only
// The policy tables: two slots behind map-in-maps, and the control word that chooses one.
#pragma once

#include "backend/backend.h"
#include "backend/xdp/object.h"

namespace nest::xdp {

class PolicyTables {
 public:
  explicit PolicyTables(const Loaded& loaded);

  nest_control control() const;
  /// Number of mappings of a sequence whose counters are still there; nothing otherwise.
  std::optional<uint32_t> mapping_count(uint32_t sequence) const;

  SwapTimes swap(const Tables& tables, uint32_t sequence);

 private:
  void fill(const Tables& tables, uint32_t slot);
  void store(size_t entry, nest_control value);
  nest_control read(size_t entry) const;

  const Loaded& loaded_;
  Mapping memory_;
};

}  // namespace nest::xdp
