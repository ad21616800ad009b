// SPDX-License-Identifier: AGPL-3.0-only
// Interfaces: attached by a pinned link, each with a counter slot.
#pragma once

#include "backend/backend.h"
#include "backend/xdp/object.h"
#include "backend/xdp/pins.h"

namespace nest::xdp {

class Interfaces {
 public:
  /// Takes over the pinned links; those whose interface is gone, or in another network namespace, are
  /// removed.
  Interfaces(const Loaded& loaded, const Pins& pins);

  const std::vector<AttachedInterface>& list() const { return attached_; }
  AttachedInterface attach(const std::string& name);
  bool detach(const std::string& name);
  void detach_all();
  /// Which program each attached interface really runs.
  std::vector<Inspection::Interface> inspect() const;

 private:
  void adopt(const Pins::Link& link);
  uint32_t free_slot() const;
  uint32_t* slot_of(uint32_t index) const;

  const Loaded& loaded_;
  const Pins& pins_;
  Mapping slots_;
  std::vector<AttachedInterface> attached_;
};

}  // namespace nest::xdp
