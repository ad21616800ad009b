// SPDX-License-Identifier: AGPL-3.0-only
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "sides.h"

namespace nest::differential {
namespace {

constexpr size_t kGrowthMax = 256;
constexpr size_t kFlowsMax = 300'000;

uint32_t outcome_of(uint32_t action) {
  switch (action) {
    case XDP_PASS:
      return NEST_OUTCOME_PASS;
    case XDP_TX:
      return NEST_OUTCOME_TX;
    case XDP_REDIRECT:
      return NEST_OUTCOME_REDIRECT;
    default:
      return NEST_OUTCOME_DROP;
  }
}

}  // namespace

FlowRow row_of(const nest_record& record) {
  std::vector<uint8_t> rewritten;
  if (record.rewrite != 0) {
    rewritten.assign(record.rewritten_source, record.rewritten_source + 16);
    rewritten.insert(rewritten.end(), record.rewritten_destination, record.rewritten_destination + 16);
    for (const uint16_t port : {record.rewritten_source_port, record.rewritten_destination_port}) {
      rewritten.push_back(static_cast<uint8_t>(port >> 8));
      rewritten.push_back(static_cast<uint8_t>(port));
    }
  }
  return {std::vector<uint8_t>(record.source, record.source + 16),
          std::vector<uint8_t>(record.destination, record.destination + 16),
          rewritten,
          record.source_port,
          record.destination_port,
          record.protocol,
          record.mapping,
          record.reason,
          record.packets[0],
          record.packets[1],
          record.bytes[0],
          record.bytes[1],
          record.rewrite,
          record.backend};
}

KernelSide::KernelSide(const std::string& object, const std::string& pin_path, const Surroundings& around)
    : data_path_(open_xdp({.object_path = object, .pin_path = pin_path})),
      pin_path_(pin_path),
      interface_(around.interface),
      index_(around.index),
      program_(bpf_obj_get((pin_path + "/programs/nest_xdp").c_str())),
      reasons_before_(2 * NEST_REASON_COUNT, 0) {
  if (program_ < 0)
    throw std::runtime_error("the program is not pinned: " + std::string(std::strerror(errno)));
  data_path_.attach(interface_);
  data_path_.set_interface_addresses(around.addresses);
  data_path_.set_tx_ports(around.ports);
}

KernelSide::~KernelSide() {
  ::close(program_);
  data_path_.remove();
}

void KernelSide::clear(const char* map) {
  const int descriptor = bpf_obj_get((pin_path_ + "/maps/" + map).c_str());
  if (descriptor < 0) throw std::runtime_error(std::string(map) + " is not pinned");
  std::array<uint8_t, 64> key = {};
  for (size_t count = 0; count < kFlowsMax && bpf_map_get_next_key(descriptor, nullptr, key.data()) == 0;
       count++)
    bpf_map_delete_elem(descriptor, key.data());
  ::close(descriptor);
}

void KernelSide::load(std::span<const uint8_t> image, uint32_t sequence, bool forget) {
  if (forget) {
    for (const char* map : {"nest_flows4", "nest_flows6", "nest_frags", "nest_sources"}) clear(map);
  }
  for (const InterfaceCounters& each : data_path_.counters().interfaces) reasons_before_ = each.reasons;
  data_path_.swap(image, {}, sequence);
}

Outcome KernelSide::judge(std::span<const uint8_t> packet) {
  Outcome outcome;
  outcome.bytes.resize(packet.size() + kGrowthMax);
  xdp_md context = {};
  context.data_end = static_cast<uint32_t>(packet.size());
  context.ingress_ifindex = index_;
  bpf_test_run_opts options = {};
  options.sz = sizeof(options);
  options.data_in = packet.data();
  options.data_size_in = static_cast<uint32_t>(packet.size());
  options.data_out = outcome.bytes.data();
  options.data_size_out = static_cast<uint32_t>(outcome.bytes.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  options.repeat = 1;
  if (bpf_prog_test_run_opts(program_, &options) != 0)
    throw std::runtime_error("BPF_PROG_TEST_RUN: " + std::string(std::strerror(errno)));
  outcome.bytes.resize(options.data_size_out);
  outcome.action = outcome_of(options.retval);
  return outcome;
}

Explanation KernelSide::explain(std::span<const uint8_t> packet) {
  TraceResult result = data_path_.trace(packet, interface_);
  return {result.trace, result.more, {outcome_of(result.action), std::move(result.packet)}};
}

Totals KernelSide::totals() {
  const Counters counters = data_path_.counters();
  Totals totals;
  totals.reasons = counters.interfaces.at(0).reasons;
  for (size_t i = 0; i < totals.reasons.size(); i++) totals.reasons[i] -= reasons_before_[i];
  totals.mappings = counters.active.values;
  totals.limits = counters.active.limits;
  totals.deny_lists = counters.active.deny_lists;
  totals.backends = counters.active.backends;
  return totals;
}

std::vector<FlowRow> KernelSide::flows() {
  std::vector<FlowRow> rows;
  for (const nest_record& record : data_path_.flows(kFlowsMax).rows) rows.push_back(row_of(record));
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace nest::differential
