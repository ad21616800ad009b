// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/xsk_lane.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>

#include "fastpathd/failure.h"

namespace nest::fast {
namespace {

constexpr uint32_t kBurst = 64;

/// The kernel wrote the packets on another processor: their first lines are asked for this far ahead.
constexpr uint32_t kPrefetchAhead = 8;
constexpr uint32_t kLookupAhead = 4;

/// Frames a port holds at most: a full fill ring and a full send ring.
constexpr uint32_t kFramesPerPort = XskSocket::kReceiveEntries + XskSocket::kSendEntries;

}  // namespace

XskLane::XskLane(const Settings& settings)
    : settings_(settings),
      memory_(packet_memory(size_t{settings.frames} * settings.frame_bytes, settings.node)),
      owner_(settings.frames),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_) throw system_failure(errno, "no event descriptor");
  free_.reserve(settings.frames);
  for (uint32_t i = settings.frames; i > 0; i--) free_.push_back(i - 1);
}

bool XskLane::add(XskPort* port) {
  if ((ports_.size() + 1) * kFramesPerPort > settings_.frames) return false;
  ports_.push_back(port);
  link_peers();
  refill(*port);
  return true;
}

void XskLane::remove(XskPort* port) {
  std::erase(ports_, port);
  link_peers();
}

void XskLane::forget(uint8_t slot) {
  for (uint32_t i = 0; i < owner_.size(); i++) {
    if (owner_[i] == slot + 1) {
      owner_[i] = 0;
      free_.push_back(i);
    }
  }
}

void XskLane::link_peers() {
  for (XskPort* port : ports_) {
    const auto peer =
        std::ranges::find(ports_, port->policy.peer, [](const XskPort* each) { return each->policy.name; });
    port->peer = peer == ports_.end() ? nullptr : *peer;
  }
}

bool XskLane::round(uint64_t now_ns) {
  bool has_worked = false;
  for (XskPort* port : ports_) {
    if (port->sent > 0) take_back(*port);
    refill(*port);
    has_worked |= receive(*port, now_ns);
  }
  for (XskPort* port : ports_) {
    flush(*port);
    has_worked |= port->sent > 0 && port->socket->send.untaken() > 0;
  }
  return has_worked;
}

void XskLane::take_back(XskPort& port) {
  auto& ring = port.socket->completion;
  const uint32_t count = ring.available(port.sent);
  for (uint32_t i = 0; i < count; i++) release(ring.take());
  ring.release();
  port.sent -= count;
}

void XskLane::release(uint64_t address) {
  const auto frame = static_cast<uint32_t>(address >> std::countr_zero(settings_.frame_bytes));
  owner_[frame] = 0;
  free_.push_back(frame);
}

void XskLane::refill(XskPort& port) {
  auto& ring = port.socket->fill;
  const uint32_t count = std::min(ring.room(kBurst), static_cast<uint32_t>(free_.size()));
  if (count >= kBurst || (count > 0 && port.socket->receive.available(1) == 0)) {
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t frame = free_.back();
      free_.pop_back();
      owner_[frame] = static_cast<uint8_t>(port.slot + 1);
      ring.put(uint64_t{frame} * settings_.frame_bytes);
    }
    ring.publish();
  }
  if (ring.needs_wakeup()) port.socket->kick_receive();
}

nest_user_frame XskLane::frame_of(const XskPort& port, const xdp_desc& entry) const {
  uint8_t* const start = memory_.address() + entry.addr;
  uint8_t* const head = memory_.address() + (entry.addr & ~uint64_t{settings_.frame_bytes - 1});
  return {.start = start,
          .end = start + entry.len,
          .head = head,
          .limit = head + settings_.frame_bytes,
          .interface = port.policy.interface};
}

bool XskLane::receive(XskPort& port, uint64_t now_ns) {
  auto& ring = port.socket->receive;
  const uint32_t count = ring.available(kBurst);
  if (count == 0) {
    if (settings_.is_busy_polling) port.socket->kick_receive();
    return false;
  }
  for (uint32_t i = 0; i < std::min(count, kPrefetchAhead); i++)
    __builtin_prefetch(memory_.address() + ring.peek(i).addr);
  nest_user_enter(settings_.user, settings_.number);
  for (uint32_t i = 0; i < count; i++) {
    if (i + kPrefetchAhead < count) __builtin_prefetch(memory_.address() + ring.peek(kPrefetchAhead).addr);
    if (i + kLookupAhead < count) {
      const nest_user_frame ahead = frame_of(port, ring.peek(kLookupAhead));
      nest_user_prefetch(settings_.user, settings_.number, &ahead);
    }
    handle(port, ring.take(), now_ns);
  }
  nest_user_leave(settings_.user, settings_.number);
  ring.release();
  return true;
}

void XskLane::handle(XskPort& port, const xdp_desc& entry, uint64_t now_ns) {
  nest_user_frame frame = frame_of(port, entry);
  uint32_t to = 0;
  switch (settle(settings_.user, settings_.number, port.policy, frame, now_ns, to)) {
    case Fate::kSend:
      send(port, entry.addr, frame);
      return;
    case Fate::kElsewhere:
      if (XskPort* target = port_of(port, to); target != nullptr) {
        send(*target, entry.addr, frame);
        return;
      }
      port.policy.counters->unreachable++;
      break;
    case Fate::kKernel:
      if (port.tap == nullptr || !port.tap->write(frame.start, static_cast<size_t>(frame.end - frame.start)))
        port.policy.counters->send_full++;
      break;
    case Fate::kDrop:
      break;
  }
  release(entry.addr);
}

XskPort* XskLane::port_of(const XskPort& from, uint32_t interface) const {
  if (interface == 0) return from.peer;
  for (XskPort* port : ports_) {
    if (port->policy.interface == interface) return port;
  }
  return nullptr;
}

void XskLane::send(XskPort& through, uint64_t frame, const nest_user_frame& packet) {
  const auto bytes = static_cast<uint32_t>(packet.end - packet.start);
  // A full completion ring would make the kernel refuse; what is under way never exceeds it.
  if (through.sent >= XskSocket::kSendEntries || through.socket->send.room() == 0) {
    flush(through);
    take_back(through);
    if (through.sent >= XskSocket::kSendEntries || through.socket->send.room() == 0) {
      through.policy.counters->send_full++;
      release(frame);
      return;
    }
  }
  owner_[frame >> std::countr_zero(settings_.frame_bytes)] = static_cast<uint8_t>(through.slot + 1);
  through.socket->send.put(
      {.addr = static_cast<uint64_t>(packet.start - memory_.address()), .len = bytes, .options = 0});
  through.sent++;
  through.has_unpublished = true;
  count_sent(*through.policy.counters, bytes);
}

void XskLane::flush(XskPort& port) {
  if (port.has_unpublished) {
    port.socket->send.publish();
    port.has_unpublished = false;
  }
  if (port.sent > 0 && port.socket->send.needs_wakeup() && port.socket->send.untaken() > 0)
    port.socket->kick_send();
}

void XskLane::wait(int milliseconds) {
  std::array<pollfd, NEST_FAST_PORTS_MAX + 1> entries = {};
  size_t count = 0;
  entries[count++] = {.fd = wake_.get(), .events = POLLIN, .revents = 0};
  for (const XskPort* port : ports_)
    entries[count++] = {.fd = port->socket->descriptor(), .events = POLLIN, .revents = 0};
  poll(entries.data(), count, milliseconds);
  uint64_t ignored = 0;
  if (entries[0].revents != 0 && read(wake_.get(), &ignored, sizeof(ignored)) < 0) return;
}

void XskLane::wake() {
  const uint64_t one = 1;
  // A full counter wakes as well.
  if (write(wake_.get(), &one, sizeof(one)) < 0) return;
}

}  // namespace nest::fast
