// SPDX-License-Identifier: AGPL-3.0-only
// What a policy table holds, in the order of its image, and what turns one table into another.
#pragma once

#include <nest/abi.h>
#include <nest/image.h>

#include <cstring>
#include <span>
#include <tuple>
#include <vector>

namespace nest::xdp {

/// Keys and values side by side, as the kernel's batches want them. Sorted by order_of.
template <typename Key, typename Value>
struct Rows {
  std::vector<Key> keys;
  std::vector<Value> values;

  size_t size() const { return keys.size(); }
  void reserve(size_t count) {
    keys.reserve(count);
    values.reserve(count);
  }
  void add(const Key& key, const Value& value) {
    keys.push_back(key);
    values.push_back(value);
  }
};

/// An address as a key of its own.
template <size_t Bytes>
struct Address {
  uint8_t bytes[Bytes];
};
using Address4 = Address<4>;
using Address6 = Address<16>;

template <size_t Bytes>
int order_of(const Address<Bytes>& left, const Address<Bytes>& right) {
  return std::memcmp(left.bytes, right.bytes, Bytes);
}

template <typename Prefix>
int order_of_prefixes(const Prefix& left, const Prefix& right) {
  const int order = std::memcmp(left.address, right.address, sizeof(left.address));
  if (order != 0) return order;
  return left.length < right.length ? -1 : static_cast<int>(left.length > right.length);
}
inline int order_of(const nest_prefix4& left, const nest_prefix4& right) {
  return order_of_prefixes(left, right);
}
inline int order_of(const nest_prefix6& left, const nest_prefix6& right) {
  return order_of_prefixes(left, right);
}

inline int order_of(const nest_pair& left, const nest_pair& right) {
  const auto fields = [](const nest_pair& pair) { return std::tie(pair.source, pair.destination, pair.l4); };
  if (fields(left) < fields(right)) return -1;
  return static_cast<int>(fields(right) < fields(left));
}

inline int order_of(const nest_backend_key& left, const nest_backend_key& right) {
  return std::memcmp(&left, &right, sizeof(left));
}

template <typename Key, typename Value>
struct Difference {
  std::vector<Key> removed;
  Rows<Key, Value> stored;  // new, or with another value

  size_t size() const { return removed.size() + stored.size(); }
};

/// What makes `from` equal to `to`.
template <typename Key, typename Value>
Difference<Key, Value> difference(const Rows<Key, Value>& from, const Rows<Key, Value>& to) {
  Difference<Key, Value> found;
  size_t i = 0;
  size_t j = 0;
  while (i < from.size() || j < to.size()) {
    int order = 0;
    if (i == from.size()) {
      order = 1;
    } else if (j == to.size()) {
      order = -1;
    } else {
      order = order_of(from.keys[i], to.keys[j]);
    }
    if (order < 0) {
      found.removed.push_back(from.keys[i++]);
      continue;
    }
    const bool is_equal = order == 0 && std::memcmp(&from.values[i], &to.values[j], sizeof(Value)) == 0;
    if (!is_equal) found.stored.add(to.keys[j], to.values[j]);
    if (order == 0) i++;
    j++;
  }
  return found;
}

}  // namespace nest::xdp
