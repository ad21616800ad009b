// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/local_sources.h"

#include <linux/rtnetlink.h>
#include <nest/local.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "backend/error.h"
#include "backend/facts/netlink.h"

namespace nest::xdp {
namespace {

using facts::Attribute;

/// Index of `lo` in every network namespace.
constexpr uint32_t kLoopback = 1;

AddressBytes address_of(std::span<const uint8_t> value) {
  AddressBytes address = {};
  std::copy_n(value.begin(), std::min(value.size(), address.size()), address.begin());
  return address;
}

void dump(uint16_t type, const void* fixed, size_t bytes,
          const std::function<void(std::span<const uint8_t>)>& take) {
  facts::Request request(type, NLM_F_DUMP);
  request.add_fixed(fixed, bytes);
  const int error = facts::ask(NETLINK_ROUTE, std::move(request), take);
  if (error != 0) throw system_error(error, "the routes of this host cannot be read");
}

/// The first address of each interface that reaches beyond the link.
std::map<uint32_t, AddressBytes> read_addresses(uint8_t family) {
  std::map<uint32_t, AddressBytes> addresses;
  const ifaddrmsg all = {
      .ifa_family = family, .ifa_prefixlen = 0, .ifa_flags = 0, .ifa_scope = 0, .ifa_index = 0};
  dump(RTM_GETADDR, &all, sizeof(all), [&](std::span<const uint8_t> message) {
    ifaddrmsg header = {};
    if (message.size() < sizeof(header)) return;
    std::memcpy(&header, message.data(), sizeof(header));
    if (header.ifa_family != family || header.ifa_scope > RT_SCOPE_SITE) return;
    std::optional<AddressBytes> address;
    for (const Attribute& each : facts::attributes_of(message.subspan(sizeof(header)))) {
      if (each.type == IFA_LOCAL || (each.type == IFA_ADDRESS && !address)) address = address_of(each.value);
    }
    if (address) addresses.try_emplace(header.ifa_index, *address);
  });
  return addresses;
}

}  // namespace

Sources read_sources(uint8_t family) {
  const std::map<uint32_t, AddressBytes> addresses = read_addresses(family);
  Sources sources;
  rtmsg all = {};
  all.rtm_family = family;
  dump(RTM_GETROUTE, &all, sizeof(all), [&](std::span<const uint8_t> message) {
    rtmsg header = {};
    if (message.size() < sizeof(header)) return;
    std::memcpy(&header, message.data(), sizeof(header));
    const bool is_own = header.rtm_type == RTN_LOCAL;
    if (header.rtm_family != family || (!is_own && header.rtm_type != RTN_UNICAST)) return;
    uint64_t table = header.rtm_table;
    uint32_t index = 0;
    AddressBytes destination = {};
    std::optional<AddressBytes> source;
    for (const Attribute& each : facts::attributes_of(message.subspan(sizeof(header)))) {
      if (each.type == RTA_DST) destination = address_of(each.value);
      if (each.type == RTA_PREFSRC) source = address_of(each.value);
      if (each.type == RTA_OIF) index = static_cast<uint32_t>(each.number());
      if (each.type == RTA_TABLE) table = each.number();
    }
    if (table != (is_own ? RT_TABLE_LOCAL : RT_TABLE_MAIN)) return;
    if (is_own) {
      source = destination;
    } else if (const auto found = addresses.find(index); !source && found != addresses.end()) {
      source = found->second;
    }
    // The kernel tells the routes of a prefix in the order of their metrics.
    if (source) sources.try_emplace({header.rtm_dst_len, destination}, *source);
  });
  // A virtual address need not have a route: any other of the host's addresses will do.
  const auto outward =
      std::ranges::find_if(addresses, [](const auto& each) { return each.first != kLoopback; });
  if (outward != addresses.end()) sources.try_emplace({0, {}}, outward->second);
  while (sources.size() > NEST_LOCAL_SOURCES_MAX) sources.erase(std::next(sources.begin()));
  return sources;
}

}  // namespace nest::xdp
