// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/object.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <nest/abi.h>
#include <sys/random.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

#include "backend/xdp/log_capture.h"

namespace nest::xdp {

const std::array<const char*, kMapCount> kMapNames = {
    "nest_control",    "nest_ident4",     "nest_ident6",   "nest_pairs",     "nest_ports",
    "nest_actions",    "nest_deny4",      "nest_deny6",    "nest_deny_pfx4", "nest_deny_pfx6",
    "nest_balancers",  "nest_backends",   "nest_be_index", "nest_rings",     "nest_flows4",
    "nest_flows6",     "nest_frags",      "nest_if_slot",  "nest_if_count",  "nest_map_count",
    "nest_lim_count",  "nest_deny_count", "nest_be_count", "nest_buckets",   "nest_sources",
    "nest_stats",      "nest_if_addr",    "nest_tx_ports", "nest_records",   "nest_losses",
    "nest_trace_more", "nest_tail",       "nest_scratch",  "nest_rodata",
};

const std::array<const char*, kProgramCount> kProgramNames = {"nest_xdp",   "nest_judge",    "nest_rule",
                                                              "nest_begin", "nest_continue", "nest_related",
                                                              "nest_send",  "nest_too_big"};

namespace {

constexpr size_t kVerifierLines = 40;

class Fnv1a {
 public:
  void add(const void* data, size_t bytes) {
    const auto* byte = static_cast<const uint8_t*>(data);
    for (size_t i = 0; i < bytes; i++) hash_ = (hash_ ^ byte[i]) * 0x100000001b3ull;
  }
  void add(uint64_t number) { add(&number, sizeof(number)); }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325ull;
};

void check_kernel() {
  utsname name = {};
  int major = 0;
  int minor = 0;
  if (uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return;
  if (major > 5 || (major == 5 && minor >= 15)) return;
  throw Error(Code::kKernelTooOld,
              std::string("this kernel is ") + name.release + "; the packet engine needs 5.15",
              "update the kernel of this host to 5.15 or newer");
}

Error load_error(int error, const LogCapture& log) {
  if (log.has_verifier_log()) {
    return Error(
        Code::kVerifierRejected, "the kernel's verifier rejected the packet program",
        "report the verifier's lines with the kernel version; until then run an older kernel or agent",
        log.tail(kVerifierLines));
  }
  Error failure = system_error(error, "the packet program cannot be loaded");
  failure.verifier_log = log.tail(kVerifierLines);
  return failure;
}

bpf_map* find_map(bpf_object* object, MapId id) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    const std::string_view name = bpf_map__name(map);
    if (id == kReadOnly ? name.ends_with(".rodata") : name == kMapNames[id]) return map;
  }
  throw Error(Code::kSystem, std::string("the object file has no map ") + kMapNames[id],
              "build the packet program again (npm run build)");
}

/// Null for a tail program that this object does without.
bpf_program* find_program(bpf_object* object, size_t id) {
  bpf_program* program = bpf_object__find_program_by_name(object, kProgramNames[id]);
  if (program != nullptr || id > kJudge) return program;
  throw Error(Code::kSystem, std::string("the object file has no program ") + kProgramNames[id],
              "build the packet program again (npm run build)");
}

bpf_map_info map_info(int map) {
  bpf_map_info info = {};
  uint32_t bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(map, &info, &bytes) != 0)
    throw system_error(errno, "a pinned map cannot be read");
  return info;
}

Error incompatible(const std::string& what) {
  return Error(Code::kPinIncompatible, "the pinned data path belongs to another build of Nest: " + what,
               "stop the agent, remove the pin folder, and start the agent again; until then the old policy "
               "stays in force");
}

}  // namespace

void Object::Close::operator()(bpf_object* object) const {
  bpf_object__close(object);
}

Object::Object(const std::string& path) : path_(path) {
  const LogCapture log;
  object_.reset(bpf_object__open_file(path.c_str(), nullptr));
  if (object_ == nullptr) {
    const int error = errno;
    throw Error(Code::kSystem, "the packet program " + path + " cannot be opened: " + std::strerror(error),
                "build it (npm run build), or install the agent again");
  }
  if (bpf_map__max_entries(find_map(object_.get(), kTail)) != kProgramCount - 1) {
    throw Error(Code::kSystem, path + " has other stages than this addon knows",
                "build both again (npm run build)");
  }
  find_read_only();
  fingerprint_ = fingerprint();  // now: loading relocates the instructions
}

void Object::find_read_only() {
  size_t bytes = 0;
  if (bpf_map__initial_value(find_map(object_.get(), kReadOnly), &bytes) == nullptr) {
    throw Error(Code::kSystem, path_ + " has no read-only data",
                "build the packet program again (npm run build)");
  }
  read_only_bytes_ = bytes;
  const btf* types = bpf_object__btf(object_.get());
  const int section = types == nullptr ? -1 : btf__find_by_name_kind(types, ".rodata", BTF_KIND_DATASEC);
  int found = 0;
  if (section > 0) {
    const btf_type* type = btf__type_by_id(types, static_cast<uint32_t>(section));
    const btf_var_secinfo* variable = btf_var_secinfos(type);
    for (int i = 0; i < btf_vlen(type); i++, variable++) {
      const btf_type* variable_type = btf__type_by_id(types, variable->type);
      const std::string_view name = btf__name_by_offset(types, variable_type->name_off);
      for (const auto& [wanted, offset] :
           {std::pair<std::string_view, size_t*>{"nest_trace_magic", &magic_offset_},
            {"nest_fingerprint", &fingerprint_offset_},
            {"nest_lanes", &lanes_offset_}}) {
        if (name != wanted) continue;
        *offset = variable->offset;
        found++;
      }
    }
  }
  if (found != 3) {
    throw Error(Code::kSystem, path_ + " lacks nest_trace_magic, nest_fingerprint or nest_lanes",
                "build the packet program again (npm run build)");
  }
}

/// Over the instructions before relocation and the shape of the maps: equal for equal sources and compilers.
uint64_t Object::fingerprint() const {
  Fnv1a hash;
  for (size_t id = 0; id < kProgramCount; id++) {
    const bpf_program* program = find_program(object_.get(), id);
    if (program == nullptr) continue;
    hash.add(bpf_program__insns(program), bpf_program__insn_cnt(program) * sizeof(bpf_insn));
  }
  for (size_t id = 0; id < kMapCount; id++) {
    const bpf_map* map = find_map(object_.get(), static_cast<MapId>(id));
    hash.add(bpf_map__type(map));
    hash.add(bpf_map__key_size(map));
    hash.add(bpf_map__value_size(map));
    hash.add(bpf_map__max_entries(map));
    hash.add(bpf_map__map_flags(map));
  }
  return hash.value();
}

void Object::set_read_only(uint64_t trace_magic) {
  bpf_map* read_only = find_map(object_.get(), kReadOnly);
  size_t bytes = 0;
  const auto* initial = static_cast<const uint8_t*>(bpf_map__initial_value(read_only, &bytes));
  std::vector<uint8_t> data(initial, initial + bytes);
  std::memcpy(data.data() + magic_offset_, &trace_magic, sizeof(trace_magic));
  std::memcpy(data.data() + fingerprint_offset_, &fingerprint_, sizeof(fingerprint_));
  // CPUs share the ports of source NAT.
  const auto lanes = static_cast<uint32_t>(std::max(libbpf_num_possible_cpus(), 1));
  std::memcpy(data.data() + lanes_offset_, &lanes, sizeof(lanes));
  if (bpf_map__set_initial_value(read_only, data.data(), data.size()) != 0)
    throw system_error(errno, "read-only data cannot be set");
}

Loaded Object::load() {
  check_kernel();
  return load_programs();
}

Loaded Object::upgrade(const Loaded& found) {
  for (size_t id = 0; id < kMapCount; id++) {
    if (is_of_programs(id)) continue;
    const int result =
        bpf_map__reuse_fd(find_map(object_.get(), static_cast<MapId>(id)), found.maps[id].get());
    if (result != 0)
      throw system_error(-result, std::string("map ") + kMapNames[id] + " cannot be taken over");
  }
  return load_programs();
}

Loaded Object::load_programs() {
  uint64_t magic = 0;
  if (getrandom(&magic, sizeof(magic), 0) != sizeof(magic)) throw system_error(errno, "no random number");
  set_read_only(std::max<uint64_t>(magic, 1));

  const LogCapture log;
  const int result = bpf_object__load(object_.get());
  if (result != 0) throw load_error(-result, log);
  Loaded loaded;
  for (size_t id = 0; id < kMapCount; id++) {
    loaded.maps[id] = Descriptor::duplicate(bpf_map__fd(find_map(object_.get(), static_cast<MapId>(id))));
  }
  for (size_t id = 0; id < kProgramCount; id++) {
    const bpf_program* program = find_program(object_.get(), id);
    if (program == nullptr) continue;
    loaded.programs[id] = Descriptor::duplicate(bpf_program__fd(program));
    if (id == kEntry) continue;
    const auto place = static_cast<uint32_t>(id - kJudge);
    const int descriptor = loaded.program(id);
    if (bpf_map_update_elem(loaded.map(kTail), &place, &descriptor, BPF_ANY) != 0)
      throw system_error(errno, "a program cannot be linked to the first");
  }
  accept(loaded);
  return loaded;
}

bool Object::accept(Loaded& found) const {
  for (size_t id = 0; id < kMapCount; id++) {
    if (is_of_programs(id)) continue;
    const bpf_map* map = find_map(object_.get(), static_cast<MapId>(id));
    const bpf_map_info info = map_info(found.maps[id].get());
    if (info.type != static_cast<uint32_t>(bpf_map__type(map)) || info.key_size != bpf_map__key_size(map) ||
        info.value_size != bpf_map__value_size(map) || info.max_entries != bpf_map__max_entries(map)) {
      throw incompatible(std::string("map ") + kMapNames[id] + " has another shape");
    }
  }
  bpf_prog_info program = {};
  uint32_t bytes = sizeof(program);
  if (bpf_obj_get_info_by_fd(found.program(kEntry), &program, &bytes) != 0)
    throw system_error(errno, "the pinned program cannot be read");
  found.program_id = program.id;

  // Another build may have laid its read-only data out in another way: only that of this build is understood.
  if (map_info(found.map(kReadOnly)).value_size != read_only_bytes_) return false;
  std::vector<uint8_t> data(read_only_bytes_);
  const uint32_t key = 0;
  if (bpf_map_lookup_elem(found.map(kReadOnly), &key, data.data()) != 0)
    throw system_error(errno, "read-only data cannot be read");
  uint64_t print = 0;
  std::memcpy(&print, data.data() + fingerprint_offset_, sizeof(print));
  std::memcpy(&found.trace_magic, data.data() + magic_offset_, sizeof(found.trace_magic));
  return print == fingerprint_;
}

}  // namespace nest::xdp
