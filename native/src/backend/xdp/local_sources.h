// SPDX-License-Identifier: AGPL-3.0-only
// The source addresses that this host's routes give to what it sends.
#pragma once

#include <nest/abi.h>

#include <array>
#include <cstdint>
#include <map>
#include <utility>

namespace nest::xdp {

/// Network order; IPv4 in the first four bytes.
using AddressBytes = std::array<uint8_t, 16>;

/// By destination: length in bits, then address.
using Sources = std::map<std::pair<uint32_t, AddressBytes>, AddressBytes>;

/// Of the main table and of the host's own addresses, at most NEST_LOCAL_SOURCES_MAX, longest prefixes first.
/// Routes chosen by rules are not looked at. `family` is AF_INET or AF_INET6.
Sources read_sources(uint8_t family);

}  // namespace nest::xdp
