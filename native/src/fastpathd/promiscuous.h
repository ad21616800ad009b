// SPDX-License-Identifier: AGPL-3.0-only
// An interface of the kernel that takes packets for all addresses as long as this lives.
#pragma once

#include <cstdint>

#include "backend/xdp/descriptor.h"

namespace nest::fast {

/// The kernel counts who wants it and takes it back when the process is gone, however it went; the flag of
/// the interface (IFF_PROMISC), which others may have set, is not touched.
class PromiscuousHold {
 public:
  /// What the kernel refuses is left: an interface that cannot, has no filter either.
  explicit PromiscuousHold(uint32_t interface);

 private:
  xdp::Descriptor socket_;
};

}  // namespace nest::fast
