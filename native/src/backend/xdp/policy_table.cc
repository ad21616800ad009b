// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/policy_table.h"

#include <cerrno>
#include <functional>
#include <string>
#include <thread>

namespace nest::xdp {

Error fill_error(int error, const TableKind& kind) {
  return system_error(error, std::string("policy table ") + kMapNames[kind.outer] + " cannot be filled");
}

namespace {

/// Entries per system call.
constexpr size_t kBatch = 65536;
/// What the kernel says when a kind of map has no batches; its own number, which no libc knows.
constexpr int kNotSupported = 524;
/// Threads that fill one hash, and the entries each has at least.
constexpr size_t kThreadsMax = 4;
constexpr size_t kPartMin = 16384;

void store_part(int table, const TableKind& kind, const uint8_t* key, const uint8_t* value, size_t count) {
  bool has_batches = true;
  for (size_t done = 0; done < count;) {
    auto batch = static_cast<uint32_t>(has_batches ? std::min(count - done, kBatch) : 1);
    int result = 0;
    if (has_batches) {
      result = bpf_map_update_batch(table, key + done * kind.key_bytes, value + done * kind.value_bytes,
                                    &batch, nullptr);
      has_batches = result != -kNotSupported;
      if (!has_batches) continue;
    } else {
      result =
          bpf_map_update_elem(table, key + done * kind.key_bytes, value + done * kind.value_bytes, BPF_ANY);
    }
    if (result != 0) throw fill_error(-result, kind);
    done += batch;
  }
}

/// A trie has one lock, a hash one per bucket: only there do several threads gain anything.
size_t store_threads(const TableKind& kind, size_t count) {
  if (kind.type != BPF_MAP_TYPE_HASH) return 1;
  return std::clamp<size_t>(std::min<size_t>(count / kPartMin, std::thread::hardware_concurrency()), 1,
                            kThreadsMax);
}

}  // namespace

Descriptor create_table(const TableKind& kind, size_t capacity) {
  bpf_map_create_opts options = {};
  options.sz = sizeof(options);
  options.map_flags = kind.flags;
  Descriptor map(bpf_map_create(kind.type, kMapNames[kind.outer], kind.key_bytes, kind.value_bytes,
                                static_cast<uint32_t>(std::max<size_t>(capacity, 1)), &options));
  if (!map) throw fill_error(errno, kind);
  return map;
}

void place_table(int outer, uint32_t slot, int inner) {
  if (bpf_map_update_elem(outer, &slot, &inner, BPF_ANY) != 0)
    throw system_error(errno, "a policy table cannot be put in place");
}

Descriptor placed_table(int outer, uint32_t slot) {
  uint32_t id = 0;
  if (bpf_map_lookup_elem(outer, &slot, &id) != 0) return {};
  Descriptor map(bpf_map_get_fd_by_id(id));
  if (!map) throw system_error(errno, "a policy table cannot be opened");
  return map;
}

bool is_in_place(int outer, uint32_t slot, const Descriptor& table) {
  if (!table) return false;
  bpf_map_info info = {};
  uint32_t bytes = sizeof(info);
  uint32_t id = 0;
  return bpf_obj_get_info_by_fd(table.get(), &info, &bytes) == 0 &&
         bpf_map_lookup_elem(outer, &slot, &id) == 0 && id == info.id;
}

size_t capacity_of(int table) {
  bpf_map_info info = {};
  uint32_t bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(table, &info, &bytes) != 0)
    throw system_error(errno, "a policy table cannot be read");
  return info.max_entries;
}

void add_entry(TableDigest& digest, const void* key, size_t key_bytes, const void* value,
               size_t value_bytes) {
  constexpr uint64_t kOffset = 0xcbf29ce484222325U;
  constexpr uint64_t kPrime = 0x100000001b3U;
  uint64_t hash = kOffset;
  const auto add = [&](const void* bytes, size_t count) {
    for (size_t i = 0; i < count; i++) hash = (hash ^ static_cast<const uint8_t*>(bytes)[i]) * kPrime;
  };
  add(key, key_bytes);
  add(value, value_bytes);
  digest.entries++;
  digest.sum += hash;
}

std::optional<TableDigest> digest_of(int table, const TableKind& kind) {
  TableDigest digest;
  std::vector<uint8_t> key(kind.key_bytes);
  std::vector<uint8_t> next(kind.key_bytes);
  std::vector<uint8_t> value(kind.value_bytes);
  bool is_first = true;
  while (bpf_map_get_next_key(table, is_first ? nullptr : key.data(), next.data()) == 0) {
    if (digest.entries == kDigestMax) return std::nullopt;
    is_first = false;
    key.swap(next);
    // What goes away meanwhile is missed in the sum, as it should be.
    if (bpf_map_lookup_elem(table, key.data(), value.data()) != 0) continue;
    add_entry(digest, key.data(), kind.key_bytes, value.data(), kind.value_bytes);
  }
  return digest;
}

void store_entries(int table, const TableKind& kind, const void* keys, const void* values, size_t count) {
  const auto* key = static_cast<const uint8_t*>(keys);
  const auto* value = static_cast<const uint8_t*>(values);
  const size_t part = count / store_threads(kind, count) + 1;
  std::vector<std::future<void>> others;
  for (size_t first = part; first < count; first += part) {
    others.push_back(std::async(std::launch::async, store_part, table, std::cref(kind),
                                key + first * kind.key_bytes, value + first * kind.value_bytes,
                                std::min(part, count - first)));
  }
  store_part(table, kind, key, value, std::min(part, count));
  for (std::future<void>& each : others) each.get();
}

void remove_entries(int table, const TableKind& kind, const void* keys, size_t count) {
  const auto* key = static_cast<const uint8_t*>(keys);
  for (size_t done = 0; done < count; done++) {
    if (bpf_map_delete_elem(table, key + done * kind.key_bytes) != 0 && errno != ENOENT)
      throw fill_error(errno, kind);
  }
}

}  // namespace nest::xdp
