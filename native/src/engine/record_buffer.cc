// SPDX-License-Identifier: AGPL-3.0-only
#include "engine/record_buffer.h"

#include <algorithm>
#include <utility>

namespace nest {

void RecordBuffer::put(std::span<const nest_record> records) {
  const std::lock_guard lock(mutex_);
  const size_t fitting = std::min(records.size(), kRecordsMax - count_);
  for (size_t i = 0; i < fitting; i++) records_[(start_ + count_ + i) % kRecordsMax] = records[i];
  count_ += fitting;
  lost_ += records.size() - fitting;
}

RecordBuffer::Taken RecordBuffer::take(size_t limit) {
  Taken taken;
  const std::lock_guard lock(mutex_);
  taken.lost = std::exchange(lost_, 0);
  const size_t count = std::min(limit, count_);
  taken.records.reserve(count);
  for (size_t i = 0; i < count; i++) taken.records.push_back(records_[(start_ + i) % kRecordsMax]);
  start_ = (start_ + count) % kRecordsMax;
  count_ -= count;
  return taken;
}

}  // namespace nest
