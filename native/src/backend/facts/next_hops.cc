// SPDX-License-Identifier: AGPL-3.0-only
// Next hops that the data path needs to know before it can send without the kernel: nobody but the kernel
// asks for them, and the kernel asks only for packets that it sends itself.
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>

#include "backend/backend.h"
#include "backend/facts/netlink.h"

namespace nest {
namespace {

/// The neighbour that a route leads to.
struct Hop {
  uint32_t interface = 0;
  uint8_t family = AF_UNSPEC;
  std::array<uint8_t, 16> address = {};
  bool is_gateway = false;

  auto operator<=>(const Hop&) const = default;
};

struct Route {
  bool is_found = false;  // and not refused by a route of that kind
  bool is_own = false;    // an address of this host, or an interface without neighbours
  Hop hop;
};

constexpr uint16_t kKnown = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
/// The kernel need not be asked about these again.
constexpr uint16_t kSettled = NUD_REACHABLE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;

size_t bytes_of(uint8_t family) {
  return family == AF_INET ? 4 : 16;
}

void copy_address(std::span<const uint8_t> value, Hop& hop) {
  std::copy_n(value.begin(), std::min(value.size(), hop.address.size()), hop.address.begin());
}

void take_route(std::span<const uint8_t> message, Route& route) {
  rtmsg header = {};
  if (message.size() < sizeof(header)) return;
  std::memcpy(&header, message.data(), sizeof(header));
  route.is_own = header.rtm_type == RTN_LOCAL;
  route.is_found = route.is_own || header.rtm_type == RTN_UNICAST;
  for (const facts::Attribute& each : facts::attributes_of(message.subspan(sizeof(header)))) {
    if (each.type == RTA_OIF) route.hop.interface = static_cast<uint32_t>(each.number());
    if (each.type == RTA_GATEWAY) {
      copy_address(each.value, route.hop);
      route.hop.is_gateway = true;
    }
    // The gateway of an IPv4 route may have an IPv6 address: family, then the address.
    if (each.type == RTA_VIA && each.value.size() > sizeof(uint16_t)) {
      uint16_t family = 0;
      std::memcpy(&family, each.value.data(), sizeof(family));
      route.hop.family = static_cast<uint8_t>(family);
      copy_address(each.value.subspan(sizeof(family)), route.hop);
      route.hop.is_gateway = true;
    }
  }
}

Route find_route(const NextHopQuery& query) {
  Route route;
  route.hop.family = query.is_ipv4 ? AF_INET : AF_INET6;
  route.hop.address = query.address;
  rtmsg wanted = {};
  wanted.rtm_family = route.hop.family;
  wanted.rtm_dst_len = static_cast<uint8_t>(bytes_of(wanted.rtm_family) * 8);
  facts::Request request(RTM_GETROUTE, 0);
  request.add_fixed(&wanted, sizeof(wanted));
  request.add_attribute(RTA_DST, query.address.data(), bytes_of(wanted.rtm_family));
  const int error = facts::ask(NETLINK_ROUTE, std::move(request),
                               [&](std::span<const uint8_t> message) { take_route(message, route); });
  if (error != 0) route.is_found = false;
  return route;
}

facts::Request about(const Hop& hop, uint16_t type, uint16_t flags, uint8_t use) {
  ndmsg header = {};
  header.ndm_family = hop.family;
  header.ndm_ifindex = static_cast<int32_t>(hop.interface);
  header.ndm_flags = use;
  facts::Request request(type, flags);
  request.add_fixed(&header, sizeof(header));
  request.add_attribute(NDA_DST, hop.address.data(), bytes_of(hop.family));
  return request;
}

/// NUD_* of the neighbour; NUD_NONE when the kernel has never heard of it.
uint16_t state_of(const Hop& hop) {
  uint16_t state = NUD_NONE;
  facts::ask(NETLINK_ROUTE, about(hop, RTM_GETNEIGH, 0, 0), [&](std::span<const uint8_t> message) {
    ndmsg header = {};
    if (message.size() < sizeof(header)) return;
    std::memcpy(&header, message.data(), sizeof(header));
    state = header.ndm_state;
  });
  return state;
}

NextHop resolve(const Hop& hop) {
  const uint16_t state = state_of(hop);
  if ((state & kSettled) != 0) return NextHop::kKnown;
  // As if the kernel had a packet for it: one that is stale is checked, the others are asked for.
  const int error =
      facts::ask(NETLINK_ROUTE, about(hop, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, NTF_USE), [](auto) {});
  if (error == EPERM)
    throw system_error(error, "the kernel does not look for next hops on behalf of the agent");
  return (state & kKnown) != 0 ? NextHop::kKnown : NextHop::kAsked;
}

}  // namespace

std::vector<NextHop> ask_next_hops(std::span<const NextHopQuery> queries) {
  if (queries.size() > kNextHopsMax) {
    throw Error(Code::kTableFull, "too many next hops were asked for at once",
                "ask for " + std::to_string(kNextHopsMax) + " at a time");
  }
  std::map<Hop, NextHop> known;
  std::vector<NextHop> answers;
  answers.reserve(queries.size());
  for (const NextHopQuery& query : queries) {
    const Route route = find_route(query);
    if (!route.is_found) {
      answers.push_back(NextHop::kNoRoute);
    } else if (route.is_own || (query.is_gateway_only && !route.hop.is_gateway)) {
      answers.push_back(NextHop::kNotNeeded);
    } else {
      const auto [found, is_new] = known.try_emplace(route.hop, NextHop::kAsked);
      if (is_new) found->second = resolve(route.hop);
      answers.push_back(found->second);
    }
  }
  return answers;
}

}  // namespace nest
