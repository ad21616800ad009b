// SPDX-License-Identifier: AGPL-3.0-only
// What packets of a policy count, in halves by the parity of its sequence.
#pragma once

#include "backend/backend.h"
#include "backend/xdp/object.h"
#include "backend/xdp/policy_slot.h"

namespace nest::xdp {

class PolicyCounters {
 public:
  explicit PolicyCounters(const Loaded& loaded);

  MappingCounters read(uint32_t half, uint32_t mapping_count, const PolicySlot::Counted& counted) const;

  /// Sets everything of a half to zero that a policy of this shape may have moved, token buckets too.
  void clear(uint32_t half, uint32_t mapping_count, const PolicySlot::Counted& counted);

  /// Removes the token buckets of sources that a policy left in this half. Nobody may use them any more.
  void forget_sources(uint32_t half) const;

 private:
  const Loaded& loaded_;
  Mapping buckets_;
};

}  // namespace nest::xdp
