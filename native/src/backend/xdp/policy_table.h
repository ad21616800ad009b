// SPDX-License-Identifier: AGPL-3.0-only
// One table of one slot: an inner map behind its map-in-map. It knows what it holds, so that loading the next
// policy costs what differs. Loading is for a slot that no packet reads; a failure leaves the table unknown,
// and the next load makes it anew.
#pragma once

#include <bpf/bpf.h>

#include <algorithm>
#include <future>
#include <optional>
#include <span>
#include <vector>

#include "backend/xdp/object.h"
#include "backend/xdp/policy_rows.h"

namespace nest::xdp {

/// The kind of an inner map, as bpf/lib/maps.h declares it.
struct TableKind {
  MapId outer;
  bpf_map_type type;
  uint32_t key_bytes;
  uint32_t value_bytes;
  uint32_t flags;
};

/// Work that was begun and must be over before the flip.
using Pending = std::vector<std::future<void>>;

/// Throws kTableFull or kSystem.
Descriptor create_table(const TableKind& kind, size_t capacity);
/// Puts a table behind its map-in-map. The kernel returns only when every packet that might use the one that
/// was there before is through: some ten milliseconds.
void place_table(int outer, uint32_t slot, int inner);
/// The table that is in place, or nothing.
Descriptor placed_table(int outer, uint32_t slot);
/// False when somebody has taken the table out of its place, or put another one there.
bool is_in_place(int outer, uint32_t slot, const Descriptor& table);
size_t capacity_of(int table);
Error fill_error(int error, const TableKind& kind);

/// Entries and the sum of their hashes: the same for the same entries in any order.
struct TableDigest {
  size_t entries = 0;
  uint64_t sum = 0;
  bool operator==(const TableDigest&) const = default;
};
/// Tables with more entries are not compared: changes would wait for it.
constexpr size_t kDigestMax = 65536;
void add_entry(TableDigest& digest, const void* key, size_t key_bytes, const void* value, size_t value_bytes);
/// Of what the kernel holds; nothing when there is more than kDigestMax.
std::optional<TableDigest> digest_of(int table, const TableKind& kind);

/// How a table of the policy in use stands.
enum class Intact { kYes, kNo, kTooLarge };

/// In batches, or one by one on kernels that have none for this kind of map.
void store_entries(int table, const TableKind& kind, const void* keys, const void* values, size_t count);
/// Entries that are not there are no failure.
void remove_entries(int table, const TableKind& kind, const void* keys, size_t count);

/// A hash or a trie.
template <typename Key, typename Value>
class KeyedTable {
 public:
  KeyedTable(const Loaded& loaded, const TableKind& kind, uint32_t slot)
      : outer_(loaded.map(kind.outer)), kind_(kind), slot_(slot) {}

  /// Makes the table hold exactly `rows`, with room for `room` more.
  void load(Rows<Key, Value> rows, size_t room, Pending& pending) {
    const bool was_known = std::exchange(is_known_, false) && is_in_place(outer_, slot_, map_);
    first_.reset();
    if (was_known && rows.size() + room <= capacity_) {
      const Difference<Key, Value> change = difference(rows_, rows);
      if (change.size() <= kChangeMin + rows.size() / kChangeShare) {
        remove_entries(map_.get(), kind_, change.removed.data(), change.removed.size());
        store(change.stored);
        rows_ = std::move(rows);
        is_known_ = true;
        return;
      }
    }
    rows_ = std::move(rows);
    capacity_ = rows_.size() + std::max(room, rows_.size() / kSpareShare + kSpareMin);
    pending.push_back(std::async(std::launch::async, [this] { make(); }));
  }

  /// The table that packets use, also when another process made it. Throws when there is none.
  int map() {
    if (!map_) map_ = placed_table(outer_, slot_);
    if (!map_) throw fill_error(ENOENT, kind_);
    return map_.get();
  }

  /// Beside packets that read. What is stored or removed counts in the next load.
  void change(const Rows<Key, Value>& stored, const std::vector<Key>& removed) {
    const int table = map();
    const bool was_known = std::exchange(is_known_, false);
    first_.reset();
    remove_entries(table, kind_, removed.data(), removed.size());
    store(stored);
    if (!was_known) return;
    for (const Key& key : removed) erase(key);
    for (size_t i = 0; i < stored.size(); i++) insert(stored.keys[i], stored.values[i]);
    is_known_ = true;
  }

  void forget() { is_known_ = false; }

  /// Against what this process has put there, else against the first time it looked.
  Intact intact() {
    const int table = map();
    if (!is_in_place(outer_, slot_, map_)) return Intact::kNo;
    if (is_known_ && rows_.size() > kDigestMax) return Intact::kTooLarge;
    const std::optional<TableDigest> now = digest_of(table, kind_);
    if (!now) return is_known_ ? Intact::kNo : Intact::kTooLarge;
    if (is_known_) {
      first_.reset();
      TableDigest wanted;
      for (size_t i = 0; i < rows_.size(); i++)
        add_entry(wanted, &rows_.keys[i], sizeof(Key), &rows_.values[i], sizeof(Value));
      return *now == wanted ? Intact::kYes : Intact::kNo;
    }
    if (!first_) first_ = now;
    return *now == *first_ ? Intact::kYes : Intact::kNo;
  }

 private:
  /// A change of this many entries, or of this share of the table, is not worth a table of its own.
  static constexpr size_t kChangeMin = 1024;
  static constexpr size_t kChangeShare = 4;
  /// Room that spares the next larger policies a table of their own.
  static constexpr size_t kSpareMin = 1024;
  static constexpr size_t kSpareShare = 16;

  void store(const Rows<Key, Value>& rows) {
    store_entries(map_.get(), kind_, rows.keys.data(), rows.values.data(), rows.size());
  }

  void make() {
    map_ = create_table(kind_, capacity_);
    // The slot is read by nobody: while the kernel waits for the readers of the old table, the new one fills.
    std::future<void> placing = std::async(std::launch::async, place_table, outer_, slot_, map_.get());
    store(rows_);
    placing.get();
    is_known_ = true;
  }

  size_t position_of(const Key& key) const {
    const auto found = std::lower_bound(rows_.keys.begin(), rows_.keys.end(), key,
                                        [](const Key& a, const Key& b) { return order_of(a, b) < 0; });
    return static_cast<size_t>(found - rows_.keys.begin());
  }
  bool is_at(size_t position, const Key& key) const {
    return position < rows_.size() && order_of(rows_.keys[position], key) == 0;
  }
  void erase(const Key& key) {
    const size_t position = position_of(key);
    if (!is_at(position, key)) return;
    rows_.keys.erase(rows_.keys.begin() + static_cast<ptrdiff_t>(position));
    rows_.values.erase(rows_.values.begin() + static_cast<ptrdiff_t>(position));
  }
  void insert(const Key& key, const Value& value) {
    const size_t position = position_of(key);
    if (is_at(position, key)) {
      rows_.values[position] = value;
      return;
    }
    rows_.keys.insert(rows_.keys.begin() + static_cast<ptrdiff_t>(position), key);
    rows_.values.insert(rows_.values.begin() + static_cast<ptrdiff_t>(position), value);
  }

  int outer_;
  TableKind kind_;
  uint32_t slot_;
  Descriptor map_;
  size_t capacity_ = 0;
  bool is_known_ = false;
  Rows<Key, Value> rows_;
  std::optional<TableDigest> first_;  // what an unknown table held when it was looked at first
};

/// An array whose memory is shared with the kernel. Its elements are multiples of eight bytes.
template <typename Value>
class ArrayTable {
  static_assert(sizeof(Value) % 8 == 0, "the kernel pads elements to eight bytes");

 public:
  ArrayTable(const Loaded& loaded, const TableKind& kind, uint32_t slot, const Value& filler)
      : outer_(loaded.map(kind.outer)), kind_(kind), slot_(slot), filler_(filler) {}

  /// At least `count` elements; those of `values` first, the filler behind them.
  void load(std::span<const Value> values, Pending& pending) {
    const size_t count = values.size();
    first_.reset();
    if (!is_in_place(outer_, slot_, map_) || count > capacity_)
      make(count + count / kSpareShare + kSpareMin, pending);
    std::ranges::copy(values, data());
    std::fill(data() + count, data() + capacity_, filler_);
  }

  /// The same without values: the caller writes them. True when all elements are new.
  bool reserve(size_t count, Pending& pending) {
    if (is_in_place(outer_, slot_, map_) && count <= capacity_) return false;
    make(count, pending);
    return true;
  }

  /// For a load that failed: what is in place is not known.
  void forget() { map_.reset(); }

  /// Against the first time it was looked at since the last load: for tables that nothing else writes.
  Intact intact() {
    const std::span<Value> now = elements();
    if (!is_in_place(outer_, slot_, map_)) return map_ ? Intact::kNo : Intact::kYes;
    if (now.size() > kDigestMax) return Intact::kTooLarge;
    TableDigest digest;
    for (size_t i = 0; i < now.size(); i++) add_entry(digest, &i, sizeof(i), &now[i], sizeof(Value));
    if (!first_) first_ = digest;
    return digest == *first_ ? Intact::kYes : Intact::kNo;
  }

  /// All elements, also when another process made the table; empty when there is none.
  std::span<Value> elements() {
    if (!map_) open();
    return {data(), capacity_};
  }

 private:
  static constexpr size_t kSpareMin = 64;
  static constexpr size_t kSpareShare = 8;

  Value* data() const { return static_cast<Value*>(memory_.address()); }

  void make(size_t capacity, Pending& pending) {
    map_.reset();
    Descriptor map = create_table(kind_, capacity);
    capacity_ = std::max<size_t>(capacity, 1);
    memory_ = Mapping(map.get(), capacity_ * sizeof(Value));
    pending.push_back(std::async(std::launch::async, place_table, outer_, slot_, map.get()));
    map_ = std::move(map);
  }

  void open() {
    map_ = placed_table(outer_, slot_);
    if (!map_) return;
    capacity_ = capacity_of(map_.get());
    memory_ = Mapping(map_.get(), capacity_ * sizeof(Value));
  }

  int outer_;
  TableKind kind_;
  uint32_t slot_;
  Value filler_;
  Descriptor map_;
  Mapping memory_;
  size_t capacity_ = 0;
  std::optional<TableDigest> first_;
};

}  // namespace nest::xdp
