// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/xsk_socket.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <chrono>
#include <thread>

#include "fastpathd/failure.h"

// Newer than the headers of Debian 12.
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#define SO_BUSY_POLL_BUDGET 70
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

namespace nest::fast {
namespace {

/// A queue stays taken for a moment after its last socket was closed.
constexpr int kBindAttemptsMax = 40;
constexpr auto kBindWait = std::chrono::milliseconds(50);
constexpr int kBusyPollMicroseconds = 20;

/// Packets the kernel sends in one system call in copy mode; kernels before 6.17 know 32 only.
constexpr uint32_t kSendBudget = 256;

void set_option(int socket, int level, int option, int value, const char* what) {
  if (setsockopt(socket, level, option, &value, sizeof(value)) != 0) throw system_failure(errno, what);
}

template <typename Entry>
XskRing<Entry> map_ring(int socket, const xdp_ring_offset& offset, uint32_t entries, off_t place) {
  const size_t bytes = offset.desc + entries * sizeof(Entry);
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, socket, place);
  if (address == MAP_FAILED) throw system_failure(errno, "a ring cannot be mapped");
  return {Pages(address, bytes), offset, entries};
}

}  // namespace

XskSocket::XskSocket(const Settings& settings, const Pages& memory, uint32_t interface, uint32_t queue)
    : descriptor_(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)) {
  if (!descriptor_) throw system_failure(errno, "AF_XDP socket");
  xdp_umem_reg registration = {};
  registration.addr = reinterpret_cast<uint64_t>(memory.address());
  registration.len = memory.bytes();
  registration.chunk_size = settings.frame_bytes;
  if (setsockopt(descriptor_.get(), SOL_XDP, XDP_UMEM_REG, &registration, sizeof(registration)) != 0)
    throw system_failure(errno, "the packet memory cannot be registered");
  for (const int ring : {XDP_UMEM_FILL_RING, XDP_RX_RING})
    set_option(descriptor_.get(), SOL_XDP, ring, kReceiveEntries, "a ring cannot be made");
  for (const int ring : {XDP_UMEM_COMPLETION_RING, XDP_TX_RING})
    set_option(descriptor_.get(), SOL_XDP, ring, kSendEntries, "a ring cannot be made");
  map_rings();
  set_options(settings);
  bind_to(settings.copy_mode, interface, queue);
}

void XskSocket::map_rings() {
  xdp_mmap_offsets offsets = {};
  socklen_t bytes = sizeof(offsets);
  if (getsockopt(descriptor_.get(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &bytes) != 0)
    throw system_failure(errno, "the rings cannot be found");
  const int socket = descriptor_.get();
  const auto place = [](unsigned long long page_offset) { return static_cast<off_t>(page_offset); };
  fill = map_ring<uint64_t>(socket, offsets.fr, kReceiveEntries, place(XDP_UMEM_PGOFF_FILL_RING));
  receive = map_ring<xdp_desc>(socket, offsets.rx, kReceiveEntries, place(XDP_PGOFF_RX_RING));
  completion = map_ring<uint64_t>(socket, offsets.cr, kSendEntries, place(XDP_UMEM_PGOFF_COMPLETION_RING));
  send = map_ring<xdp_desc>(socket, offsets.tx, kSendEntries, place(XDP_PGOFF_TX_RING));
}

void XskSocket::set_options(const Settings& settings) {
  // Refused by older kernels, which is no failure.
  setsockopt(descriptor_.get(), SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &kSendBudget, sizeof(kSendBudget));
  if (settings.busy_poll == 0) return;
  const int socket = descriptor_.get();
  const auto budget = static_cast<int>(settings.busy_poll);
  set_option(socket, SOL_SOCKET, SO_PREFER_BUSY_POLL, 1, "busy polling is refused");
  set_option(socket, SOL_SOCKET, SO_BUSY_POLL, kBusyPollMicroseconds, "busy polling is refused");
  set_option(socket, SOL_SOCKET, SO_BUSY_POLL_BUDGET, budget, "the busy poll budget is refused");
}

void XskSocket::bind_to(CopyMode mode, uint32_t interface, uint32_t queue) {
  sockaddr_xdp address = {};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = interface;
  address.sxdp_queue_id = queue;
  // Without either flag the kernel takes zero-copy where the driver has it.
  address.sxdp_flags = XDP_USE_NEED_WAKEUP;
  if (mode == CopyMode::kCopy) address.sxdp_flags |= XDP_COPY;
  if (mode == CopyMode::kZeroCopy) address.sxdp_flags |= XDP_ZEROCOPY;
  int error = EBUSY;
  for (int attempt = 0; attempt < kBindAttemptsMax && error == EBUSY; attempt++) {
    if (attempt > 0) std::this_thread::sleep_for(kBindWait);
    error = bind(descriptor_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0
                ? 0
                : errno;
  }
  const std::string place = "queue " + std::to_string(queue) + " of interface " + std::to_string(interface);
  if (error == EINVAL) {
    throw Failure(NEST_FAST_STATUS_INTERFACE,
                  "there is no " + place + ", or another program's socket fits it ill",
                  "look at the queues of the interface (ethtool --show-channels)");
  }
  if (error == EOPNOTSUPP || error == EPROTONOSUPPORT) {
    throw Failure(NEST_FAST_STATUS_UNSUPPORTED, "the driver has no such mode for " + place,
                  "use --copy-mode auto");
  }
  if (error != 0) throw system_failure(error, place + " cannot be bound");
  xdp_options options = {};
  socklen_t bytes = sizeof(options);
  if (getsockopt(descriptor_.get(), SOL_XDP, XDP_OPTIONS, &options, &bytes) == 0)
    is_zero_copy_ = (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
}

uint64_t XskSocket::receive_lost() const {
  xdp_statistics statistics = {};
  socklen_t bytes = sizeof(statistics);
  if (getsockopt(descriptor_.get(), SOL_XDP, XDP_STATISTICS, &statistics, &bytes) != 0) return 0;
  return statistics.rx_dropped + statistics.rx_ring_full + statistics.rx_fill_ring_empty_descs;
}

void XskSocket::kick_send() {
  // EAGAIN and the like: the ring still holds packets, and the next round asks again.
  sendto(descriptor_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, 0);
}

void XskSocket::kick_receive() {
  recvfrom(descriptor_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

}  // namespace nest::fast
