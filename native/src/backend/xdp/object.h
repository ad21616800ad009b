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

/// The maps of bpf/lib/runtime.h, in this order.
enum MapId : size_t {
  kControl,
  kIdentities4,
  kIdentities6,
  kPairs,
  kPorts,
  kFlows4,
  kFlows6,
  kFragments,
  kInterfaceSlots,
  kInterfaceCounters,
  kMappingCounters,
  kRecords,
  kLosses,
  kTail,
  kScratch,
  kReadOnly,
  kMapCount,
};

/// Name in the object and in the pin folder.
extern const std::array<const char*, kMapCount> kMapNames;

enum ProgramId : size_t { kEntry, kJudge, kProgramCount };
extern const std::array<const char*, kProgramCount> kProgramNames;

/// Everything of the data path that lives in the kernel.
struct Loaded {
  std::array<Descriptor, kMapCount> maps;
  std::array<Descriptor, kProgramCount> programs;
  uint64_t trace_magic = 0;
  uint32_t program_id = 0;

  int map(MapId id) const { return maps[id].get(); }
  int program(ProgramId id) const { return programs[id].get(); }
};

class Object {
 public:
  /// Opens the file without touching the kernel.
  explicit Object(const std::string& path);

  /// Loads maps and programs; a fresh trace magic is drawn. Throws kVerifierRejected with the verifier's last
  /// lines.
  Loaded load();

  /// Completes what was found pinned. Throws kPinIncompatible when it is not this object.
  void accept(Loaded& found) const;

 private:
  struct Close {
    void operator()(bpf_object* object) const;
  };

  void find_read_only();
  uint64_t fingerprint() const;

  std::string path_;
  std::unique_ptr<bpf_object, Close> object_;
  size_t magic_offset_ = 0;
  size_t fingerprint_offset_ = 0;
  size_t read_only_bytes_ = 0;
  uint64_t fingerprint_ = 0;
};

}  // namespace nest::xdp
