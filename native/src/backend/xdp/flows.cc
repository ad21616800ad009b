// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/flows.h"

#include <bpf/bpf.h>
#include <nest/flow_life.h>
#include <nest/flow_record.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <optional>
#include <utility>

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

/// The key of a flow's other entry: that of the packets of its own direction after their rewrite.
template <typename Key>
Key other_key(const Key& key, const nest_flow& flow) {
  const nest_rewrite& rewrite = flow.rewrite;
  Key other = key;
  std::memcpy(&other.address[0], rewrite.source, sizeof(other.address[0]));
  std::memcpy(&other.address[1], rewrite.destination, sizeof(other.address[1]));
  other.port[0] = rewrite.source_port;
  other.port[1] = rewrite.destination_port;
  const int order = std::memcmp(&other.address[0], &other.address[1], sizeof(other.address[0]));
  if (order > 0 || (order == 0 && host_order(other.port[0]) > host_order(other.port[1]))) {
    std::swap(other.address[0], other.address[1]);
    std::swap(other.port[0], other.port[1]);
  }
  return other;
}

bool is_translated(const nest_flow& flow) {
  return (flow.flags & NEST_FLOW_REWRITE) != 0 &&
         (flow.rewrite.flags & (NEST_REWRITE_SOURCE | NEST_REWRITE_DESTINATION)) != 0;
}

/// The flow's other entry, when it has one.
template <typename Key>
std::optional<nest_flow> other_entry(int map, const Key& key, const nest_flow& flow) {
  nest_flow other = {};
  if (!is_translated(flow)) return std::nullopt;
  const Key there = other_key(key, flow);
  if (bpf_map_lookup_elem(map, &there, &other) != 0) return std::nullopt;
  // Another flow may have that key meanwhile.
  if ((other.flags & NEST_FLOW_ALIAS) == (flow.flags & NEST_FLOW_ALIAS)) return std::nullopt;
  return other;
}

/// What both entries know of one flow.
nest_flow merged(const nest_flow& primary, const nest_flow& alias) {
  nest_flow whole = primary;
  for (size_t i = 0; i < 2; i++) {
    whole.packets[i] += alias.packets[i];
    whole.bytes[i] += alias.bytes[i];
  }
  whole.last_seen_ns = std::max(primary.last_seen_ns, alias.last_seen_ns);
  whole.tcp |= alias.tcp;
  return whole;
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
  nest_record_translate(&record, &flow);
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
  for_each_flow<Key>(map, [&](const Key& key, const nest_flow& entry) {
    if (entry.flags & NEST_FLOW_ALIAS) return true;
    const auto alias = other_entry(map, key, entry);
    const nest_flow flow = alias ? merged(entry, *alias) : entry;
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

/// Idle in both directions.
template <typename Key>
bool is_idle(int map, const Key& key, const nest_flow& entry, uint64_t now) {
  if (!nest_flow_is_idle(&entry, key.protocol, now)) return false;
  const auto other = other_entry(map, key, entry);
  return !other || nest_flow_is_idle(&*other, key.protocol, now);
}

/// Removes an idle flow. Its alias goes with it; one whose flow is gone already goes alone and is nobody's
/// end.
template <typename Key>
bool remove_idle(int map, const Key& key, uint64_t now, std::vector<nest_record>& ended) {
  nest_flow last = {};
  if (bpf_map_lookup_elem(map, &key, &last) != 0 || !is_idle(map, key, last, now)) return false;
  const auto alias = other_entry(map, key, last);
  if ((last.flags & NEST_FLOW_ALIAS) != 0 && alias) return false;           // goes with its flow
  if (bpf_map_lookup_and_delete_elem(map, &key, &last) != 0) return false;  // the data path was first
  if (!nest_flow_is_idle(&last, key.protocol, now)) {
    // A packet came between the look and the removal.
    bpf_map_update_elem(map, &key, &last, BPF_NOEXIST);
    return false;
  }
  if (last.flags & NEST_FLOW_ALIAS) return true;
  if (alias) {
    const Key there = other_key(key, last);
    bpf_map_delete_elem(map, &there);
    last = merged(last, *alias);
  }
  const bool is_reported = last.sequence == 0 || nest_tcp_is_finished(last.tcp);
  if (!is_reported) ended.push_back(describe(key, last, NEST_RECORD_END));
  return true;
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
    if (remove_idle(map, key, now, ended)) removed++;
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
