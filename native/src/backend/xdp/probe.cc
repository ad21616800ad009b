// SPDX-License-Identifier: AGPL-3.0-only
#include <bpf/bpf.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "backend/backend.h"
#include "backend/xdp/descriptor.h"

namespace nest {
namespace {

struct Kernel {
  std::string release;
  bool is_new_enough = false;
};

Kernel kernel() {
  utsname name = {};
  int major = 0;
  int minor = 0;
  if (uname(&name) != 0) return {};
  std::sscanf(name.release, "%d.%d", &major, &minor);
  return {name.release, major > 5 || (major == 5 && minor >= 15)};
}

/// Empty when maps can be made; else why not.
std::string map_problem() {
  const xdp::Descriptor map(
      bpf_map_create(BPF_MAP_TYPE_ARRAY, "nest_probe", sizeof(uint32_t), sizeof(uint64_t), 1, nullptr));
  if (map) return {};
  if (errno == EPERM || errno == EACCES)
    return "not permitted: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON";
  return std::string("the kernel refuses BPF maps: ") + std::strerror(errno);
}

EngineProbe probe_xdp(const char* engine, const char* use) {
  const Kernel running = kernel();
  const bool has_btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
  if (!running.is_new_enough) return {engine, false, "kernel " + running.release + " is older than 5.15"};
  const std::string problem = map_problem();
  if (!problem.empty()) return {engine, false, problem};
  return {engine, true, "kernel " + running.release + (has_btf ? ", BTF present; " : ", no BTF; ") + use};
}

}  // namespace

std::vector<EngineProbe> probe_engines() {
  return {
      probe_xdp("xdp-native", "used on interfaces whose driver supports it"),
      probe_xdp("xdp-generic", "used on all other interfaces"),
  };
}

}  // namespace nest
