// SPDX-License-Identifier: AGPL-3.0-only
#pragma once

#include "backend/backend.h"
#include "backend/xdp/object.h"

namespace nest::xdp {

/// Runs the loaded program on the live tables with a trace request in front of the packet.
TraceResult trace_packet(const Loaded& loaded, std::span<const uint8_t> packet,
                         const std::string& interface_name);

}  // namespace nest::xdp
