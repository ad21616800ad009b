// SPDX-License-Identifier: AGPL-3.0-only
// Prefixes that join or leave the deny lists of the policy in use. They come from outside, like an image.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"

namespace nest {

class DenyUpdate {
 public:
  /// Takes copies of packed nest_image_deny4 or nest_image_deny6. Throws Error(kImageInvalid).
  DenyUpdate(uint32_t family, std::span<const uint8_t> add, std::span<const uint8_t> remove);

  std::span<const nest_image_deny4> stored4() const { return stored4_; }
  std::span<const nest_image_deny4> removed4() const { return removed4_; }
  std::span<const nest_image_deny6> stored6() const { return stored6_; }
  std::span<const nest_image_deny6> removed6() const { return removed6_; }

 private:
  std::vector<nest_image_deny4> stored4_;
  std::vector<nest_image_deny4> removed4_;
  std::vector<nest_image_deny6> stored6_;
  std::vector<nest_image_deny6> removed6_;
};

}  // namespace nest
