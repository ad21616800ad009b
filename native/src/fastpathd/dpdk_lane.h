// SPDX-License-Identifier: AGPL-3.0-only
// A lane of DPDK queues: bursts of 32, run to completion. All calls but wake() on the worker's thread, or
// before there is one.
#pragma once

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "fastpathd/lane.h"
#include "fastpathd/options.h"
#include "fastpathd/tap.h"

namespace nest::fast {

constexpr uint16_t kDpdkBurst = 32;

/// One receive and one send queue of one port.
struct DpdkPort {
  PortPolicy policy;
  uint16_t number = 0;
  rte_mempool* pool = nullptr;
  /// The host's stack; none unless pass is kernel.
  std::shared_ptr<const Tap> tap;
  DpdkPort* peer = nullptr;
  std::array<rte_mbuf*, 2 * kDpdkBurst> out = {};
  uint16_t out_count = 0;
};

class DpdkLane : public Lane {
 public:
  DpdkLane(nest_user* user, uint32_t number, const std::optional<BenchOptions>& bench);

  void enter() override;
  void leave() override;
  bool round(uint64_t now_ns) override;
  void wait(int milliseconds) override;
  void wake() override {}

  void add(DpdkPort* port);
  void remove(DpdkPort* port);

 private:
  bool receive(DpdkPort& port, uint64_t now_ns);
  bool receive_from_host(DpdkPort& port);
  void handle(DpdkPort& port, rte_mbuf* packet, uint64_t now_ns);
  void send(DpdkPort& through, rte_mbuf* packet);
  void flush(DpdkPort& port);
  void overwrite(rte_mbuf* packet);
  nest_user_frame frame_of(const DpdkPort& port, rte_mbuf* packet) const;
  DpdkPort* port_of(const DpdkPort& from, uint32_t interface) const;
  void link_peers();

  nest_user* user_;
  uint32_t number_;
  std::optional<BenchOptions> bench_;
  uint32_t bench_sequence_ = 0;
  uint32_t rounds_to_host_ = 0;
  std::vector<DpdkPort*> ports_;
};

}  // namespace nest::fast
