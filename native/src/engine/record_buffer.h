// SPDX-License-Identifier: AGPL-3.0-only
// Flow records on their way from the kernel to JavaScript: one thread fills, the JS thread takes. Bounded:
// what does not fit is counted, the newest are lost.
#pragma once

#include <nest/abi.h>

#include <mutex>
#include <span>
#include <vector>

namespace nest {

class RecordBuffer {
 public:
  static constexpr size_t kRecordsMax = 65536;

  void put(std::span<const nest_record> records);

  struct Taken {
    std::vector<nest_record> records;
    uint64_t lost = 0;  // since the last call
  };
  Taken take(size_t limit);

 private:
  std::mutex mutex_;
  std::vector<nest_record> records_ = std::vector<nest_record>(kRecordsMax);  // a ring
  size_t start_ = 0;
  size_t count_ = 0;
  uint64_t lost_ = 0;
};

}  // namespace nest
