// SPDX-License-Identifier: AGPL-3.0-only
// The controller's end of protocol.h: for the agent and for nest-fastpathctl. One request at a time; one
// thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend/xdp/descriptor.h"
#include "fastpathd/protocol.h"

namespace nest::fast {

class ControlClient {
 public:
  struct Answer {
    uint16_t status = NEST_FAST_STATUS_OK;
    std::vector<uint8_t> body;
    std::vector<xdp::Descriptor> descriptors;
  };

  /// Throws std::system_error when nobody listens at `path`.
  explicit ControlClient(const std::string& path);

  /// Sends a request and waits for its answer. Throws std::system_error, also when the connection ends or the
  /// answer does not come within `timeout_ms`; after that the client is of no use any more.
  Answer call(uint16_t kind, std::span<const uint8_t> body, std::span<const int> descriptors = {},
              int timeout_ms = 10'000);

  template <typename Body>
  Answer call(uint16_t kind, const Body& body, std::span<const int> descriptors = {}) {
    return call(kind, {reinterpret_cast<const uint8_t*>(&body), sizeof(body)}, descriptors);
  }

  /// Sends bytes as they are, to see what becomes of them.
  Answer exchange(std::span<const uint8_t> message, std::span<const int> descriptors, int timeout_ms);

 private:
  xdp::Descriptor socket_;
  uint32_t last_id_ = 0;
};

}  // namespace nest::fast
