// SPDX-License-Identifier: AGPL-3.0-only
// The data path's memory: tables, flows, counters and records of the shared verdict, in a memfd, and the
// images it was filled from. The control thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fastpathd/memory.h"
#include "fastpathd/protocol.h"
#include "fastpathd/verdict.h"

namespace nest::fast {

class Tables {
 public:
  struct Image {
    Descriptor descriptor;
    size_t bytes = 0;
    uint32_t sequence = 0;
  };

  Tables(uint32_t lanes, int node);

  nest_user* user() const { return user_; }
  const SharedMemory& memory() const { return memory_; }
  uint32_t sequence() const { return nest_user_control(user_).sequence; }
  const std::optional<Image>& current() const { return current_; }
  const std::optional<Image>& previous() const { return previous_; }

  /// Takes a sealed memfd. Throws Failure (DESCRIPTOR, IMAGE, TABLE_FULL, BUSY); nothing has changed then.
  void load(Descriptor image, size_t bytes, uint32_t sequence);
  /// Copies a file into a sealed memfd and loads that.
  void load_file(const std::string& path);

  void set_flood(bool is_on);
  /// The sequence from now on.
  uint32_t set_backends(std::span<const uint8_t> states);
  /// `has_kernel`: a packet without a route is passed, and the host's stack routes it.
  void set_routes(std::span<const nest_user_route> routes, bool has_kernel);
  void set_interfaces(std::span<const nest_user_interface> interfaces);
  /// At most `limit` records from `cursor` on, which moves.
  std::vector<nest_record> flows(uint32_t& cursor, uint32_t limit, bool is_sweeping);

  /// Where a lane writes, as offsets into the memory.
  nest_fast_offsets offsets(uint32_t lane) const;

 private:
  void check(int result) const;

  SharedMemory memory_;
  nest_user* user_ = nullptr;
  std::optional<Image> current_;
  std::optional<Image> previous_;
};

/// A sealed memfd with these bytes. Throws Failure.
Descriptor sealed_copy(const std::string& name, const void* bytes, size_t count);

}  // namespace nest::fast
