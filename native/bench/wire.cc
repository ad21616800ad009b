// SPDX-License-Identifier: AGPL-3.0-only
// `send` and `receive`: packets through AF_PACKET.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "arguments.h"
#include "backend/xdp/descriptor.h"
#include "commands.h"

namespace nest::bench {
namespace {

using Clock = std::chrono::steady_clock;
using xdp::Descriptor;

constexpr size_t kBatchMax = 256;

Descriptor open_socket(const std::string& interface_name, uint16_t protocol) {
  Descriptor socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(protocol)));
  if (!socket) fail("AF_PACKET socket");
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = static_cast<int>(interface_index(interface_name));
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    fail("bind to " + interface_name);
  return socket;
}

/// The IPv4 header checksum of an untagged packet; others stay as they are.
void fix_checksum(Packet& packet) {
  constexpr size_t kStart = 14;
  if (packet.size() < kStart + 20 || packet[12] != 0x08 || packet[13] != 0) return;
  const size_t bytes = size_t{packet[kStart] & 0xfu} * 4;
  if (packet.size() < kStart + bytes) return;
  packet[kStart + 10] = packet[kStart + 11] = 0;
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes; i += 2) sum += uint32_t{packet[kStart + i]} << 8 | packet[kStart + i + 1];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  packet[kStart + 10] = static_cast<uint8_t>(~sum >> 8);
  packet[kStart + 11] = static_cast<uint8_t>(~sum);
}

/// One packet per flow: two bytes at an offset count from what the template holds there.
std::vector<Packet> variations(const Packet& pattern, const std::string& vary) {
  const size_t colon = vary.find(':');
  if (colon == std::string::npos) throw std::invalid_argument("--vary must be offset:flows");
  const size_t offset = std::stoul(vary.substr(0, colon));
  const size_t flows = std::stoul(vary.substr(colon + 1));
  if (offset + 2 > pattern.size() || flows == 0 || flows > 65536)
    throw std::invalid_argument("--vary lies outside the packet, or has not 1..65536 flows");
  std::vector<Packet> packets(flows, pattern);
  for (size_t i = 0; i < flows; i++) {
    const size_t value = (size_t{pattern[offset]} << 8 | pattern[offset + 1]) + i;
    packets[i][offset] = static_cast<uint8_t>(value >> 8);
    packets[i][offset + 1] = static_cast<uint8_t>(value);
    fix_checksum(packets[i]);
  }
  return packets;
}

/// Sends packets[i % size] for i in 0 .. count - 1; waits while the socket's buffer is full.
void send_all(int socket, const std::vector<Packet>& packets, uint64_t count, size_t batch, uint64_t rate) {
  std::vector<iovec> parts(batch);
  std::vector<mmsghdr> messages(batch);
  const auto start = Clock::now();
  for (uint64_t done = 0; done < count;) {
    const auto now_count = static_cast<unsigned>(std::min<uint64_t>(batch, count - done));
    for (unsigned i = 0; i < now_count; i++) {
      const Packet& packet = packets[(done + i) % packets.size()];
      parts[i] = {const_cast<uint8_t*>(packet.data()), packet.size()};
      messages[i] = {};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int sent = sendmmsg(socket, messages.data(), now_count, 0);
    if (sent < 0) {
      if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) fail("send");
      pollfd ready = {socket, POLLOUT, 0};
      poll(&ready, 1, 10);
      continue;
    }
    done += static_cast<uint64_t>(sent);
    if (rate != 0)
      std::this_thread::sleep_until(start + std::chrono::nanoseconds(done * 1'000'000'000 / rate));
  }
}

/// Puts the VLAN tag back that the kernel took out of the packet.
void restore_tag(Packet& packet, const msghdr& message) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
       control = CMSG_NXTHDR(const_cast<msghdr*>(&message), control)) {
    if (control->cmsg_level != SOL_PACKET || control->cmsg_type != PACKET_AUXDATA) continue;
    tpacket_auxdata data = {};
    std::memcpy(&data, CMSG_DATA(control), sizeof(data));
    if ((data.tp_status & TP_STATUS_VLAN_VALID) == 0 || packet.size() < 12) continue;
    const uint16_t type =
        (data.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? data.tp_vlan_tpid : uint16_t{ETH_P_8021Q};
    const uint8_t tag[4] = {static_cast<uint8_t>(type >> 8), static_cast<uint8_t>(type),
                            static_cast<uint8_t>(data.tp_vlan_tci >> 8),
                            static_cast<uint8_t>(data.tp_vlan_tci)};
    packet.insert(packet.begin() + 12, tag, tag + sizeof(tag));
  }
}

/// False when it is one of our own, going out.
bool receive_one(int socket, Packet& packet) {
  packet.resize(65536);
  iovec part = {packet.data(), packet.size()};
  sockaddr_ll from = {};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(tpacket_auxdata))];
  msghdr message = {};
  message.msg_name = &from;
  message.msg_namelen = sizeof(from);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t bytes = recvmsg(socket, &message, 0);
  if (bytes < 0) fail("receive");
  packet.resize(static_cast<size_t>(bytes));
  if (from.sll_pkttype == PACKET_OUTGOING) return false;
  restore_tag(packet, message);
  return true;
}

}  // namespace

void send(const std::vector<std::string>& words) {
  const Arguments arguments(words, {"interface", "rate", "batch", "count", "template", "vary"});
  const std::string interface_name = arguments.text("interface");
  std::vector<Packet> packets;
  if (arguments.has("template")) {
    const Packet pattern = arguments.bytes("template");
    packets =
        arguments.has("vary") ? variations(pattern, arguments.text("vary")) : std::vector<Packet>{pattern};
  } else {
    packets = read_packets();
  }
  if (packets.empty()) throw std::invalid_argument("there is no packet to send");
  const uint64_t count = arguments.number("count", packets.size());
  const size_t batch = std::clamp<size_t>(arguments.number("batch", 64), 1, kBatchMax);
  const Descriptor socket = open_socket(interface_name, 0);
  const uint64_t drops_before = interface_drops(interface_name);
  const auto start = Clock::now();
  send_all(socket.get(), packets, count, batch, arguments.number("rate", 0));
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::printf("{\"sent\":%llu,\"interfaceDrops\":%llu,\"seconds\":%.6f}\n",
              static_cast<unsigned long long>(count),
              static_cast<unsigned long long>(interface_drops(interface_name) - drops_before), seconds);
}

void receive(const std::vector<std::string>& words) {
  const Arguments arguments(words, {"interface", "for-ms", "count", "output"});
  const bool prints_packets = !arguments.has("output") || arguments.text("output") == "packets";
  const uint64_t count_max = arguments.number("count", UINT64_MAX);
  const Descriptor socket = open_socket(arguments.text("interface"), ETH_P_ALL);
  const int is_on = 1;
  if (setsockopt(socket.get(), SOL_PACKET, PACKET_AUXDATA, &is_on, sizeof(is_on)) != 0)
    fail("PACKET_AUXDATA");
  const int buffer_bytes = 64 << 20;
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof(buffer_bytes));
  std::fputs("ready\n", stderr);  // from now on nothing is missed
  const auto end = Clock::now() + std::chrono::milliseconds(arguments.number("for-ms"));
  uint64_t count = 0;
  Packet packet;
  while (count < count_max) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd ready = {socket.get(), POLLIN, 0};
    if (left <= 0 || poll(&ready, 1, static_cast<int>(left)) <= 0) break;
    if (!receive_one(socket.get(), packet)) continue;
    count++;
    if (!prints_packets) continue;
    const auto bytes = static_cast<uint32_t>(packet.size());
    std::fwrite(&bytes, sizeof(bytes), 1, stdout);
    std::fwrite(packet.data(), 1, packet.size(), stdout);
  }
  if (!prints_packets) std::printf("{\"received\":%llu}\n", static_cast<unsigned long long>(count));
}

}  // namespace nest::bench
