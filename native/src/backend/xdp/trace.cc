// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/trace.h"

#include <bpf/bpf.h>
#include <net/if.h>

#include <cstring>

namespace nest::xdp {
namespace {

constexpr size_t kPacketBytesMin = 14;
/// A page, less the head room, the room for the kernel's own data behind the packet, and the request.
constexpr size_t kPacketBytesMax = 3400;

/// The packet may leave with more in front of it than it came with.
constexpr size_t kGrowthMax = 256;

int run(const Loaded& loaded, std::span<const uint8_t> input, uint32_t index, TraceResult& result) {
  const uint32_t key = 0;
  const nest_trace_more nothing = {};
  if (bpf_map_update_elem(loaded.map(kTraceMore), &key, &nothing, BPF_ANY) != 0) return errno;
  std::vector<uint8_t> output(input.size() + kGrowthMax);
  xdp_md context = {};
  context.data = sizeof(nest_trace);
  context.data_end = static_cast<uint32_t>(input.size());
  context.ingress_ifindex = index;
  bpf_test_run_opts options = {};
  options.sz = sizeof(options);
  options.data_in = input.data();
  options.data_size_in = static_cast<uint32_t>(input.size());
  options.data_out = output.data();
  options.data_size_out = static_cast<uint32_t>(output.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  options.repeat = 1;
  if (bpf_prog_test_run_opts(loaded.program(kEntry), &options) != 0) return errno;
  if (options.data_size_out < sizeof(result.trace)) return EIO;
  std::memcpy(&result.trace, output.data(), sizeof(result.trace));
  result.packet.assign(output.begin() + sizeof(result.trace), output.begin() + options.data_size_out);
  if (bpf_map_lookup_elem(loaded.map(kTraceMore), &key, &result.more) != 0) return errno;
  result.action = options.retval;
  result.duration_ns = options.duration;
  return 0;
}

}  // namespace

TraceResult trace_packet(const Loaded& loaded, std::span<const uint8_t> packet,
                         const std::string& interface_name) {
  if (packet.size() < kPacketBytesMin || packet.size() > kPacketBytesMax) {
    throw Error(Code::kPacketInvalid,
                "a packet to trace has 14 to 3400 bytes, this one has " + std::to_string(packet.size()),
                "leave the payload out, and keep the lengths in the headers right");
  }
  const uint32_t index = if_nametoindex(interface_name.c_str());
  if (index == 0) {
    throw Error(Code::kInterfaceUnknown, "there is no interface " + interface_name,
                "look at the interface names of this host (ip link)");
  }
  std::vector<uint8_t> input(sizeof(nest_trace) + packet.size());
  nest_trace request = {};
  request.magic = loaded.trace_magic;
  std::memcpy(input.data(), &request, sizeof(request));
  std::memcpy(input.data() + sizeof(request), packet.data(), packet.size());

  TraceResult result;
  int error = run(loaded, input, index, result);
  // Drivers that register their receive queues late refuse here. The verdict does not depend on the
  // interface.
  if (error == EINVAL) error = run(loaded, input, 0, result);
  if (error != 0) throw system_error(error, "the packet cannot be traced");
  result.trace.magic = 0;  // stays a secret of this process
  return result;
}

}  // namespace nest::xdp
