// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/tables.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <future>
#include <utility>
#include <vector>

#include "backend/xdp/per_cpu.h"

namespace nest::xdp {
namespace {

/// Pairs per system call.
constexpr size_t kBatch = 65536;
constexpr uint32_t kCounterWords = sizeof(nest_counter) / sizeof(uint64_t);

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

Descriptor create(bpf_map_type type, const char* name, uint32_t key_bytes, uint32_t value_bytes,
                  size_t entries, uint32_t flags) {
  bpf_map_create_opts options = {};
  options.sz = sizeof(options);
  options.map_flags = flags;
  Descriptor map(bpf_map_create(type, name, key_bytes, value_bytes,
                                static_cast<uint32_t>(std::max<size_t>(entries, 1)), &options));
  if (!map) throw system_error(errno, std::string("policy table ") + name + " cannot be created");
  return map;
}

template <typename Entry>
Descriptor create_identities(std::span<const Entry> entries, const char* name) {
  Descriptor map = create(BPF_MAP_TYPE_LPM_TRIE, name, sizeof(Entry::prefix), sizeof(nest_identity),
                          entries.size(), BPF_F_NO_PREALLOC);
  // One by one: a trie gains nothing from batches.
  for (const Entry& entry : entries) {
    if (bpf_map_update_elem(map.get(), &entry.prefix, &entry.identity, BPF_ANY) != 0) {
      throw system_error(errno, std::string("policy table ") + name + " cannot be filled");
    }
  }
  return map;
}

Descriptor create_pairs(std::span<const nest_image_pair> pairs) {
  Descriptor map =
      create(BPF_MAP_TYPE_HASH, "nest_pairs", sizeof(nest_pair), sizeof(nest_port_set), pairs.size(), 0);
  std::vector<nest_pair> keys(std::min(pairs.size(), kBatch));
  std::vector<nest_port_set> values(keys.size());
  for (size_t done = 0; done < pairs.size(); done += keys.size()) {
    auto count = static_cast<uint32_t>(std::min(pairs.size() - done, keys.size()));
    for (size_t i = 0; i < count; i++) {
      keys[i] = pairs[done + i].key;
      values[i] = pairs[done + i].ports;
    }
    const int result = bpf_map_update_batch(map.get(), keys.data(), values.data(), &count, nullptr);
    if (result != 0) throw system_error(-result, "policy table nest_pairs cannot be filled");
  }
  return map;
}

Descriptor create_ports(std::span<const nest_port_interval> intervals) {
  Descriptor map = create(BPF_MAP_TYPE_ARRAY, "nest_ports", sizeof(uint32_t), sizeof(nest_port_interval),
                          intervals.size(), BPF_F_MMAPABLE | BPF_F_INNER_MAP);
  if (intervals.empty()) return map;
  const Mapping memory(map.get(), intervals.size_bytes());
  std::memcpy(memory.address(), intervals.data(), intervals.size_bytes());
  return map;
}

/// The kernel returns from this only when every packet that might use the map that was there before is
/// through.
void put(int outer, uint32_t slot, int inner) {
  if (bpf_map_update_elem(outer, &slot, &inner, BPF_ANY) != 0)
    throw system_error(errno, "a policy table cannot be put in place");
}

}  // namespace

PolicyTables::PolicyTables(const Loaded& loaded)
    : loaded_(loaded), memory_(loaded.map(kControl), NEST_CONTROL_ENTRIES * sizeof(nest_control)) {}

nest_control PolicyTables::read(size_t entry) const {
  const uint64_t word =
      __atomic_load_n(static_cast<const uint64_t*>(memory_.address()) + entry, __ATOMIC_ACQUIRE);
  nest_control value = {};
  std::memcpy(&value, &word, sizeof(value));
  return value;
}

void PolicyTables::store(size_t entry, nest_control value) {
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(word));
  __atomic_store_n(static_cast<uint64_t*>(memory_.address()) + entry, word, __ATOMIC_SEQ_CST);
}

nest_control PolicyTables::control() const {
  return read(0);
}

std::optional<uint32_t> PolicyTables::mapping_count(uint32_t sequence) const {
  const nest_control tables = read(NEST_CONTROL_TABLES + (sequence & 1));
  if (sequence == 0 || tables.sequence != sequence) return std::nullopt;
  return std::min(tables.flags, NEST_MAPPINGS_MAX);
}

void PolicyTables::fill(const Tables& tables, uint32_t slot) {
  const Descriptor identities4 = create_identities(tables.identities4, "nest_ident4");
  const Descriptor identities6 = create_identities(tables.identities6, "nest_ident6");
  const Descriptor pairs = create_pairs(tables.pairs);
  const Descriptor ports = create_ports(tables.port_intervals);
  // Each waits some ten milliseconds for readers; at the same time they wait for the same ones.
  const std::array<std::pair<MapId, int>, 4> places = {{
      {kIdentities4, identities4.get()},
      {kIdentities6, identities6.get()},
      {kPairs, pairs.get()},
      {kPorts, ports.get()},
  }};
  std::vector<std::future<void>> waiting;
  for (const auto& [outer, inner] : places) {
    waiting.push_back(std::async(std::launch::async, put, loaded_.map(outer), slot, inner));
  }
  for (std::future<void>& each : waiting) each.get();
}

SwapTimes PolicyTables::swap(const Tables& tables, uint32_t sequence) {
  SwapTimes times;
  const uint32_t slot = sequence & 1;
  const auto load_start = Clock::now();
  // From here on the counters of this slot's last policy are going away: nobody may show them.
  store(NEST_CONTROL_TABLES + slot, {});
  clear_per_cpu(loaded_.map(kMappingCounters), slot * (NEST_MAPPINGS_MAX + 1), NEST_MAPPINGS_MAX + 1,
                kCounterWords);
  fill(tables, slot);
  store(NEST_CONTROL_TABLES + slot, {.sequence = sequence, .flags = tables.mapping_count});
  times.load_ms = milliseconds_since(load_start);

  const auto flip_start = Clock::now();
  store(0, {.sequence = sequence, .flags = tables.flags});
  // Packets that read the old word may still be on their way. Putting the current table in place once more
  // waits for them, so that the next swap cannot pull the old slot from under one.
  uint32_t id = 0;
  if (bpf_map_lookup_elem(loaded_.map(kIdentities4), &slot, &id) == 0) {
    const Descriptor current(bpf_map_get_fd_by_id(id));
    if (current) put(loaded_.map(kIdentities4), slot, current.get());
  }
  times.flip_ms = milliseconds_since(flip_start);
  return times;
}

}  // namespace nest::xdp
