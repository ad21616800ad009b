// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/ring_table.h"

#include <nest/maglev.h>

#include <memory>

namespace nest::xdp {

RingTable::RingTable(const Loaded& loaded, uint32_t slot)
    : table_(
          loaded,
          {kRings, BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(nest_ring), BPF_F_MMAPABLE | BPF_F_INNER_MAP},
          slot, {}) {}

bool RingTable::Source::operator==(const Source& other) const {
  return first == other.first && family == other.family && backends.size() == other.backends.size() &&
         std::memcmp(backends.data(), other.backends.data(), backends.size() * sizeof(nest_backend)) == 0;
}

std::vector<RingTable::Source> RingTable::sources_of(std::span<const nest_balancer> balancers,
                                                     std::span<const nest_backend> backends) {
  std::vector<Source> sources;
  for (const nest_balancer& balancer : balancers) {
    const auto own = backends.subspan(balancer.first_backend, balancer.backend_count);
    for (const auto& [ring, family] :
         {std::pair{balancer.ring4, uint8_t{4}}, std::pair{balancer.ring6, uint8_t{6}}}) {
      if (ring == NEST_RING_NONE) continue;
      if (sources.size() <= ring) sources.resize(size_t{ring} + 1);
      sources[ring] = {balancer.first_backend, family, {own.begin(), own.end()}};
    }
  }
  return sources;
}

void RingTable::load(std::span<const nest_balancer> balancers, std::span<const nest_backend> backends,
                     Pending& pending) {
  std::vector<Source> sources = sources_of(balancers, backends);
  if (table_.reserve(sources.size(), pending)) sources_.clear();
  fill(std::move(sources), backends);
}

void RingTable::update(std::span<const nest_balancer> balancers, std::span<const nest_backend> backends) {
  fill(sources_of(balancers, backends), backends);
}

void RingTable::forget() {
  table_.forget();
  sources_.clear();
}

void RingTable::fill(std::vector<Source> sources, std::span<const nest_backend> backends) {
  const std::vector<Source> known = std::exchange(sources_, {});
  const std::span<nest_ring> rings = table_.elements();
  const auto ring = std::make_unique<nest_ring>();
  std::vector<nest_maglev_turn> turns;
  for (size_t i = 0; i < sources.size() && i < rings.size(); i++) {
    const Source& source = sources[i];
    if (source.family == 0 || (i < known.size() && known[i] == source)) continue;
    turns.resize(source.backends.size());
    nest_maglev_fill(ring.get(), backends.data(), source.first, static_cast<uint32_t>(source.backends.size()),
                     source.family, turns.data());
    for (size_t position = 0; position < NEST_RING_SLOTS; position++)
      __atomic_store_n(&rings[i].backend[position], ring->backend[position], __ATOMIC_RELAXED);
  }
  sources_ = std::move(sources);
}

}  // namespace nest::xdp
