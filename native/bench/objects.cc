// SPDX-License-Identifier: AGPL-3.0-only
#include "objects.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include <cstring>
#include <random>
#include <stdexcept>
#include <system_error>

#include "commands.h"

namespace nest::bench {
namespace {

/// Where the distribution puts the objects of libxdp and xdp-tools.
constexpr const char* kFilterFolders[] = {"/usr/lib/x86_64-linux-gnu/bpf/", "/usr/lib/aarch64-linux-gnu/bpf/",
                                          "/usr/lib64/bpf/", "/usr/lib/bpf/"};
/// xdp-filter's marks of an address: of the source, of the destination.
constexpr uint64_t kFilterBothWays = 3;
/// Same addresses in every run.
constexpr uint32_t kFilterSeed = 7;

}  // namespace

xdp::Descriptor open_program(const std::string& pin_path) {
  const std::string path = pin_path + "/programs/nest_xdp";
  xdp::Descriptor program(bpf_obj_get(path.c_str()));
  if (!program) fail(path);
  return program;
}

ObjectPointer open_object(const std::string& path) {
  ObjectPointer object(bpf_object__open_file(path.c_str(), nullptr));
  if (object == nullptr) fail(path);
  return object;
}

int program_of(const ObjectPointer& object, const char* name) {
  const bpf_program* program = bpf_object__find_program_by_name(object.get(), name);
  if (program == nullptr) throw std::invalid_argument(std::string("the object has no program ") + name);
  return bpf_program__fd(program);
}

bpf_map* section_of(const ObjectPointer& object, const char* section) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object.get()) {
    if (std::string(bpf_map__name(map)).ends_with(section)) return map;
  }
  throw std::invalid_argument(std::string("the object has no section ") + section);
}

size_t offset_of(const ObjectPointer& object, const char* section, const char* variable) {
  const btf* types = bpf_object__btf(object.get());
  const int id = btf__find_by_name_kind(types, section, BTF_KIND_DATASEC);
  if (id > 0) {
    const btf_type* type = btf__type_by_id(types, static_cast<uint32_t>(id));
    const btf_var_secinfo* entries = btf_var_secinfos(type);
    for (int i = 0; i < btf_vlen(type); i++) {
      const btf_type* entry = btf__type_by_id(types, entries[i].type);
      if (std::strcmp(btf__name_by_offset(types, entry->name_off), variable) == 0) return entries[i].offset;
    }
  }
  throw std::invalid_argument(std::string("the object has no variable ") + variable);
}

Settings::Settings(const ObjectPointer& object) : object_(object) {
  size_t bytes = 0;
  const auto* initial =
      static_cast<const uint8_t*>(bpf_map__initial_value(section_of(object, ".rodata"), &bytes));
  data_.assign(initial, initial + bytes);
}

void Settings::set(const char* variable, const void* value, size_t bytes) {
  std::memcpy(data_.data() + offset_of(object_, ".rodata", variable), value, bytes);
}

void Settings::load() {
  if (bpf_map__set_initial_value(section_of(object_, ".rodata"), data_.data(), data_.size()) != 0)
    fail("read-only data");
  const int result = bpf_object__load(object_.get());
  if (result != 0) throw std::system_error(-result, std::generic_category(), "load");
}

FilterPeer load_xdp_filter(const std::string& set, uint32_t random_addresses,
                           const std::vector<uint32_t>& addresses) {
  FilterPeer peer;
  for (const char* folder : kFilterFolders) {
    const std::string path = folder + ("xdpfilt_" + set + ".o");
    peer.object.reset(bpf_object__open_file(path.c_str(), nullptr));
    if (peer.object != nullptr) break;
  }
  if (peer.object == nullptr) return peer;
  bpf_map* map = nullptr;
  // The package pins its maps; a measurement leaves nothing behind.
  bpf_object__for_each_map(map, peer.object.get()) bpf_map__set_pin_path(map, nullptr);
  const int result = bpf_object__load(peer.object.get());
  if (result != 0) throw std::system_error(-result, std::generic_category(), "load of xdp-filter");
  const int table = bpf_object__find_map_fd_by_name(peer.object.get(), "filter_ipv4");
  if (table < 0) throw std::invalid_argument("xdp-filter's " + set + " knows no IPv4 addresses");
  const std::vector<uint64_t> marks(static_cast<size_t>(libbpf_num_possible_cpus()), kFilterBothWays);
  const auto put = [&](uint32_t address) {
    if (bpf_map_update_elem(table, &address, marks.data(), BPF_ANY) != 0) fail("address of xdp-filter");
  };
  for (const uint32_t address : addresses) put(address);
  std::mt19937 random(kFilterSeed);
  // 198.18.0.0/15 is what packets are made of: those that are meant are named.
  for (uint32_t done = static_cast<uint32_t>(addresses.size()); done < random_addresses;) {
    const auto address = static_cast<uint32_t>(random());
    const uint8_t first = static_cast<uint8_t>(address);
    const uint8_t second = static_cast<uint8_t>(address >> 8);
    if (first == 198 && (second == 18 || second == 19)) continue;
    put(address);
    done++;
  }
  peer.program = bpf_program__fd(bpf_object__next_program(peer.object.get(), nullptr));
  return peer;
}

}  // namespace nest::bench
