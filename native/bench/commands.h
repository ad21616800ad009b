// SPDX-License-Identifier: AGPL-3.0-only
// The commands of nest-packet. Each prints JSON to standard output (receive: packets) and throws
// std::exception.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nest::bench {

using Packet = std::vector<uint8_t>;

void send(const std::vector<std::string>& words);
void receive(const std::vector<std::string>& words);
void judge(const std::vector<std::string>& words);
void age(const std::vector<std::string>& words);
void lose(const std::vector<std::string>& words);
void dump(const std::vector<std::string>& words);
void memory(const std::vector<std::string>& words);
void run(const std::vector<std::string>& words);
void generate(const std::vector<std::string>& words);
void drive(const std::vector<std::string>& words);

/// Packets on standard input: length as u32 little-endian, then the bytes.
std::vector<Packet> read_packets();
/// Throws std::system_error with errno.
[[noreturn]] void fail(const std::string& what);
/// 0 when there is none of that name: throws.
uint32_t interface_index(const std::string& name);
/// Packets the driver dropped on their way out, from sysfs; 0 when the file cannot be read.
uint64_t interface_drops(const std::string& name);

}  // namespace nest::bench
