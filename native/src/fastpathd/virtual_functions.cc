// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/virtual_functions.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "backend/xdp/descriptor.h"
#include "fastpathd/failure.h"
#include "fastpathd/json.h"
#include "fastpathd/topology.h"

namespace nest::fast {
namespace {

namespace fs = std::filesystem;

fs::path folder_of(const std::string& sysfs, const std::string& device) {
  const fs::path interface = fs::path(sysfs) / "class/net" / device;
  std::error_code ignored;
  if (!fs::exists(interface, ignored)) {
    throw Failure(NEST_FAST_STATUS_INTERFACE, "there is no interface " + device,
                  "look at the interface names of this host (ip link)");
  }
  const fs::path folder = interface / "device";
  if (fs::exists(folder / "sriov_totalvfs", ignored)) return folder;
  throw Failure(NEST_FAST_STATUS_UNSUPPORTED, "interface " + device + " has no SR-IOV",
                "switch it on in the firmware of the host and of the device, or use a device that has it");
}

uint32_t number_of(const fs::path& file) {
  return static_cast<uint32_t>(std::strtoul(first_line(file).c_str(), nullptr, 10));
}

std::string link_name(const fs::path& link) {
  std::error_code missing;
  const fs::path target = fs::read_symlink(link, missing);
  return missing ? std::string() : target.filename().string();
}

std::string first_entry(const fs::path& folder) {
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder, missing)) return entry.path().filename();
  return {};
}

/// sysfs answers a write at once, and says no by an errno.
void write_number(const fs::path& file, uint32_t value) {
  const xdp::Descriptor target(open(file.c_str(), O_WRONLY | O_CLOEXEC | O_TRUNC));
  const std::string text = std::to_string(value) + "\n";
  if (!target || write(target.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw system_failure(errno, file.string() + " does not take " + std::to_string(value));
}

}  // namespace

VirtualFunctions read_virtual_functions(const std::string& sysfs, const std::string& device) {
  const fs::path folder = folder_of(sysfs, device);
  VirtualFunctions state;
  state.device = device;
  state.address = link_name(folder);
  const std::string node = first_line(folder / "numa_node");
  state.numa_node = node.empty() ? -1 : std::atoi(node.c_str());
  state.total = number_of(folder / "sriov_totalvfs");
  state.enabled = number_of(folder / "sriov_numvfs");
  state.has_automatic_drivers = first_line(folder / "sriov_drivers_autoprobe") != "0";
  for (uint32_t i = 0; i < std::min(state.enabled, state.total); i++) {
    const fs::path function = folder / ("virtfn" + std::to_string(i));
    state.functions.push_back({.number = i,
                               .address = link_name(function),
                               .driver = link_name(function / "driver"),
                               .interface = first_entry(function / "net")});
  }
  return state;
}

void set_virtual_functions(const std::string& sysfs, const std::string& device, uint32_t count) {
  const VirtualFunctions state = read_virtual_functions(sysfs, device);
  if (count > state.total) {
    throw Failure(
        NEST_FAST_STATUS_USAGE,
        "interface " + device + " has " + std::to_string(state.total) + " virtual functions at most",
        "ask for fewer");
  }
  if (count == state.enabled) return;
  const fs::path file = folder_of(sysfs, device) / "sriov_numvfs";
  if (state.enabled != 0) write_number(file, 0);
  if (count != 0) write_number(file, count);
}

std::string json_of(const VirtualFunctions& state) {
  std::string text =
      "{\"device\":" + json_text(state.device) + ",\"address\":" + json_text(state.address) +
      ",\"numaNode\":" + std::to_string(state.numa_node) + ",\"total\":" + std::to_string(state.total) +
      ",\"enabled\":" + std::to_string(state.enabled) +
      ",\"automaticDrivers\":" + (state.has_automatic_drivers ? "true" : "false") + ",\"functions\":[";
  for (const VirtualFunction& each : state.functions) {
    text += (each.number == 0 ? "{\"number\":" : ",{\"number\":") + std::to_string(each.number) +
            ",\"address\":" + json_text(each.address) + ",\"driver\":" + json_text(each.driver) +
            ",\"interface\":" + json_text(each.interface) + "}";
  }
  return text + "]}";
}

}  // namespace nest::fast
