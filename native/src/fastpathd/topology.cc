// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/topology.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "backend/xdp/descriptor.h"
#include "fastpathd/failure.h"

namespace nest::fast {
namespace {

using xdp::Descriptor;

ifreq request_of(const std::string& name) {
  ifreq request = {};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

Descriptor any_socket() {
  Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) throw system_failure(errno, "no socket");
  return socket;
}

/// Virtual interfaces have no device folder, but the driver tells its name.
std::string driver_of(int socket, const std::string& name) {
  ethtool_drvinfo info = {};
  info.cmd = ETHTOOL_GDRVINFO;
  ifreq request = request_of(name);
  request.ifr_data = reinterpret_cast<char*>(&info);
  if (ioctl(socket, SIOCETHTOOL, &request) != 0) return {};
  return {info.driver, strnlen(info.driver, sizeof(info.driver))};
}

uint32_t queues_of(const std::string& folder) {
  uint32_t count = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/queues", ignored))
    count += entry.path().filename().string().starts_with("rx-") ? 1 : 0;
  return std::max(count, 1u);
}

}  // namespace

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

InterfaceFacts interface_facts(const std::string& name, const std::string& sysfs) {
  InterfaceFacts facts;
  facts.name = name;
  facts.index = if_nametoindex(name.c_str());
  if (facts.index == 0) {
    throw Failure(NEST_FAST_STATUS_INTERFACE, "there is no interface " + name,
                  "look at the interface names of this host (ip link)");
  }
  const std::string folder = sysfs + "/class/net/" + name;
  const std::string node = first_line(folder + "/device/numa_node");
  facts.numa_node = node.empty() ? -1 : std::atoi(node.c_str());
  facts.receive_queues = queues_of(folder);
  const Descriptor socket = any_socket();
  ifreq request = request_of(name);
  if (ioctl(socket.get(), SIOCGIFMTU, &request) == 0) facts.mtu = static_cast<uint32_t>(request.ifr_mtu);
  facts.driver = driver_of(socket.get(), name);
  bpf_xdp_query_opts query = {};
  query.sz = sizeof(query);
  if (bpf_xdp_query(static_cast<int>(facts.index), 0, &query) == 0) {
    for (const uint32_t id : {query.prog_id, query.drv_prog_id, query.skb_prog_id, query.hw_prog_id})
      facts.program_id = facts.program_id == 0 ? id : facts.program_id;
  }
  return facts;
}

void set_up(const std::string& name) {
  const Descriptor socket = any_socket();
  ifreq request = request_of(name);
  if (ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) throw system_failure(errno, "interface " + name);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) throw system_failure(errno, "interface " + name);
}

}  // namespace nest::fast
