// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/flows.h"

#include <bpf/bpf.h>
#include <nest/flow_life.h>

#include <cstring>
#include <ctime>

namespace nest::xdp {
namespace {

/// Flows per system call; a hash bucket never holds that many.
constexpr uint32_t kBatch = 8192;

/// The clock of the flow table (bpf_ktime_get_coarse_ns).
uint64_t now_ns() {
  timespec time = {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  return static_cast<uint64_t>(time.tv_sec) * NEST_SECOND_NS + static_cast<uint64_t>(time.tv_nsec);
}

uint16_t host_order(uint16_t value) {
  return __builtin_bswap16(value);
}

void set_family(nest_record& record, const nest_flow_key4&) {
  record.family = 4;
}
void set_family(nest_record& record, const nest_flow_key6&) {
  record.family = 6;
}

/// The flow as seen from its initiator, as of its last packet.
template <typename Key>
nest_record describe(const Key& key, const nest_flow& flow, uint8_t kind) {
  const size_t from = flow.flags & NEST_FLOW_INITIATOR_SECOND;
  const uint64_t age_ms =
      flow.last_seen_ns > flow.first_seen_ns ? (flow.last_seen_ns - flow.first_seen_ns) / 1000000 : 0;
  nest_record record = {};
  record.time_ns = flow.last_seen_ns;
  for (size_t i = 0; i < 2; i++) {
    record.packets[i] = flow.packets[i];
    record.bytes[i] = flow.bytes[i];
  }
  record.interface = flow.interface;
  record.sequence = flow.sequence;
  record.mapping = flow.mapping;
  record.kind = kind;
  record.reason = flow.reason;
  set_family(record, key);
  record.protocol = key.protocol;
  record.source_port = host_order(key.port[from]);
  record.destination_port = host_order(key.port[from ^ 1]);
  std::memcpy(record.source, &key.address[from], sizeof(key.address[0]));
  std::memcpy(record.destination, &key.address[from ^ 1], sizeof(key.address[0]));
  record.age_ms = age_ms == 0 ? 1 : static_cast<uint32_t>(std::min<uint64_t>(age_ms, UINT32_MAX));
  return record;
}

/// Calls visit(key, flow) until it returns false or the table ends. The table may change meanwhile.
template <typename Key, typename Visit>
void for_each_flow(int map, Visit visit) {
  std::vector<Key> keys(kBatch);
  std::vector<nest_flow> flows(kBatch);
  uint32_t cookie = 0;
  bool is_first = true;
  // A batch is at least one bucket, so this ends; the bound holds it even against a kernel that does not move
  // on.
  for (uint32_t round = 0; round <= NEST_FLOWS_MAX; round++) {
    uint32_t count = kBatch;
    uint32_t next = 0;
    const int result = bpf_map_lookup_batch(map, is_first ? nullptr : &cookie, &next, keys.data(),
                                            flows.data(), &count, nullptr);
    if (result != 0 && result != -ENOENT) throw system_error(-result, "the flow table cannot be read");
    for (uint32_t i = 0; i < count; i++) {
      if (!visit(keys[i], flows[i])) return;
    }
    if (result == -ENOENT) return;
    cookie = next;
    is_first = false;
  }
}

template <typename Key>
void read_family(int map, size_t limit, FlowPage& page) {
  const uint64_t now = now_ns();
  for_each_flow<Key>(map, [&](const Key& key, const nest_flow& flow) {
    // Sequence 0: cut by a policy, kept only to be judged.
    if (flow.sequence == 0 || nest_tcp_is_finished(flow.tcp) || nest_flow_is_idle(&flow, key.protocol, now))
      return true;
    if (page.rows.size() == limit) {
      page.is_truncated = true;
      return false;
    }
    page.rows.push_back(describe(key, flow, 0));
    return true;
  });
}

template <typename Key>
void sweep_family(int map, size_t limit, size_t& removed, std::vector<nest_record>& ended) {
  const uint64_t now = now_ns();
  std::vector<Key> idle;
  for_each_flow<Key>(map, [&](const Key& key, const nest_flow& flow) {
    if (removed + idle.size() == limit) return false;
    if (nest_flow_is_idle(&flow, key.protocol, now)) idle.push_back(key);
    return true;
  });
  for (const Key& key : idle) {
    nest_flow last = {};
    if (bpf_map_lookup_and_delete_elem(map, &key, &last) != 0) continue;  // the data path was first
    if (!nest_flow_is_idle(&last, key.protocol, now)) {
      // A packet came between the look and the removal.
      bpf_map_update_elem(map, &key, &last, BPF_NOEXIST);
      continue;
    }
    removed++;
    const bool is_reported = last.sequence == 0 || nest_tcp_is_finished(last.tcp);
    if (!is_reported) ended.push_back(describe(key, last, NEST_RECORD_END));
  }
}

}  // namespace

FlowPage read_flows(const Loaded& loaded, size_t limit) {
  FlowPage page;
  read_family<nest_flow_key4>(loaded.map(kFlows4), limit, page);
  if (!page.is_truncated) read_family<nest_flow_key6>(loaded.map(kFlows6), limit, page);
  return page;
}

std::vector<nest_record> sweep_flows(const Loaded& loaded, size_t limit) {
  std::vector<nest_record> ended;
  size_t removed = 0;
  sweep_family<nest_flow_key4>(loaded.map(kFlows4), limit, removed, ended);
  sweep_family<nest_flow_key6>(loaded.map(kFlows6), limit, removed, ended);
  return ended;
}

}  // namespace nest::xdp
