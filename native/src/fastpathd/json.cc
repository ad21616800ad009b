// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/json.h"

#include <cstdio>
#include <cstring>

namespace nest::fast {
namespace {

const char* mode_name(uint32_t mode) {
  switch (mode) {
    case NEST_FAST_PORT_COPY:
      return "copy";
    case NEST_FAST_PORT_ZERO_COPY:
      return "zero-copy";
    case NEST_FAST_PORT_DPDK:
      return "dpdk";
    default:
      return "unused";
  }
}

}  // namespace

std::string json_text(const std::string& text) {
  std::string quoted = "\"";
  for (const char each : text) {
    const auto byte = static_cast<unsigned char>(each);
    if (byte < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", byte);
      quoted += escape;
      continue;
    }
    if (each == '"' || each == '\\') quoted += '\\';
    quoted += each;
  }
  return quoted + '"';
}

std::string json_counters(const nest_fast_counters& counters) {
  return "{\"receivedPackets\":" + std::to_string(counters.received_packets) +
         ",\"receivedBytes\":" + std::to_string(counters.received_bytes) +
         ",\"sentPackets\":" + std::to_string(counters.sent_packets) +
         ",\"sentBytes\":" + std::to_string(counters.sent_bytes) +
         ",\"denied\":" + std::to_string(counters.denied) + ",\"passed\":" + std::to_string(counters.passed) +
         ",\"sendFull\":" + std::to_string(counters.send_full) +
         ",\"unreachable\":" + std::to_string(counters.unreachable) + "}";
}

std::string json_stats(const nest_fast_port_stats& stats) {
  return "{\"name\":" + json_text({stats.name, strnlen(stats.name, sizeof(stats.name))}) +
         ",\"interface\":" + std::to_string(stats.interface) +
         ",\"receiveLost\":" + std::to_string(stats.receive_lost) +
         ",\"counters\":" + json_counters(stats.counters) + "}";
}

std::string json_port(const nest_fast_port& port, const nest_fast_counters& counters) {
  return "{\"name\":" + json_text({port.name, strnlen(port.name, sizeof(port.name))}) +
         ",\"interface\":" + std::to_string(port.interface) + ",\"mode\":\"" + mode_name(port.mode) +
         "\",\"driver\":" + json_text({port.driver, strnlen(port.driver, sizeof(port.driver))}) +
         ",\"numaDevice\":" + std::to_string(port.numa_device) +
         ",\"numaMemory\":" + std::to_string(port.numa_memory) + ",\"counters\":" + json_counters(counters) +
         "}";
}

}  // namespace nest::fast
