// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/dpdk_lane.h"

#include <rte_lcore.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "fastpathd/failure.h"

namespace nest::fast {
namespace {

constexpr uint16_t kPrefetchAhead = 4;

/// Rounds between two looks at the host's side: one system call each.
constexpr uint32_t kHostRounds = 64;

/// Ports cannot wake us: an idle worker looks again after this time.
constexpr auto kIdleSleep = std::chrono::microseconds(50);

}  // namespace

DpdkLane::DpdkLane(nest_user* user, uint32_t number, const std::optional<BenchOptions>& bench)
    : user_(user), number_(number), bench_(bench) {}

void DpdkLane::enter() {
  // A registered thread has its own cache in the packet pools. Without one it works, slower.
  if (rte_thread_register() != 0)
    rte_log(RTE_LOG_WARNING, RTE_LOGTYPE_USER1, "lane %u has no lcore id\n", number_);
}

void DpdkLane::leave() {
  rte_thread_unregister();
}

void DpdkLane::wait(int) {
  std::this_thread::sleep_for(kIdleSleep);
}

void DpdkLane::add(DpdkPort* port) {
  ports_.push_back(port);
  link_peers();
}

void DpdkLane::remove(DpdkPort* port) {
  flush(*port);
  std::erase(ports_, port);
  link_peers();
}

void DpdkLane::link_peers() {
  for (DpdkPort* port : ports_) {
    const auto peer =
        std::ranges::find(ports_, port->policy.peer, [](const DpdkPort* each) { return each->policy.name; });
    port->peer = peer == ports_.end() ? nullptr : *peer;
  }
}

bool DpdkLane::round(uint64_t now_ns) {
  bool has_worked = false;
  for (DpdkPort* port : ports_) has_worked |= receive(*port, now_ns);
  // One lane speaks for the host: its packets keep their order.
  if (number_ == 0 && (!has_worked || ++rounds_to_host_ >= kHostRounds)) {
    rounds_to_host_ = 0;
    for (DpdkPort* port : ports_) has_worked |= port->tap != nullptr && receive_from_host(*port);
  }
  for (DpdkPort* port : ports_) flush(*port);
  return has_worked;
}

bool DpdkLane::receive(DpdkPort& port, uint64_t now_ns) {
  std::array<rte_mbuf*, kDpdkBurst> packets;
  const uint16_t count =
      rte_eth_rx_burst(port.number, static_cast<uint16_t>(number_), packets.data(), kDpdkBurst);
  if (count == 0) return false;
  if (bench_) {
    for (uint16_t i = 0; i < count; i++) overwrite(packets[i]);
  }
  for (uint16_t i = 0; i < std::min(count, kPrefetchAhead); i++)
    rte_prefetch0(rte_pktmbuf_mtod(packets[i], void*));
  nest_user_enter(user_, number_);
  for (uint16_t i = 0; i < count; i++) {
    const auto ahead = static_cast<uint16_t>(i + kPrefetchAhead);
    if (ahead < count) rte_prefetch0(rte_pktmbuf_mtod(packets[ahead], void*));
    if (i + kPrefetchAhead / 2 < count) {
      const nest_user_frame frame = frame_of(port, packets[i + kPrefetchAhead / 2]);
      nest_user_prefetch(user_, number_, &frame);
    }
    handle(port, packets[i], now_ns);
  }
  nest_user_leave(user_, number_);
  return true;
}

void DpdkLane::overwrite(rte_mbuf* packet) {
  uint8_t* const data = rte_pktmbuf_mtod(packet, uint8_t*);
  const auto bytes = static_cast<uint16_t>(bench_->pattern.size());
  std::memcpy(data, bench_->pattern.data(), bytes);
  packet->data_len = bytes;
  packet->pkt_len = bytes;
  if (bench_->flows == 1) return;
  const uint32_t word = bench_sequence_++ * 40503u & (bench_->flows - 1);
  data[bench_->vary_offset] = static_cast<uint8_t>(word >> 8);
  data[bench_->vary_offset + 1] = static_cast<uint8_t>(word);
}

nest_user_frame DpdkLane::frame_of(const DpdkPort& port, rte_mbuf* packet) const {
  uint8_t* const start = rte_pktmbuf_mtod(packet, uint8_t*);
  uint8_t* const head = static_cast<uint8_t*>(packet->buf_addr);
  return {.start = start,
          .end = start + packet->data_len,
          .head = head,
          .limit = head + packet->buf_len,
          .interface = port.policy.interface};
}

void DpdkLane::handle(DpdkPort& port, rte_mbuf* packet, uint64_t now_ns) {
  nest_user_frame frame = frame_of(port, packet);
  uint32_t to = 0;
  Fate fate = settle(user_, number_, port.policy, frame, now_ns, to);
  packet->data_off = static_cast<uint16_t>(frame.start - static_cast<uint8_t*>(packet->buf_addr));
  packet->data_len = static_cast<uint16_t>(frame.end - frame.start);
  packet->pkt_len = packet->data_len;
  DpdkPort* target = fate == Fate::kSend ? &port : nullptr;
  if (fate == Fate::kElsewhere) {
    target = port_of(port, to);
    if (target == nullptr) port.policy.counters->unreachable++;
  }
  if (target != nullptr) {
    send(*target, packet);
    return;
  }
  if (fate == Fate::kKernel && (port.tap == nullptr || !port.tap->write(frame.start, packet->data_len)))
    port.policy.counters->send_full++;
  rte_pktmbuf_free(packet);
}

DpdkPort* DpdkLane::port_of(const DpdkPort& from, uint32_t interface) const {
  if (interface == 0) return from.peer;
  for (DpdkPort* port : ports_) {
    if (port->policy.interface == interface) return port;
  }
  return nullptr;
}

void DpdkLane::send(DpdkPort& through, rte_mbuf* packet) {
  if (through.out_count == through.out.size()) flush(through);
  through.out[through.out_count++] = packet;
}

void DpdkLane::flush(DpdkPort& port) {
  if (port.out_count == 0) return;
  uint64_t bytes = 0;
  // Read before they are sent: afterwards they are the driver's.
  for (uint16_t i = 0; i < port.out_count; i++) bytes += port.out[i]->pkt_len;
  const uint16_t sent =
      rte_eth_tx_burst(port.number, static_cast<uint16_t>(number_), port.out.data(), port.out_count);
  if (sent < port.out_count) {
    for (uint16_t i = sent; i < port.out_count; i++) bytes -= port.out[i]->pkt_len;
    const auto rest = static_cast<unsigned>(port.out_count - sent);
    rte_pktmbuf_free_bulk(port.out.data() + sent, rest);
    port.policy.counters->send_full += rest;
  }
  port.policy.counters->sent_packets += sent;
  port.policy.counters->sent_bytes += bytes;
  port.out_count = 0;
}

bool DpdkLane::receive_from_host(DpdkPort& port) {
  for (uint16_t i = 0; i < kDpdkBurst; i++) {
    rte_mbuf* packet = rte_pktmbuf_alloc(port.pool);
    if (packet == nullptr) return true;
    const size_t bytes = port.tap->read(rte_pktmbuf_mtod(packet, uint8_t*), rte_pktmbuf_tailroom(packet));
    if (bytes == 0) {
      rte_pktmbuf_free(packet);
      return i > 0;
    }
    packet->data_len = static_cast<uint16_t>(bytes);
    packet->pkt_len = packet->data_len;
    send(port, packet);
  }
  return true;
}

}  // namespace nest::fast
