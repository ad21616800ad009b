// SPDX-License-Identifier: AGPL-3.0-only
// Reader of the table image (bpf/include/nest/image.h). An image comes from outside: nothing in it is
// believed before it has been checked, and what passes here can be loaded without a further look.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"

namespace nest {

class Image {
 public:
  /// Takes a copy of the bytes. Throws Error(kImageInvalid) that names the first thing wrong.
  explicit Image(std::span<const uint8_t> bytes);

  /// Views into this object.
  Tables tables() const { return tables_; }

 private:
  std::vector<uint64_t> storage_;  // eight-byte alignment for the sections
  Tables tables_;
};

}  // namespace nest
