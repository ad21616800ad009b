// SPDX-License-Identifier: AGPL-3.0-only
// What the kernel says about an interface.
#pragma once

#include <cstdint>
#include <string>

namespace nest::fast {

struct InterfaceFacts {
  std::string name;
  uint32_t index = 0;
  /// -1: the device names none.
  int numa_node = -1;
  uint32_t receive_queues = 1;
  uint32_t mtu = 0;
  std::string driver;
  /// 0: none.
  uint32_t program_id = 0;
};

/// Throws Failure (INTERFACE) when there is none of that name.
InterfaceFacts interface_facts(const std::string& name, const std::string& sysfs = "/sys");

/// Sets an interface up.
void set_up(const std::string& name);

/// The first line of a small file; empty when it cannot be read.
std::string first_line(const std::string& path);

}  // namespace nest::fast
