// SPDX-License-Identifier: AGPL-3.0-only
// Per-CPU arrays of counters, read as sums and cleared by batch.
#pragma once

#include <cstdint>
#include <vector>

namespace nest::xdp {

/// Sums over the CPUs for entries first .. first + count - 1; per entry the u64 words of its value.
std::vector<uint64_t> read_per_cpu(int map, uint32_t first, uint32_t count, uint32_t words_per_entry);

/// Sets the entries to zero on every CPU.
void clear_per_cpu(int map, uint32_t first, uint32_t count, uint32_t words_per_entry);

}  // namespace nest::xdp
