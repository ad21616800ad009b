// SPDX-License-Identifier: AGPL-3.0-only
// What this host gives the engines: the answer to --probe. Nothing is attached, bound or changed.
#pragma once

#include <string>

#include "fastpathd/options.h"

namespace nest::fast {

struct EngineProbe {
  std::string engine;
  bool is_available = false;
  /// What is there, or what is missing and how to get it.
  std::string reason;
};

EngineProbe probe_af_xdp();

/// In nest-fastpathd: asks nest-fastpathd-dpdk beside it, and says so when there is none. In
/// nest-fastpathd-dpdk: looks for huge pages, drivers, devices and privileges.
EngineProbe probe_dpdk(const std::string& sysfs);

/// Of both engines and the interfaces named, as a JSON object.
std::string probe(const Options& options);

}  // namespace nest::fast
