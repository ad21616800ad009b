// SPDX-License-Identifier: AGPL-3.0-only
// BPF objects that the packet tool loads: its own, and those of peers.
#pragma once

#include <bpf/libbpf.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/xdp/descriptor.h"

namespace nest::bench {

/// BENCH_HEADERS_MAX of bench_wrapper.bpf.c: packets that it writes are at least as long.
constexpr size_t kHeaderBytes = 96;

/// The program under test, as the data path pinned it.
xdp::Descriptor open_program(const std::string& pin_path);

struct ObjectClose {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using ObjectPointer = std::unique_ptr<bpf_object, ObjectClose>;

ObjectPointer open_object(const std::string& path);

/// Descriptor of a program of a loaded object; the object keeps it.
int program_of(const ObjectPointer& object, const char* name);

/// The map behind .rodata, .bss or .data.
bpf_map* section_of(const ObjectPointer& object, const char* section);

/// Where a global variable lies in its section.
size_t offset_of(const ObjectPointer& object, const char* section, const char* variable);

/// Read-only data of an object that is not loaded yet.
class Settings {
 public:
  explicit Settings(const ObjectPointer& object);

  void set(const char* variable, const void* value, size_t bytes);
  void set(const char* variable, uint32_t value) { set(variable, &value, sizeof(value)); }
  void set64(const char* variable, uint64_t value) { set(variable, &value, sizeof(value)); }

  /// Loads the object with these values.
  void load();

 private:
  const ObjectPointer& object_;
  std::vector<uint8_t> data_;
};

/// A program of the installed xdp-filter, loaded with random IPv4 addresses and those given (network order).
struct FilterPeer {
  ObjectPointer object;
  int program = -1;
};

/// `set`: "alw_all", "dny_ip" and so on, as the package names its objects. The program is -1 where xdp-filter
/// is not installed.
FilterPeer load_xdp_filter(const std::string& set, uint32_t random_addresses,
                           const std::vector<uint32_t>& addresses);

}  // namespace nest::bench
