// SPDX-License-Identifier: AGPL-3.0-only
// SR-IOV through sysfs. The root of sysfs is a parameter, so that it can be tried without such a device.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nest::fast {

struct VirtualFunction {
  uint32_t number = 0;
  /// PCI address.
  std::string address;
  /// Empty: no driver holds it.
  std::string driver;
  /// The interface the driver made; empty: none.
  std::string interface;
};

struct VirtualFunctions {
  std::string device;
  std::string address;
  int numa_node = -1;
  uint32_t total = 0;
  uint32_t enabled = 0;
  bool has_automatic_drivers = true;
  std::vector<VirtualFunction> functions;
};

/// Throws Failure: INTERFACE when there is no such device, UNSUPPORTED when it has no SR-IOV.
VirtualFunctions read_virtual_functions(const std::string& sysfs, const std::string& device);

/// Changes their number, by way of none: the kernel takes no other. Throws Failure, also USAGE beyond the
/// total.
void set_virtual_functions(const std::string& sysfs, const std::string& device, uint32_t count);

std::string json_of(const VirtualFunctions& state);

}  // namespace nest::fast
