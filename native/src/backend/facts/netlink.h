// SPDX-License-Identifier: AGPL-3.0-only
// Questions to the kernel by netlink: a request, and the attributes of each answer.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace nest::facts {

struct Attribute {
  uint16_t type = 0;
  std::span<const uint8_t> value;

  /// The first bytes of the value as a number; 0 when it is too short.
  uint64_t number() const;
};

/// The attributes in `bytes`; stops at the first that does not fit.
std::vector<Attribute> attributes_of(std::span<const uint8_t> bytes);

/// A netlink message in the making: header, fixed part, attributes.
class Request {
 public:
  Request(uint16_t type, uint16_t flags);
  void add_fixed(const void* data, size_t bytes);
  void add_attribute(uint16_t type, const void* data, size_t bytes);
  std::span<const uint8_t> finish();

 private:
  std::vector<uint8_t> bytes_;
};

/// Calls `take` with what follows the header of each answer. Returns 0, or the positive errno with which the
/// kernel refused. Throws nest::Error when there is no socket.
int ask(int protocol, Request request, const std::function<void(std::span<const uint8_t>)>& take);

}  // namespace nest::facts
