// SPDX-License-Identifier: AGPL-3.0-only
// Owners of what the kernel hands out by number or by address.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <utility>

#include "backend/error.h"

namespace nest::xdp {

/// A file descriptor, closed on destruction.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      reset();
      number_ = std::exchange(other.number_, -1);
    }
    return *this;
  }
  ~Descriptor() { reset(); }

  /// A second, independent owner of what `number` stands for.
  static Descriptor duplicate(int number) {
    const int copy = fcntl(number, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) throw system_error(errno, "a descriptor cannot be duplicated");
    return Descriptor(copy);
  }

  int get() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }
  void reset() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }

 private:
  int number_ = -1;
};

/// The memory of a mmapable array map.
class Mapping {
 public:
  Mapping() = default;
  /// Maps the first `bytes` bytes for reading and writing.
  Mapping(int map, size_t bytes) : bytes_(bytes) {
    address_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
    if (address_ == MAP_FAILED) {
      address_ = nullptr;
      throw system_error(errno, "a map cannot be mapped into memory");
    }
  }
  Mapping(Mapping&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Mapping() {
    if (address_ != nullptr) munmap(address_, bytes_);
  }

  void* address() const { return address_; }

 private:
  void* address_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace nest::xdp
