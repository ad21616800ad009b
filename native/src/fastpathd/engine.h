// SPDX-License-Identifier: AGPL-3.0-only
// What an engine is to the daemon: lanes for the workers, and ports that come and go. All calls on the
// control thread; every operation throws Failure.
#pragma once

#include <functional>
#include <memory>

#include "fastpathd/lane.h"
#include "fastpathd/options.h"
#include "fastpathd/protocol.h"
#include "fastpathd/verdict.h"

namespace nest::fast {

/// Does something on a lane's worker thread, between two rounds, and waits for it.
using LaneCall = std::function<void(uint32_t lane, std::function<void()> work)>;

class Engine {
 public:
  virtual ~Engine() = default;
  virtual Lane& lane(uint32_t number) = 0;
  /// Opens the port and fills in its entry of the status page, at position `slot`.
  virtual void add(const PortOptions& port, uint32_t slot, const LaneCall& call) = 0;
  /// Packets that arrived at the port and were lost before a worker saw them.
  virtual uint64_t receive_lost(const std::string& name) const = 0;
  /// `is_detaching`: the packet program goes as well, else the fallback stays in place.
  virtual void remove(const std::string& name, bool is_detaching, const LaneCall& call) = 0;
};

/// Ports that the engine finds by itself when it starts (DPDK: those of the EAL arguments).
struct OpenedEngine {
  std::unique_ptr<Engine> engine;
  std::vector<PortOptions> ports;
};

/// The engine this executable was built for. `user` and `status` outlive it; `node` is where its memory goes.
OpenedEngine open_engine(const Options& options, nest_user* user, nest_fast_status& status, int node);

}  // namespace nest::fast
