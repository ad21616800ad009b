// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/policy_counters.h"

#include <bpf/bpf.h>

#include "backend/xdp/per_cpu.h"

namespace nest::xdp {
namespace {

constexpr uint32_t kCounterWords = sizeof(nest_counter) / sizeof(uint64_t);
constexpr uint32_t kBackendWords = sizeof(nest_backend_counter) / sizeof(uint64_t);
constexpr uint32_t kHalf = NEST_MAPPINGS_MAX + 1;
/// Sources per system call; a hash bucket never holds that many.
constexpr uint32_t kSourceBatch = 8192;

/// One value per mapping and one for the default action. Mappings beyond those of the policy cannot have been
/// counted: they are not asked for.
std::vector<uint64_t> read_mappings(int map, uint32_t half, uint32_t count) {
  auto values = read_per_cpu(map, half * kHalf, count, kCounterWords);
  const auto rest = read_per_cpu(map, half * kHalf + NEST_MAPPING_DEFAULT, 1, kCounterWords);
  values.resize(size_t{NEST_MAPPINGS_MAX} * kCounterWords, 0);
  values.insert(values.end(), rest.begin(), rest.end());
  return values;
}

void clear_mappings(int map, uint32_t half, uint32_t count) {
  clear_per_cpu(map, half * kHalf, count, kCounterWords);
  clear_per_cpu(map, half * kHalf + NEST_MAPPING_DEFAULT, 1, kCounterWords);
}

}  // namespace

PolicyCounters::PolicyCounters(const Loaded& loaded)
    : loaded_(loaded), buckets_(loaded.map(kBuckets), NEST_MAPPING_COUNTERS * sizeof(nest_bucket)) {}

MappingCounters PolicyCounters::read(uint32_t half, uint32_t mapping_count,
                                     const PolicySlot::Counted& counted) const {
  MappingCounters counters;
  counters.values = read_mappings(loaded_.map(kMappingCounters), half, mapping_count);
  if (counted.has_limits) counters.limits = read_mappings(loaded_.map(kLimitCounters), half, mapping_count);
  counters.deny_lists =
      read_per_cpu(loaded_.map(kDenyCounters), half * NEST_DENY_LISTS_MAX, counted.deny_lists, kCounterWords);
  counters.deny_lists.resize(size_t{NEST_DENY_LISTS_MAX} * kCounterWords, 0);
  counters.backends =
      read_per_cpu(loaded_.map(kBackendCounters), half * NEST_BACKENDS_MAX, counted.backends, kBackendWords);
  return counters;
}

void PolicyCounters::clear(uint32_t half, uint32_t mapping_count, const PolicySlot::Counted& counted) {
  clear_mappings(loaded_.map(kMappingCounters), half, mapping_count);
  clear_per_cpu(loaded_.map(kDenyCounters), half * NEST_DENY_LISTS_MAX, counted.deny_lists, kCounterWords);
  clear_per_cpu(loaded_.map(kBackendCounters), half * NEST_BACKENDS_MAX, counted.backends, kBackendWords);
  if (!counted.has_limits) return;
  clear_mappings(loaded_.map(kLimitCounters), half, mapping_count);
  auto* const buckets = static_cast<nest_bucket*>(buckets_.address()) + half * kHalf;
  std::fill(buckets, buckets + mapping_count, nest_bucket{});
}

void PolicyCounters::forget_sources(uint32_t half) const {
  const int map = loaded_.map(kSources);
  std::vector<nest_source_key> keys(kSourceBatch);
  std::vector<nest_bucket> buckets(kSourceBatch);
  std::vector<nest_source_key> old;
  uint32_t cookie = 0;
  // A batch is at least one bucket, so this ends; the bound holds it even against a kernel that does not move
  // on.
  for (uint32_t round = 0; round <= NEST_SOURCES_MAX; round++) {
    uint32_t count = kSourceBatch;
    uint32_t next = 0;
    const int result = bpf_map_lookup_batch(map, round == 0 ? nullptr : &cookie, &next, keys.data(),
                                            buckets.data(), &count, nullptr);
    if (result != 0 && result != -ENOENT) throw system_error(-result, "the sources cannot be read");
    for (uint32_t i = 0; i < count; i++) {
      if (keys[i].mapping / kHalf == half) old.push_back(keys[i]);
    }
    if (result == -ENOENT) break;
    cookie = next;
  }
  for (const nest_source_key& key : old) bpf_map_delete_elem(map, &key);
}

}  // namespace nest::xdp
