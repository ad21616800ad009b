// SPDX-License-Identifier: AGPL-3.0-only
// The listening end of protocol.h: framing, descriptors and peers. What requests mean is the handler's.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "backend/xdp/descriptor.h"
#include "fastpathd/failure.h"
#include "fastpathd/protocol.h"

namespace nest::fast {

using xdp::Descriptor;

struct Request {
  uint16_t kind = 0;
  std::span<const uint8_t> body;
  /// Received with the message; the handler may keep them.
  std::vector<Descriptor> descriptors;

  /// The body as what its kind has. Throws Failure (MESSAGE) unless it has exactly that size.
  template <typename Body>
  Body as() const {
    if (body.size() != sizeof(Body))
      throw Failure(NEST_FAST_STATUS_MESSAGE, "the body has another length", "");
    Body value = {};
    __builtin_memcpy(&value, body.data(), sizeof(Body));
    return value;
  }
};

struct Reply {
  std::vector<uint8_t> body;
  /// Sent as copies; owned by the reply or by whoever outlives it.
  std::vector<int> descriptors;
  std::vector<Descriptor> owned;

  template <typename Body>
  static Reply of(const Body& value) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
    return {.body = {bytes, bytes + sizeof(Body)}, .descriptors = {}, .owned = {}};
  }
};

using Handler = std::function<Reply(Request&)>;

class ControlServer {
 public:
  /// Listens at `path`, where a socket nobody listens at any more is replaced. Throws Failure.
  ControlServer(const std::string& path, Handler handler);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  /// What to wait for; handle() what poll() says of each, in the same order.
  std::vector<int> descriptors() const;
  void handle(int descriptor);

 private:
  void accept();
  /// False when the connection is over.
  bool serve(int connection);
  bool answer(int connection, const nest_fast_header& request, const Reply& reply, Status status) const;

  std::string path_;
  Handler handler_;
  Descriptor listener_;
  std::vector<Descriptor> connections_;
};

}  // namespace nest::fast
