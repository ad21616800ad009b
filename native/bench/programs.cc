// SPDX-License-Identifier: AGPL-3.0-only
// `judge` and `run`: programs by BPF_PROG_TEST_RUN. And what tests do to pinned maps.
#include <bpf/bpf.h>
#include <nest/abi.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "arguments.h"
#include "backend/xdp/descriptor.h"
#include "commands.h"
#include "objects.h"

namespace nest::bench {
namespace {

using xdp::Descriptor;

struct TestRun {
  uint32_t action = 0;
  uint32_t duration_ns = 0;
};

TestRun test_run(int program, const Packet& packet, uint32_t interface, uint32_t repeat) {
  Packet output(packet.size() + 256);
  xdp_md context = {};
  context.data_end = static_cast<uint32_t>(packet.size());
  context.ingress_ifindex = interface;
  bpf_test_run_opts options = {};
  options.sz = sizeof(options);
  options.data_in = packet.data();
  options.data_size_in = static_cast<uint32_t>(packet.size());
  options.data_out = output.data();
  options.data_size_out = static_cast<uint32_t>(output.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  options.repeat = static_cast<int>(repeat);
  if (bpf_prog_test_run_opts(program, &options) != 0) fail("BPF_PROG_TEST_RUN");
  return {options.retval, options.duration};
}

struct Series {
  std::string program;
  int target = -1;
  std::vector<uint32_t> samples;

  uint32_t median() const {
    std::vector<uint32_t> sorted = samples;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

void print_series(const Series& series, uint64_t flows, uint32_t floor_ns, bool is_last) {
  std::printf("  {\"program\":\"%s\",\"flows\":%llu,\"medianNs\":%u,\"netNs\":%d,\"samplesNs\":[",
              series.program.c_str(), static_cast<unsigned long long>(flows), series.median(),
              static_cast<int>(series.median()) - static_cast<int>(floor_ns));
  for (size_t i = 0; i < series.samples.size(); i++)
    std::printf("%s%u", i == 0 ? "" : ",", series.samples[i]);
  std::printf("]}%s\n", is_last ? "" : ",");
}

/// As many as the largest policies that are compared have.
constexpr uint32_t kFilterAddresses = 10'000;
/// Addresses beside the random ones, from --filter-address.
std::vector<uint32_t> filtered_addresses(const Arguments& arguments) {
  if (!arguments.has("filter-address")) return {};
  const Packet bytes = arguments.bytes("filter-address");
  if (bytes.size() != sizeof(uint32_t)) throw std::invalid_argument("--filter-address has four bytes");
  uint32_t address = 0;
  std::memcpy(&address, bytes.data(), sizeof(address));
  return {address};
}

void measure(const Arguments& arguments, int nest, uint64_t flows, bool is_last) {
  if (flows == 0 || (flows & (flows - 1)) != 0 || flows > 65536)
    throw std::invalid_argument("--flows must be powers of two up to 65536");
  Packet packet = arguments.bytes("packet");
  packet.resize(std::max<size_t>(packet.size(), kHeaderBytes));
  const auto repeat = static_cast<uint32_t>(arguments.number("repeat", 400'000));
  const uint32_t interface = arguments.has("interface") ? interface_index(arguments.text("interface")) : 0;
  const ObjectPointer object = open_object(arguments.text("object"));
  Settings settings(object);
  settings.set("bench_offset", static_cast<uint32_t>(arguments.number("vary-offset")));
  settings.set("bench_mask", static_cast<uint32_t>(flows - 1));
  settings.set("bench_headers", packet.data(), kHeaderBytes);
  settings.load();
  const int wrapper = program_of(object, "bench_wrapper");
  const int targets = bpf_object__find_map_fd_by_name(object.get(), "bench_target");

  std::vector<Series> all = {{"empty", program_of(object, "bench_empty"), {}}, {"nest", nest, {}}};
  const FilterPeer filter = load_xdp_filter(arguments.has("filter") ? arguments.text("filter") : "alw_all",
                                            kFilterAddresses, filtered_addresses(arguments));
  if (filter.program >= 0) all.push_back({"xdp-filter", filter.program, {}});
  const uint32_t key = 0;
  const auto aim = [&](const Series& series) {
    if (bpf_map_update_elem(targets, &key, &series.target, BPF_ANY) != 0)
      fail("the program cannot be tail-called");
  };
  // Flows exist and caches are warm before the first sample.
  for (const Series& series : all) {
    aim(series);
    test_run(wrapper, packet, interface, static_cast<uint32_t>(std::max<uint64_t>(flows * 2, 1000)));
  }
  for (uint64_t sample = 0; sample < arguments.number("samples", 7); sample++) {
    for (Series& series : all) {
      aim(series);
      series.samples.push_back(test_run(wrapper, packet, interface, repeat).duration_ns);
    }
  }
  for (const Series& series : all)
    print_series(series, flows, all[0].median(), is_last && &series == &all.back());
}

/// Moves the clock of every flow of one table back.
template <typename Key>
uint64_t age_flows(const std::string& path, uint64_t nanoseconds) {
  const Descriptor map(bpf_obj_get(path.c_str()));
  if (!map) fail(path);
  std::vector<Key> keys;
  for (Key key = {}; bpf_map_get_next_key(map.get(), keys.empty() ? nullptr : &keys.back(), &key) == 0;)
    keys.push_back(key);
  uint64_t count = 0;
  for (const Key& key : keys) {
    nest_flow flow = {};
    if (bpf_map_lookup_elem(map.get(), &key, &flow) != 0) continue;
    flow.first_seen_ns -= nanoseconds;
    flow.last_seen_ns -= nanoseconds;
    if (bpf_map_update_elem(map.get(), &key, &flow, BPF_EXIST) == 0) count++;
  }
  return count;
}

}  // namespace

void judge(const std::vector<std::string>& words) {
  const Arguments arguments(words, {"pin-path", "interface"});
  const Descriptor program = open_program(arguments.text("pin-path"));
  const uint32_t interface = interface_index(arguments.text("interface"));
  const std::vector<Packet> packets = read_packets();
  std::printf("[");
  for (size_t i = 0; i < packets.size(); i++) {
    const uint32_t action = test_run(program.get(), packets[i], interface, 1).action;
    std::printf("%s\"%s\"", i == 0 ? "" : ",",
                action == XDP_PASS   ? "pass"
                : action == XDP_DROP ? "drop"
                                     : "other");
  }
  std::printf("]\n");
}

void age(const std::vector<std::string>& words) {
  const Arguments arguments(words, {"pin-path", "seconds"});
  const std::string maps = arguments.text("pin-path") + "/maps/";
  const uint64_t nanoseconds = arguments.number("seconds") * 1'000'000'000;
  const uint64_t count = age_flows<nest_flow_key4>(maps + "nest_flows4", nanoseconds) +
                         age_flows<nest_flow_key6>(maps + "nest_flows6", nanoseconds);
  std::printf("{\"aged\":%llu}\n", static_cast<unsigned long long>(count));
}

void lose(const std::vector<std::string>& words) {
  const Arguments arguments(words, {"pin-path", "table"});
  const std::string path = arguments.text("pin-path") + "/maps/" + arguments.text("table");
  const Descriptor map(bpf_obj_get(path.c_str()));
  if (!map) fail(path);
  for (const uint32_t slot : {0u, 1u}) {
    if (bpf_map_delete_elem(map.get(), &slot) != 0 && errno != ENOENT) fail("delete from " + path);
  }
}

void run(const std::vector<std::string>& words) {
  const Arguments arguments(words, {"pin-path", "object", "packet", "vary-offset", "interface", "flows",
                                    "repeat", "samples", "filter", "filter-address"});
  const Descriptor nest = open_program(arguments.text("pin-path"));
  const std::vector<uint64_t> flows = arguments.numbers("flows", "1,4096,65536");
  std::printf("[\n");
  for (const uint64_t& each : flows) measure(arguments, nest.get(), each, &each == &flows.back());
  std::printf("]\n");
}

}  // namespace nest::bench
