// SPDX-License-Identifier: AGPL-3.0-only
// Memory that is shared with other processes or given to a device, on the NUMA node asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "backend/xdp/descriptor.h"

namespace nest::fast {

using xdp::Descriptor;

/// Any node.
constexpr int kNodeAny = -1;

/// Pages of a mapping, unmapped on destruction.
class Pages {
 public:
  Pages() = default;
  Pages(void* address, size_t bytes) : address_(static_cast<uint8_t*>(address)), bytes_(bytes) {}
  Pages(Pages&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Pages& operator=(Pages&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Pages();

  uint8_t* address() const { return address_; }
  size_t bytes() const { return bytes_; }

 private:
  uint8_t* address_ = nullptr;
  size_t bytes_ = 0;
};

/// Zeroed memory of this process, of huge pages where the kernel gives them. Throws Failure.
Pages packet_memory(size_t bytes, int node);

/// Zeroed memory behind a descriptor whose size can never change.
struct SharedMemory {
  Descriptor descriptor;
  Pages pages;
};

/// Throws Failure. `name` shows in /proc/<pid>/maps.
SharedMemory shared_memory(const std::string& name, size_t bytes, int node);

/// A second descriptor of the same memory that cannot be mapped for writing. Throws Failure.
Descriptor read_only(const Descriptor& memory);

/// Maps a memfd that nobody can change any more: sealed against writing, growing and shrinking, `bytes` long.
/// Throws Failure (DESCRIPTOR) when it is anything else.
Pages map_sealed(int descriptor, size_t bytes);

}  // namespace nest::fast
