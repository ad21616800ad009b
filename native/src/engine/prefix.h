// SPDX-License-Identifier: AGPL-3.0-only
#pragma once

#include <nest/abi.h>

#include <cstddef>
#include <cstdint>

namespace nest {

/// The length fits the address (nest_prefix4, nest_prefix6), and no bit is set behind it.
template <typename Prefix>
bool is_prefix(const Prefix& prefix) {
  if (prefix.length > sizeof(prefix.address) * 8) return false;
  for (size_t i = 0; i < sizeof(prefix.address); i++) {
    const uint32_t bits = prefix.length > i * 8 ? prefix.length - static_cast<uint32_t>(i) * 8 : 0;
    const uint8_t mask = bits >= 8 ? 0 : static_cast<uint8_t>(0xffu >> bits);
    if ((prefix.address[i] & mask) != 0) return false;
  }
  return true;
}

}  // namespace nest
