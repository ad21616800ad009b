// SPDX-License-Identifier: AGPL-3.0-only
// What the programs know of the ways out: addresses of interfaces, and which of them take packets without the
// kernel.
#pragma once

#include "backend/backend.h"
#include "backend/xdp/object.h"

namespace nest::xdp {

class Egress {
 public:
  explicit Egress(const Loaded& loaded);

  void set_addresses(std::span<const InterfaceAddress> addresses) const;
  void set_tx_ports(std::span<const uint32_t> indexes);

 private:
  const Loaded& loaded_;
  Mapping ports_;
};

}  // namespace nest::xdp
