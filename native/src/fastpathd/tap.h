// SPDX-License-Identifier: AGPL-3.0-only
// A tap: the way of single packets between this process and the host's stack. It goes when the process goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "backend/xdp/descriptor.h"

namespace nest::fast {

class Tap {
 public:
  /// Makes the interface and sets it up, without IPv6 of its own. Throws Failure.
  explicit Tap(const std::string& name);

  const std::string& name() const { return name_; }
  uint32_t interface() const { return interface_; }
  int descriptor() const { return descriptor_.get(); }

  /// Into the stack; false when it could not be taken. From any thread.
  bool write(const uint8_t* packet, size_t bytes) const;
  /// Out of the stack, without waiting; 0 when there is nothing. From any thread.
  size_t read(uint8_t* packet, size_t bytes_max) const;

 private:
  std::string name_;
  xdp::Descriptor descriptor_;
  uint32_t interface_ = 0;
};

}  // namespace nest::fast
