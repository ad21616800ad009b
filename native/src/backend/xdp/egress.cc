// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/egress.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <vector>

namespace nest::xdp {

Egress::Egress(const Loaded& loaded)
    : loaded_(loaded), ports_(loaded.map(kTxPorts), NEST_INTERFACE_INDEX_MAX * sizeof(uint64_t)) {}

void Egress::set_addresses(std::span<const InterfaceAddress> addresses) const {
  const int map = loaded_.map(kInterfaceAddresses);
  if (addresses.size() > NEST_INTERFACES_MAX) {
    throw Error(Code::kInterfacesExhausted, "more than 64 interfaces have addresses for source NAT",
                "name those that packets leave by");
  }
  std::vector<uint32_t> old;
  for (uint32_t index = 0; old.size() <= NEST_INTERFACES_MAX &&
                           bpf_map_get_next_key(map, old.empty() ? nullptr : &old.back(), &index) == 0;) {
    old.push_back(index);
  }
  for (const uint32_t index : old) {
    if (std::ranges::find(addresses, index, &InterfaceAddress::index) == addresses.end())
      bpf_map_delete_elem(map, &index);
  }
  for (const InterfaceAddress& each : addresses) {
    if (bpf_map_update_elem(map, &each.index, &each.address, BPF_ANY) != 0)
      throw system_error(errno, "an interface's address cannot be stored");
  }
}

void Egress::set_tx_ports(std::span<const uint32_t> indexes) {
  // An array's elements begin at multiples of eight bytes.
  auto* const ports = static_cast<uint64_t*>(ports_.address());
  for (uint32_t index = 0; index < NEST_INTERFACE_INDEX_MAX; index++) {
    const bool is_port = std::ranges::find(indexes, index) != indexes.end();
    const uint64_t flags = is_port ? NEST_PORT_TX : 0;
    if (ports[index] != flags) __atomic_store_n(&ports[index], flags, __ATOMIC_RELAXED);
  }
}

}  // namespace nest::xdp
