// SPDX-License-Identifier: AGPL-3.0-only
// A lane of AF_XDP sockets over one packet memory. All calls but wake() on the worker's thread, or before
// there is one.
#pragma once

#include <memory>
#include <vector>

#include "fastpathd/lane.h"
#include "fastpathd/memory.h"
#include "fastpathd/tap.h"
#include "fastpathd/xsk_socket.h"

namespace nest::fast {

/// One queue of one interface.
struct XskPort {
  PortPolicy policy;
  /// Position in the status page.
  uint8_t slot = 0;
  std::unique_ptr<XskSocket> socket;
  /// The way into the host's stack; none unless pass is kernel.
  std::shared_ptr<const Tap> tap;
  XskPort* peer = nullptr;
  /// Given to the kernel and not back yet.
  uint32_t sent = 0;
  bool has_unpublished = false;
};

class XskLane : public Lane {
 public:
  struct Settings {
    nest_user* user = nullptr;
    uint32_t number = 0;
    uint32_t frame_bytes = 0;
    uint32_t frames = 0;
    bool is_busy_polling = false;
    int node = kNodeAny;
  };

  explicit XskLane(const Settings& settings);

  bool round(uint64_t now_ns) override;
  void wait(int milliseconds) override;
  void wake() override;

  const Pages& memory() const { return memory_; }
  /// False when there are not frames enough for another port.
  bool add(XskPort* port);
  /// The port's frames are free again when its socket is closed: call forget() then.
  void remove(XskPort* port);
  void forget(uint8_t slot);

 private:
  void take_back(XskPort& port);
  void refill(XskPort& port);
  bool receive(XskPort& port, uint64_t now_ns);
  void handle(XskPort& port, const xdp_desc& entry, uint64_t now_ns);
  void send(XskPort& through, uint64_t frame, const nest_user_frame& packet);
  void flush(XskPort& port);
  nest_user_frame frame_of(const XskPort& port, const xdp_desc& entry) const;
  XskPort* port_of(const XskPort& from, uint32_t interface) const;
  void link_peers();
  void release(uint64_t frame);

  Settings settings_;
  Pages memory_;
  std::vector<XskPort*> ports_;
  /// Frame numbers; the last is the warmest.
  std::vector<uint32_t> free_;
  /// By frame: slot + 1 of the socket that has it, 0 when it is free or being judged.
  std::vector<uint8_t> owner_;
  Descriptor wake_;
};

}  // namespace nest::fast
