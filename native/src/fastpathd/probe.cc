// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/probe.h"

#include <bpf/bpf.h>
#include <linux/if_xdp.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "backend/xdp/descriptor.h"
#include "fastpathd/json.h"
#include "fastpathd/topology.h"

namespace nest::fast {
namespace {

using xdp::Descriptor;

std::string json_of(const EngineProbe& each) {
  return "{\"engine\":" + json_text(each.engine) +
         ",\"available\":" + (each.is_available ? "true" : "false") +
         ",\"reason\":" + json_text(each.reason) + "}";
}

std::string json_of(const InterfaceFacts& facts) {
  return "{\"name\":" + json_text(facts.name) + ",\"index\":" + std::to_string(facts.index) +
         ",\"driver\":" + json_text(facts.driver) + ",\"queues\":" + std::to_string(facts.receive_queues) +
         ",\"mtu\":" + std::to_string(facts.mtu) + ",\"numaNode\":" + std::to_string(facts.numa_node) +
         ",\"programId\":" + std::to_string(facts.program_id) + "}";
}

}  // namespace

EngineProbe probe_af_xdp() {
  const auto no = [](const std::string& reason) { return EngineProbe{"af_xdp", false, reason}; };
  const Descriptor socket(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!socket && (errno == EPERM || errno == EACCES)) return no("not permitted: needs CAP_NET_RAW");
  if (!socket) return no(std::string("the kernel has no AF_XDP sockets: ") + std::strerror(errno));
  xdp_mmap_offsets offsets = {};
  socklen_t bytes = sizeof(offsets);
  // The short form is of kernels before 5.4, which know no wake-up flags.
  if (getsockopt(socket.get(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &bytes) != 0 || bytes != sizeof(offsets))
    return no("the kernel is older than 5.4: its AF_XDP sockets have no wake-up flags");
  const Descriptor map(
      bpf_map_create(BPF_MAP_TYPE_XSKMAP, "nest_probe", sizeof(uint32_t), sizeof(uint32_t), 1, nullptr));
  if (!map && (errno == EPERM || errno == EACCES))
    return no("not permitted: needs CAP_BPF and CAP_NET_ADMIN");
  if (!map) return no(std::string("the kernel refuses socket tables: ") + std::strerror(errno));
  if (access("/dev/net/tun", R_OK | W_OK) != 0)
    return {"af_xdp", true,
            "for ports that forward only: without /dev/net/tun nothing reaches this host's stack"};
  utsname name = {};
  uname(&name);
  return {"af_xdp", true,
          std::string("kernel ") + name.release +
              "; whether an interface copies or not shows when it becomes a port"};
}

std::string probe(const Options& options) {
  std::string text = "{\"engines\":[" + json_of(probe_af_xdp()) + "," + json_of(probe_dpdk(options.sysfs)) +
                     "],\"interfaces\":[";
  bool is_first = true;
  for (const PortOptions& port : options.ports) {
    text += (is_first ? "" : ",") + json_of(interface_facts(port.name, options.sysfs));
    is_first = false;
  }
  return text + "]}";
}

}  // namespace nest::fast
