// SPDX-License-Identifier: AGPL-3.0-only
// What one worker thread does: take packets from the ports of one lane, have them judged, send them on. A
// packet never changes the lane, so lanes share nothing but the tables.
#pragma once

#include <cstdint>
#include <string>

#include "fastpathd/options.h"
#include "fastpathd/protocol.h"
#include "fastpathd/verdict.h"

namespace nest::fast {

class Lane {
 public:
  virtual ~Lane() = default;
  /// On the worker's own thread, before the first and after the last round.
  virtual void enter() {}
  virtual void leave() {}
  /// Handles what is there, at most one burst of each port; returns false when there was nothing to do.
  virtual bool round(uint64_t now_ns) = 0;
  /// Returns when packets are there, after wake(), or when the time is over.
  virtual void wait(int milliseconds) = 0;
  /// From any thread.
  virtual void wake() = 0;
};

/// What becomes of a judged packet, whatever memory it lies in.
enum class Fate { kDrop, kKernel, kSend, kElsewhere };

/// Of one port in one lane.
struct PortPolicy {
  std::string name;
  uint32_t interface = 0;
  uint32_t pass = NEST_FAST_PASS_KERNEL;
  std::string peer;
  nest_fast_counters* counters = nullptr;
};

/// Counts one received packet and says what becomes of it. kSend: out of the same port; kElsewhere: out of
/// `to`, where 0 means the port's peer. The frame's bounds are then those of the packet to send.
inline Fate settle(nest_user* user, uint32_t lane, const PortPolicy& port, nest_user_frame& frame,
                   uint64_t now_ns, uint32_t& to) {
  nest_fast_counters& counters = *port.counters;
  counters.received_packets++;
  counters.received_bytes += static_cast<uint64_t>(frame.end - frame.start);
  const nest_user_verdict verdict = nest_user_judge(user, lane, &frame, now_ns);
  switch (verdict.action) {
    case NEST_USER_TX:
      return Fate::kSend;
    case NEST_USER_REDIRECT:
      to = verdict.interface;
      return Fate::kElsewhere;
    case NEST_USER_PASS:
      break;
    default:
      counters.denied++;
      return Fate::kDrop;
  }
  counters.passed++;
  if (port.pass == NEST_FAST_PASS_KERNEL) return Fate::kKernel;
  if (port.pass == NEST_FAST_PASS_PEER) {
    to = 0;
    return Fate::kElsewhere;
  }
  // A frame without two addresses was dropped by the verdict; one that it lets pass without a policy may be
  // short.
  if (frame.end - frame.start < 12) return Fate::kDrop;
  uint8_t swap[6];
  __builtin_memcpy(swap, frame.start, 6);
  __builtin_memcpy(frame.start, frame.start + 6, 6);
  __builtin_memcpy(frame.start + 6, swap, 6);
  return Fate::kSend;
}

inline void count_sent(nest_fast_counters& counters, uint64_t bytes) {
  counters.sent_packets++;
  counters.sent_bytes += bytes;
}

}  // namespace nest::fast
