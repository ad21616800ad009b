// SPDX-License-Identifier: AGPL-3.0-only
// The command line of nest-fastpathd.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fastpathd/protocol.h"

namespace nest::fast {

enum class EngineKind { kAfXdp, kDpdk };

struct PortOptions {
  std::string name;
  /// One per lane, in the order of the lanes.
  std::vector<uint32_t> queues;
  uint32_t pass = NEST_FAST_PASS_KERNEL;
  std::string peer;
  uint32_t fallback = NEST_FAST_FALLBACK_PASS;
  /// Of the program that the fallback xdp runs; empty otherwise.
  std::string program;
};

enum class CopyMode { kAutomatic, kCopy, kZeroCopy };

/// Packets made inside the process, for measuring: each received packet is overwritten before it is judged.
struct BenchOptions {
  std::vector<uint8_t> pattern;
  uint32_t vary_offset = 0;
  /// A power of two.
  uint32_t flows = 1;
};

struct Options {
  enum class Command { kRun, kHelp, kProbe, kProbeDpdk, kVirtualFunctions };

  Command command = Command::kRun;
  EngineKind engine = EngineKind::kAfXdp;
  std::vector<PortOptions> ports;
  /// A lane is a worker thread pinned to one of these.
  std::vector<uint32_t> processors;
  std::vector<std::string> eal;
  /// Packets per busy poll; 0: off.
  uint32_t busy_poll = 0;
  bool is_spinning = false;
  std::string control_path;
  std::string pin_path;
  std::string object_path;
  std::string image_path;
  CopyMode copy_mode = CopyMode::kAutomatic;
  uint32_t frame_bytes = 2048;
  /// Of each worker (AF_XDP), or of each NUMA node (DPDK).
  uint32_t frames = 32768;
  /// 0: until stopped.
  uint32_t seconds = 0;
  std::optional<BenchOptions> bench;
  std::string sysfs = "/sys";
  /// --virtual-functions: the device, and how many to set.
  std::string device;
  std::optional<uint32_t> device_functions;
};

/// Throws Failure (USAGE) with what is wrong; `engine` is what this executable was built for.
Options parse_options(const std::vector<std::string>& words, EngineKind engine);

/// One port, of --interface, --pass and --fallback. Throws Failure (USAGE).
PortOptions parse_port(const std::vector<std::string>& words);

/// The text of --help.
const char* usage();

/// Throws Failure (USAGE) when EAL argument `word` is not on the list of those that are allowed.
void check_eal_argument(const std::string& word);

}  // namespace nest::fast
