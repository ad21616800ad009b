// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/policy_slot.h"

#include <numeric>

namespace nest::xdp {
namespace {

constexpr uint32_t kSharedArray = BPF_F_MMAPABLE | BPF_F_INNER_MAP;

template <typename Key, typename Value>
TableKind trie(MapId outer) {
  return {outer, BPF_MAP_TYPE_LPM_TRIE, sizeof(Key), sizeof(Value), BPF_F_NO_PREALLOC};
}

template <typename Key, typename Value>
TableKind hash(MapId outer) {
  return {outer, BPF_MAP_TYPE_HASH, sizeof(Key), sizeof(Value), 0};
}

template <typename Value>
TableKind array(MapId outer) {
  return {outer, BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(Value), kSharedArray};
}

template <typename Entry, typename Prefix>
Rows<Prefix, nest_identity> identity_rows(std::span<const Entry> entries) {
  Rows<Prefix, nest_identity> rows;
  rows.reserve(entries.size());
  for (const Entry& entry : entries) rows.add(entry.prefix, entry.identity);
  return rows;
}

Rows<nest_pair, nest_port_set> pair_rows(std::span<const nest_image_pair> pairs) {
  Rows<nest_pair, nest_port_set> rows;
  rows.reserve(pairs.size());
  for (const nest_image_pair& pair : pairs) rows.add(pair.key, pair.ports);
  return rows;
}

/// A deny list's entries, in the tables they belong to.
template <typename Address, typename Prefix>
struct DenyRows {
  Rows<Address, nest_deny> exact;
  Rows<Prefix, nest_deny> prefixes;
};

template <typename Address, typename Prefix, typename Entry>
DenyRows<Address, Prefix> deny_rows(std::span<const Entry> entries) {
  DenyRows<Address, Prefix> rows;
  for (const Entry& entry : entries) {
    if (entry.prefix.length == sizeof(Address) * 8) {
      Address address;
      std::memcpy(address.bytes, entry.prefix.address, sizeof(address));
      rows.exact.add(address, entry.deny);
    } else {
      rows.prefixes.add(entry.prefix, entry.deny);
    }
  }
  return rows;
}

/// By mapping; what an absent one means is that it is kept as it is.
nest_action no_action() {
  nest_action action = {};
  action.dscp = NEST_DSCP_KEEP;
  return action;
}

std::vector<nest_action> action_rows(std::span<const nest_image_action> actions) {
  std::vector<nest_action> rows(actions.empty() ? 0 : size_t{actions.back().mapping} + 1, no_action());
  for (const nest_image_action& each : actions) rows[each.mapping] = each.action;
  return rows;
}

nest_backend_key key_of(const nest_backend& backend) {
  nest_backend_key key = {};
  key.balancer = backend.balancer;
  key.port = backend.port;
  key.family = backend.family;
  std::memcpy(key.address, backend.address, sizeof(key.address));
  return key;
}

/// Of backends with one address and port, the first stands for all.
Rows<nest_backend_key, uint32_t> backend_rows(std::span<const nest_backend> backends) {
  std::vector<uint32_t> order(backends.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](uint32_t left, uint32_t right) {
    return order_of(key_of(backends[left]), key_of(backends[right])) < 0;
  });
  Rows<nest_backend_key, uint32_t> rows;
  for (const uint32_t index : order) {
    const nest_backend_key key = key_of(backends[index]);
    if (rows.size() == 0 || order_of(rows.keys.back(), key) != 0) rows.add(key, index);
  }
  return rows;
}

bool is_limited(const nest_action& action) {
  return action.packets_per_second != 0 || action.bytes_per_second != 0;
}

}  // namespace

PolicySlot::PolicySlot(const Loaded& loaded, uint32_t slot)
    : identities4_(loaded, trie<nest_prefix4, nest_identity>(kIdentities4), slot),
      identities6_(loaded, trie<nest_prefix6, nest_identity>(kIdentities6), slot),
      pairs_(loaded, hash<nest_pair, nest_port_set>(kPairs), slot),
      ports_(loaded, array<nest_port_interval>(kPorts), slot, {}),
      actions_(loaded, array<nest_action>(kActions), slot, no_action()),
      deny4_{{loaded, hash<Address4, nest_deny>(kDeny4), slot},
             {loaded, trie<nest_prefix4, nest_deny>(kDenyPrefixes4), slot}},
      deny6_{{loaded, hash<Address6, nest_deny>(kDeny6), slot},
             {loaded, trie<nest_prefix6, nest_deny>(kDenyPrefixes6), slot}},
      balancers_(loaded, array<nest_balancer>(kBalancers), slot, {}),
      backends_(loaded, array<nest_backend>(kBackends), slot, {}),
      backend_index_(loaded, hash<nest_backend_key, uint32_t>(kBackendIndex), slot),
      rings_(loaded, slot) {}

void PolicySlot::load(const Tables& tables) {
  try {
    Pending pending;
    begin(tables, pending);
    for (std::future<void>& each : pending) each.get();
  } catch (...) {
    forget();
    throw;
  }
}

PolicySlot::Counted PolicySlot::counted(const Tables& tables) {
  return {.has_limits = std::ranges::any_of(tables.actions, is_limited, &nest_image_action::action),
          .deny_lists = tables.deny_list_count,
          .backends = static_cast<uint32_t>(tables.backends.size())};
}

PolicySlot::Counted PolicySlot::counted() {
  return {.has_limits = std::ranges::any_of(actions_.elements(), is_limited),
          .deny_lists = NEST_DENY_LISTS_MAX,
          .backends = static_cast<uint32_t>(backend_count())};
}

void PolicySlot::begin(const Tables& tables, Pending& pending) {
  identities4_.load(identity_rows<nest_image_identity4, nest_prefix4>(tables.identities4), 0, pending);
  identities6_.load(identity_rows<nest_image_identity6, nest_prefix6>(tables.identities6), 0, pending);
  pairs_.load(pair_rows(tables.pairs), 0, pending);
  // Nothing can be added where there is no list.
  const size_t room = tables.deny_list_count == 0 ? 0 : NEST_DENY_ROOM;
  auto deny4 = deny_rows<Address4, nest_prefix4>(tables.deny4);
  deny4_.exact.load(std::move(deny4.exact), room, pending);
  deny4_.prefixes.load(std::move(deny4.prefixes), room, pending);
  auto deny6 = deny_rows<Address6, nest_prefix6>(tables.deny6);
  deny6_.exact.load(std::move(deny6.exact), room, pending);
  deny6_.prefixes.load(std::move(deny6.prefixes), room, pending);
  backend_index_.load(backend_rows(tables.backends), 0, pending);
  ports_.load(tables.port_intervals, pending);
  actions_.load(action_rows(tables.actions), pending);
  balancers_.load(tables.balancers, pending);
  backends_.load(tables.backends, pending);
  rings_.load(tables.balancers, tables.backends, pending);
}

void PolicySlot::forget() {
  identities4_.forget();
  identities6_.forget();
  pairs_.forget();
  ports_.forget();
  actions_.forget();
  deny4_.exact.forget();
  deny4_.prefixes.forget();
  deny6_.exact.forget();
  deny6_.prefixes.forget();
  balancers_.forget();
  backends_.forget();
  backend_index_.forget();
  rings_.forget();
}

std::span<const nest_balancer> PolicySlot::balancers() {
  const std::span<const nest_balancer> all = balancers_.elements();
  // Spare elements are zero, and a balancer has at least one backend.
  const auto end = std::ranges::find(all, 0, &nest_balancer::backend_count);
  return all.first(static_cast<size_t>(end - all.begin()));
}

size_t PolicySlot::backend_count() {
  const auto all = balancers();
  return all.empty() ? 0 : size_t{all.back().first_backend} + all.back().backend_count;
}

bool PolicySlot::set_backend_states(std::span<const uint8_t> states) {
  const std::span<nest_backend> backends = backends_.elements().first(states.size());
  bool has_changed = false;
  for (size_t i = 0; i < states.size(); i++) {
    has_changed = has_changed || backends[i].state != states[i];
    __atomic_store_n(&backends[i].state, states[i], __ATOMIC_RELAXED);
  }
  if (has_changed) rings_.update(balancers(), backends);
  return has_changed;
}

void PolicySlot::change_deny(std::span<const nest_image_deny4> stored,
                             std::span<const nest_image_deny4> removed) {
  const auto add = deny_rows<Address4, nest_prefix4>(stored);
  const auto remove = deny_rows<Address4, nest_prefix4>(removed);
  deny4_.exact.change(add.exact, remove.exact.keys);
  deny4_.prefixes.change(add.prefixes, remove.prefixes.keys);
}

void PolicySlot::change_deny(std::span<const nest_image_deny6> stored,
                             std::span<const nest_image_deny6> removed) {
  const auto add = deny_rows<Address6, nest_prefix6>(stored);
  const auto remove = deny_rows<Address6, nest_prefix6>(removed);
  deny6_.exact.change(add.exact, remove.exact.keys);
  deny6_.prefixes.change(add.prefixes, remove.prefixes.keys);
}

void PolicySlot::inspect(Inspection& inspection) {
  const auto look = [&](const char* name, auto& table) {
    const Intact intact = table.intact();
    if (intact == Intact::kNo) inspection.tables_changed.emplace_back(name);
    if (intact == Intact::kTooLarge) inspection.tables_skipped.emplace_back(name);
  };
  look("addresses (IPv4)", identities4_);
  look("addresses (IPv6)", identities6_);
  look("policy", pairs_);
  look("ports", ports_);
  look("actions", actions_);
  look("deny list (IPv4)", deny4_.exact);
  look("deny prefixes (IPv4)", deny4_.prefixes);
  look("deny list (IPv6)", deny6_.exact);
  look("deny prefixes (IPv6)", deny6_.prefixes);
  look("backend index", backend_index_);
}

}  // namespace nest::xdp
