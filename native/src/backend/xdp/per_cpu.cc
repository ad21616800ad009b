// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/per_cpu.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>

#include "backend/error.h"

namespace nest::xdp {
namespace {

/// Entries per system call: bounds the buffer on hosts with many CPUs.
constexpr uint32_t kChunk = 4096;

uint32_t cpu_count() {
  const int count = libbpf_num_possible_cpus();
  if (count < 1) throw system_error(-count, "the number of CPUs cannot be read");
  return static_cast<uint32_t>(count);
}

}  // namespace

std::vector<uint64_t> read_per_cpu(int map, uint32_t first, uint32_t count, uint32_t words_per_entry) {
  const uint32_t cpus = cpu_count();
  const size_t stride = size_t{cpus} * words_per_entry;
  std::vector<uint64_t> sums(size_t{count} * words_per_entry, 0);
  std::vector<uint32_t> keys(std::min(count, kChunk));
  std::vector<uint64_t> values(keys.size() * stride);
  for (uint32_t done = 0; done < count;) {
    uint32_t batch = std::min(count - done, kChunk);
    // The kernel goes on after the key in `previous`; without one it begins at 0.
    uint32_t previous = first + done - 1;
    uint32_t last = 0;
    const int result = bpf_map_lookup_batch(map, first + done == 0 ? nullptr : &previous, &last, keys.data(),
                                            values.data(), &batch, nullptr);
    if (result != 0 && result != -ENOENT) throw system_error(-result, "counters cannot be read");
    if (batch == 0) throw system_error(EIO, "counters cannot be read");
    for (uint32_t entry = 0; entry < batch; entry++) {
      for (size_t word = 0; word < stride; word++) {
        sums[size_t{done + entry} * words_per_entry + word % words_per_entry] +=
            values[entry * stride + word];
      }
    }
    done += batch;
  }
  return sums;
}

void clear_per_cpu(int map, uint32_t first, uint32_t count, uint32_t words_per_entry) {
  const size_t stride = size_t{cpu_count()} * words_per_entry;
  std::vector<uint32_t> keys(std::min(count, kChunk));
  const std::vector<uint64_t> zeros(keys.size() * stride, 0);
  for (uint32_t done = 0; done < count;) {
    uint32_t batch = std::min(count - done, kChunk);
    for (uint32_t i = 0; i < batch; i++) keys[i] = first + done + i;
    const int result = bpf_map_update_batch(map, keys.data(), zeros.data(), &batch, nullptr);
    if (result != 0) throw system_error(-result, "counters cannot be cleared");
    done += batch;
  }
}

}  // namespace nest::xdp
