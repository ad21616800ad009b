// SPDX-License-Identifier: AGPL-3.0-only
// An AF_XDP socket and its four rings. The packet memory is the lane's: each socket registers the same
// memory, so that a packet can leave through another port than it came in by without being copied.
#pragma once

#include <linux/if_xdp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "fastpathd/memory.h"
#include "fastpathd/options.h"

namespace nest::fast {

/// One side of a ring shared with the kernel. Not thread-safe.
template <typename Entry>
class XskRing {
 public:
  XskRing() = default;
  XskRing(Pages&& pages, const xdp_ring_offset& offset, uint32_t size)
      : pages_(std::move(pages)),
        producer_(reinterpret_cast<uint32_t*>(pages_.address() + offset.producer)),
        consumer_(reinterpret_cast<uint32_t*>(pages_.address() + offset.consumer)),
        flags_(reinterpret_cast<uint32_t*>(pages_.address() + offset.flags)),
        entries_(reinterpret_cast<Entry*>(pages_.address() + offset.desc)),
        mask_(size - 1) {}

  /// Producing: room for how many; put() each, then publish().
  uint32_t room() {
    if (mask_ + 1 - (here_ - there_) == 0) there_ = load(consumer_);
    return mask_ + 1 - (here_ - there_);
  }
  uint32_t room(uint32_t wanted) {
    if (mask_ + 1 - (here_ - there_) < wanted) there_ = load(consumer_);
    return mask_ + 1 - (here_ - there_);
  }
  void put(const Entry& entry) { entries_[here_++ & mask_] = entry; }
  void publish() { store(producer_, here_); }
  /// What the kernel has not taken yet.
  uint32_t untaken() const { return here_ - load(consumer_); }

  /// Consuming: how many are there, at most `most`; take() each, then release().
  uint32_t available(uint32_t most) {
    if (there_ - here_ < most) there_ = load(producer_);
    return std::min(there_ - here_, most);
  }
  const Entry& peek(uint32_t ahead) const { return entries_[(here_ + ahead) & mask_]; }
  const Entry& take() { return entries_[here_++ & mask_]; }
  void release() { store(consumer_, here_); }

  bool needs_wakeup() const {
    return (std::atomic_ref(*flags_).load(std::memory_order_relaxed) & XDP_RING_NEED_WAKEUP) != 0;
  }

 private:
  static uint32_t load(uint32_t* word) { return std::atomic_ref(*word).load(std::memory_order_acquire); }
  static void store(uint32_t* word, uint32_t value) {
    std::atomic_ref(*word).store(value, std::memory_order_release);
  }

  Pages pages_;
  uint32_t* producer_ = nullptr;
  uint32_t* consumer_ = nullptr;
  uint32_t* flags_ = nullptr;
  Entry* entries_ = nullptr;
  uint32_t mask_ = 0;
  uint32_t here_ = 0;
  uint32_t there_ = 0;
};

class XskSocket {
 public:
  struct Settings {
    uint32_t frame_bytes = 0;
    CopyMode copy_mode = CopyMode::kAutomatic;
    uint32_t busy_poll = 0;
  };

  /// Of the fill and receive rings: what arrives while a worker waits for its turn. Four hundred milliseconds
  /// at 10,000 packets/s, four at a million.
  static constexpr uint32_t kReceiveEntries = 4096;
  /// Of the send and completion rings.
  static constexpr uint32_t kSendEntries = 2048;

  /// Binds to the queue. Throws Failure: UNSUPPORTED when zero-copy was asked for and the driver has none.
  XskSocket(const Settings& settings, const Pages& memory, uint32_t interface, uint32_t queue);
  XskSocket(const XskSocket&) = delete;
  XskSocket& operator=(const XskSocket&) = delete;

  int descriptor() const { return descriptor_.get(); }
  bool is_zero_copy() const { return is_zero_copy_; }
  /// Packets for which there was no frame or no room in the receive ring. From any thread.
  uint64_t receive_lost() const;

  /// Makes the kernel look at the send ring.
  void kick_send();
  /// Makes the kernel look at the fill ring, and drives the device's queue when busy polling.
  void kick_receive();

  XskRing<uint64_t> fill;
  XskRing<uint64_t> completion;
  XskRing<xdp_desc> receive;
  XskRing<xdp_desc> send;

 private:
  void map_rings();
  void set_options(const Settings& settings);
  void bind_to(CopyMode mode, uint32_t interface, uint32_t queue);

  Descriptor descriptor_;
  bool is_zero_copy_ = false;
};

}  // namespace nest::fast
