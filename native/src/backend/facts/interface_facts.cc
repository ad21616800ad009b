// SPDX-License-Identifier: AGPL-3.0-only
// What the kernel and the driver say about an interface, for choosing an engine and the ways out.
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "backend/backend.h"
#include "backend/facts/netlink.h"

namespace nest {
namespace {

namespace fs = std::filesystem;

// <linux/netdev.h> of kernel 6.3 and newer; older headers do not have it.
constexpr const char* kNetdevFamily = "netdev";
constexpr uint8_t kNetdevDeviceGet = 1;
constexpr uint16_t kNetdevInterface = 1;
constexpr uint16_t kNetdevXdpFeatures = 3;
constexpr std::array<const char*, 7> kXdpFeatures = {"basic",      "redirect", "ndo-xmit",   "xsk-zerocopy",
                                                     "hw-offload", "rx-sg",    "ndo-xmit-sg"};
constexpr size_t kGenericHeader = sizeof(genlmsghdr);

std::string folder_of(const std::string& name) {
  return "/sys/class/net/" + name;
}

/// The number in a file of sysfs, nothing when there is none or the driver refuses.
std::optional<int64_t> read_number(const std::string& path) {
  int64_t number = 0;
  std::ifstream file(path);
  if (file >> number) return number;
  return std::nullopt;
}

std::string driver_by_ethtool(const std::string& name) {
  const int number = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (number < 0) return {};
  ethtool_drvinfo info = {};
  info.cmd = ETHTOOL_GDRVINFO;
  ifreq request = {};
  name.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
  request.ifr_data = reinterpret_cast<char*>(&info);
  const bool is_known = ioctl(number, SIOCETHTOOL, &request) == 0;
  close(number);
  return is_known ? std::string(info.driver, strnlen(info.driver, sizeof(info.driver))) : std::string();
}

std::string driver_of(const std::string& name) {
  std::error_code error;
  const fs::path link = fs::read_symlink(folder_of(name) + "/device/driver", error);
  return error ? driver_by_ethtool(name) : link.filename().string();
}

uint32_t count_queues(const std::string& name, const char* prefix) {
  std::error_code error;
  uint32_t count = 0;
  for (const auto& entry : fs::directory_iterator(folder_of(name) + "/queues", error)) {
    if (entry.path().filename().string().starts_with(prefix)) count++;
  }
  return count;
}

/// Number of the generic netlink family; 0 when this kernel has none.
uint16_t find_netdev_family() {
  facts::Request request(GENL_ID_CTRL, 0);
  const genlmsghdr header = {.cmd = CTRL_CMD_GETFAMILY, .version = 1, .reserved = 0};
  request.add_fixed(&header, sizeof(header));
  request.add_attribute(CTRL_ATTR_FAMILY_NAME, kNetdevFamily, std::strlen(kNetdevFamily) + 1);
  uint16_t family = 0;
  facts::ask(NETLINK_GENERIC, std::move(request), [&](std::span<const uint8_t> body) {
    if (body.size() < kGenericHeader) return;
    for (const facts::Attribute& each : facts::attributes_of(body.subspan(kGenericHeader))) {
      if (each.type == CTRL_ATTR_FAMILY_ID) family = static_cast<uint16_t>(each.number());
    }
  });
  return family;
}

std::optional<std::vector<std::string>> xdp_features_of(uint32_t index) {
  const uint16_t family = find_netdev_family();
  if (family == 0) return std::nullopt;
  facts::Request request(family, 0);
  const genlmsghdr header = {.cmd = kNetdevDeviceGet, .version = 1, .reserved = 0};
  request.add_fixed(&header, sizeof(header));
  request.add_attribute(kNetdevInterface, &index, sizeof(index));
  std::optional<uint64_t> flags;
  facts::ask(NETLINK_GENERIC, std::move(request), [&](std::span<const uint8_t> body) {
    if (body.size() < kGenericHeader) return;
    for (const facts::Attribute& each : facts::attributes_of(body.subspan(kGenericHeader))) {
      if (each.type == kNetdevXdpFeatures) flags = each.number();
    }
  });
  if (!flags) return std::nullopt;
  std::vector<std::string> names;
  for (size_t bit = 0; bit < kXdpFeatures.size(); bit++) {
    if ((*flags >> bit & 1) != 0) names.emplace_back(kXdpFeatures[bit]);
  }
  return names;
}

/// Addresses others may send to from outside this host: no link-local ones.
void read_addresses(InterfaceFacts& interface) {
  facts::Request request(RTM_GETADDR, NLM_F_DUMP);
  const ifaddrmsg all = {};
  request.add_fixed(&all, sizeof(all));
  facts::ask(NETLINK_ROUTE, std::move(request), [&](std::span<const uint8_t> body) {
    ifaddrmsg message = {};
    if (body.size() < sizeof(message)) return;
    std::memcpy(&message, body.data(), sizeof(message));
    if (message.ifa_index != interface.index || message.ifa_scope >= RT_SCOPE_LINK) return;
    std::span<const uint8_t> address;
    for (const facts::Attribute& each : facts::attributes_of(body.subspan(sizeof(message)))) {
      // On a point-to-point link IFA_ADDRESS is the other end.
      if (each.type == IFA_LOCAL || (each.type == IFA_ADDRESS && address.empty())) address = each.value;
    }
    if (message.ifa_family == AF_INET && address.size() == 4)
      std::ranges::copy(address, interface.addresses4.emplace_back().begin());
    if (message.ifa_family == AF_INET6 && address.size() == 16)
      std::ranges::copy(address, interface.addresses6.emplace_back().begin());
  });
}

}  // namespace

InterfaceFacts read_interface_facts(const std::string& name) {
  InterfaceFacts interface;
  interface.name = name;
  interface.index = if_nametoindex(name.c_str());
  if (interface.index == 0) {
    throw Error(Code::kInterfaceUnknown, "there is no interface " + name,
                "look at the interface names of this host (ip link)");
  }
  interface.driver = driver_of(name);
  interface.receive_queues = count_queues(name, "rx-");
  interface.send_queues = count_queues(name, "tx-");
  interface.mtu = static_cast<uint32_t>(read_number(folder_of(name) + "/mtu").value_or(0));
  const auto node = read_number(folder_of(name) + "/device/numa_node");
  if (node && *node >= 0) interface.numa_node = static_cast<uint32_t>(*node);
  const auto speed = read_number(folder_of(name) + "/speed");
  if (speed && *speed > 0) interface.speed_mbps = static_cast<uint32_t>(*speed);
  interface.xdp_features = xdp_features_of(interface.index);
  read_addresses(interface);
  return interface;
}

}  // namespace nest
