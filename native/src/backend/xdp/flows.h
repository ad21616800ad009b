// SPDX-License-Identifier: AGPL-3.0-only
// The flow tables, read and swept from user space.
#pragma once

#include "backend/backend.h"
#include "backend/xdp/object.h"

namespace nest::xdp {

FlowPage read_flows(const Loaded& loaded, size_t limit);
std::vector<nest_record> sweep_flows(const Loaded& loaded, size_t limit);

}  // namespace nest::xdp
