// SPDX-License-Identifier: AGPL-3.0-only
// nest_xdp.bpf.o: opened, compared with what is pinned, or loaded into the kernel.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "backend/xdp/descriptor.h"

struct bpf_object;

namespace nest::xdp {

/// The maps of bpf/lib/maps.h.
enum MapId : size_t {
  kControl,
  kIdentities4,
  kIdentities6,
  kPairs,
  kPorts,
  kActions,
  kDeny4,
  kDeny6,
  kDenyPrefixes4,
  kDenyPrefixes6,
  kBalancers,
  kBackends,
  kBackendIndex,
  kRings,
  kFlows4,
  kFlows6,
  kFragments,
  kInterfaceSlots,
  kInterfaceCounters,
  kMappingCounters,
  kLimitCounters,
  kDenyCounters,
  kBackendCounters,
  kBuckets,
  kSources,
  kStats,
  kInterfaceAddresses,
  kTxPorts,
  kRecords,
  kLosses,
  // These hold nothing that outlives a program: an upgrade makes them anew.
  kTraceMore,
  kTail,
  kScratch,
  kReadOnly,
  kMapCount,
};

constexpr bool is_of_programs(size_t map) {
  return map >= kTraceMore;
}

/// Name in the object and in the pin folder.
extern const std::array<const char*, kMapCount> kMapNames;

/// The program that is attached, then the stages of bpf/lib/scratch.h: nest_tail holds them in this order.
constexpr size_t kEntry = 0;
constexpr size_t kJudge = 1;
constexpr size_t kProgramCount = 8;
extern const std::array<const char*, kProgramCount> kProgramNames;

/// Everything of the data path that lives in the kernel.
struct Loaded {
  std::array<Descriptor, kMapCount> maps;
  std::array<Descriptor, kProgramCount> programs;  // empty where the object has none
  uint64_t trace_magic = 0;
  uint32_t program_id = 0;

  int map(MapId id) const { return maps[id].get(); }
  int program(size_t id) const { return programs[id].get(); }
};

class Object {
 public:
  /// Opens the file without touching the kernel.
  explicit Object(const std::string& path);

  /// Loads maps and programs; a fresh trace magic is drawn. Throws kVerifierRejected with the verifier's last
  /// lines.
  Loaded load();

  /// Completes what was found pinned; false when its programs are of another build. Throws kPinIncompatible
  /// when its maps are.
  bool accept(Loaded& found) const;

  /// This object's programs on the maps of `found`, which goes on working.
  Loaded upgrade(const Loaded& found);

 private:
  struct Close {
    void operator()(bpf_object* object) const;
  };

  void find_read_only();
  uint64_t fingerprint() const;
  void set_read_only(uint64_t trace_magic);
  Loaded load_programs();

  std::string path_;
  std::unique_ptr<bpf_object, Close> object_;
  size_t magic_offset_ = 0;
  size_t fingerprint_offset_ = 0;
  size_t lanes_offset_ = 0;
  size_t read_only_bytes_ = 0;
  uint64_t fingerprint_ = 0;
};

}  // namespace nest::xdp
