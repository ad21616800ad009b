// SPDX-License-Identifier: AGPL-3.0-only
// nest-packet: sends, receives, judges and times packets for tests and benchmarks. Never installed on hosts.
#include <net/if.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <stdexcept>
#include <system_error>

#include "commands.h"

namespace nest::bench {
namespace {

constexpr uint32_t kPacketBytesMax = 65536;

constexpr const char* kUsage =
    "usage: nest-packet <command>\n"
    "  send     --interface X [--rate pps] [--batch n]     packets from stdin: u32le length, bytes\n"
    "  send     --interface X --count n --template hex [--vary offset:flows] [--rate pps] [--batch n]\n"
    "  receive  --interface X --for-ms n [--count n] [--output packets|count]\n"
    "  judge    --pin-path P --interface X                 packets from stdin through the pinned program\n"
    "  age      --pin-path P --seconds n                   moves the clock of all flows back\n"
    "  lose     --pin-path P --table nest_pairs            takes a policy table away\n"
    "  dump     --pin-path P --table nest_pairs            what a map or the policy table in use holds: "
    "key:value\n"
    "  memory   --pin-path P                               what all maps take, inner ones too\n"
    "  run      --pin-path P --object bench_wrapper.bpf.o --packet hex --vary-offset n\n"
    "           [--interface X] [--flows 1,4096,65536] [--repeat n] [--samples n]\n"
    "           [--filter alw_all] [--filter-address hex]    peer: an object of xdp-filter, 10,000 "
    "addresses\n"
    "  generate --object bench_generator.bpf.o --interface X --template hex --count n\n"
    "           [--rate pps] [--vary-offset n --flows n]\n"
    "  drive    --pin-path P --object bench_wrapper.bpf.o --interface X --packet hex --vary-offset n\n"
    "           --flows n --count n [--rate pps] [--cpu n]    the pinned program alone, without "
    "a wire\n";

}  // namespace

void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

uint32_t interface_index(const std::string& name) {
  const uint32_t index = if_nametoindex(name.c_str());
  if (index == 0) fail("interface " + name);
  return index;
}

uint64_t interface_drops(const std::string& name) {
  uint64_t drops = 0;
  std::ifstream("/sys/class/net/" + name + "/statistics/tx_dropped") >> drops;
  return drops;
}

std::vector<Packet> read_packets() {
  std::vector<Packet> packets;
  uint8_t prefix[4];
  while (std::fread(prefix, 1, sizeof(prefix), stdin) == sizeof(prefix)) {
    const uint32_t bytes =
        prefix[0] | uint32_t{prefix[1]} << 8 | uint32_t{prefix[2]} << 16 | uint32_t{prefix[3]} << 24;
    if (bytes == 0 || bytes > kPacketBytesMax)
      throw std::invalid_argument("a packet's length is not in 1..65536");
    Packet packet(bytes);
    if (std::fread(packet.data(), 1, bytes, stdin) != bytes)
      throw std::invalid_argument("the input ends inside a packet");
    packets.push_back(std::move(packet));
  }
  return packets;
}

}  // namespace nest::bench

int main(int count, char** words) {
  using namespace nest::bench;
  using Command = void (*)(const std::vector<std::string>&);
  const std::map<std::string, Command> commands = {
      {"send", send}, {"receive", receive}, {"judge", judge},       {"age", age},     {"lose", lose},
      {"dump", dump}, {"run", run},         {"generate", generate}, {"drive", drive}, {"memory", memory}};
  const auto command = commands.find(count > 1 ? words[1] : "");
  if (command == commands.end()) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  try {
    command->second({words + 2, words + count});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "nest-packet %s: %s\n", words[1], error.what());
    return 1;
  }
  return 0;
}
