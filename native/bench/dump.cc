// SPDX-License-Identifier: AGPL-3.0-only
// `dump`: what a map holds, or of a policy table that of the slot in use. `memory`: what all maps take.
#include <bpf/bpf.h>
#include <nest/abi.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>

#include "arguments.h"
#include "backend/xdp/descriptor.h"
#include "commands.h"

namespace nest::bench {
namespace {

using xdp::Descriptor;

constexpr uint32_t kEntriesMax = 4u << 20;

Descriptor open_pin(const std::string& path) {
  Descriptor map(bpf_obj_get(path.c_str()));
  if (!map) fail(path);
  return map;
}

bpf_map_info info_of(int map) {
  bpf_map_info info = {};
  uint32_t bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(map, &info, &bytes) != 0) fail("map info");
  return info;
}

Descriptor open_table(const std::string& maps, const std::string& name) {
  const Descriptor control = open_pin(maps + "nest_control");
  uint32_t key = 0;
  nest_control word = {};
  if (bpf_map_lookup_elem(control.get(), &key, &word) != 0) fail("nest_control");
  Descriptor outer = open_pin(maps + name);
  if (info_of(outer.get()).type != BPF_MAP_TYPE_ARRAY_OF_MAPS) return outer;
  const uint32_t slot = word.sequence & 1;
  uint32_t id = 0;
  if (bpf_map_lookup_elem(outer.get(), &slot, &id) != 0) fail("the slot in use of " + name);
  Descriptor table(bpf_map_get_fd_by_id(id));
  if (!table) fail(name);
  return table;
}

/// What the kernel accounts for the map behind a descriptor of this process, in bytes.
uint64_t memory_of(int map) {
  std::ifstream facts("/proc/self/fdinfo/" + std::to_string(map));
  for (std::string word; facts >> word;) {
    uint64_t bytes = 0;
    if (word == "memlock:" && facts >> bytes) return bytes;
  }
  throw std::runtime_error("the kernel does not say what a map takes");
}

std::string hex(const std::vector<uint8_t>& bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", byte);
    text += digits;
  }
  return text;
}

}  // namespace

void dump(const std::vector<std::string>& words) {
  const Arguments arguments(words, {"pin-path", "table"});
  const Descriptor table = open_table(arguments.text("pin-path") + "/maps/", arguments.text("table"));
  const bpf_map_info info = info_of(table.get());
  std::vector<std::string> rows;
  std::vector<uint8_t> key(info.key_size);
  std::vector<uint8_t> next(info.key_size);
  std::vector<uint8_t> value(info.value_size);
  bool is_first = true;
  while (rows.size() < kEntriesMax &&
         bpf_map_get_next_key(table.get(), is_first ? nullptr : key.data(), next.data()) == 0) {
    key = next;
    is_first = false;
    if (bpf_map_lookup_elem(table.get(), key.data(), value.data()) == 0)
      rows.push_back(hex(key) + ":" + hex(value));
  }
  std::sort(rows.begin(), rows.end());
  std::printf("[");
  for (const std::string& row : rows) std::printf("%s\"%s\"", &row == &rows.front() ? "" : ",", row.c_str());
  std::printf("]\n");
}

void memory(const std::vector<std::string>& words) {
  const Arguments arguments(words, {"pin-path"});
  std::set<uint32_t> seen;
  uint64_t bytes = 0;
  const auto add = [&](const Descriptor& map) {
    if (seen.insert(info_of(map.get()).id).second) bytes += memory_of(map.get());
  };
  for (const auto& entry : std::filesystem::directory_iterator(arguments.text("pin-path") + "/maps")) {
    const Descriptor map = open_pin(entry.path());
    add(map);
    const bpf_map_info info = info_of(map.get());
    if (info.type != BPF_MAP_TYPE_ARRAY_OF_MAPS) continue;
    for (uint32_t slot = 0; slot < info.max_entries; slot++) {
      uint32_t id = 0;
      if (bpf_map_lookup_elem(map.get(), &slot, &id) != 0) continue;
      const Descriptor inner(bpf_map_get_fd_by_id(id));
      if (inner) add(inner);
    }
  }
  std::printf("{\"maps\":%zu,\"bytes\":%llu}\n", seen.size(), static_cast<unsigned long long>(bytes));
}

}  // namespace nest::bench
