// SPDX-License-Identifier: AGPL-3.0-only
// nest-differential: the same packets through the XDP program (BPF_PROG_TEST_RUN) and the user-space build.
// Cases come on standard input, what differs goes to standard output as lines of JSON, the last line sums up.
//
//   u32 image bytes, image, u32 packets, then per packet: u32 bytes, bytes          (little-endian, no
//   padding)
//
// --results writes per packet what the user-space build said, for others to compare with: u8 action, u8
// reason, u16 mapping, u32 bytes, u32 FNV-1a of the bytes, u64 time in ns.
#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>

#include "sides.h"

namespace nest::differential {
namespace {

constexpr uint32_t kImageBytesMax = 256u << 20;
constexpr uint32_t kPacketsMax = 10'000'000;
constexpr uint32_t kPacketBytesMin = 14;
constexpr uint32_t kPacketBytesMax = 3000;
constexpr size_t kDifferencesMax = 20;
/// Per-CPU counters and port shares of the kernel are then those of one lane.
constexpr uint32_t kProcessor = 0;
/// Above the tick of the kernel's coarse clock, by which flows end.
constexpr uint64_t kClockSlackNs = 10'000'000;

struct Options {
  std::string object;
  std::string pin_path;
  std::string results;
  uint32_t life = 8;  // policies on the same flows; then both sides forget, before an LRU table may
  Surroundings around;
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  size_t start = 0;
  for (size_t end = text.find(','); end != std::string::npos; end = text.find(',', start)) {
    parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  parts.push_back(text.substr(start));
  return parts;
}

uint32_t number(const std::string& text) {
  return static_cast<uint32_t>(std::stoul(text));
}

void read_mac(const std::string& hex, uint8_t (&mac)[6]) {
  if (hex.size() != 12) throw std::invalid_argument("a MAC address has twelve digits: " + hex);
  for (size_t i = 0; i < 6; i++) mac[i] = static_cast<uint8_t>(std::stoul(hex.substr(i * 2, 2), nullptr, 16));
}

/// index,IPv4 address,IPv6 address
InterfaceAddress read_address(const std::string& text) {
  const auto parts = split(text);
  InterfaceAddress address = {.index = number(parts.at(0)), .address = {}};
  if (inet_pton(AF_INET, parts.at(1).c_str(), &address.address.address4) != 1 ||
      inet_pton(AF_INET6, parts.at(2).c_str(), address.address.address6) != 1)
    throw std::invalid_argument("--address " + text);
  return address;
}

/// address,length,egress,mtu,destination MAC,source MAC
nest_user_route read_route(const std::string& text) {
  const auto parts = split(text);
  nest_user_route route = {};
  const bool is_ipv6 = parts.at(0).find(':') != std::string::npos;
  route.family = is_ipv6 ? 6 : 4;
  if (inet_pton(is_ipv6 ? AF_INET6 : AF_INET, parts.at(0).c_str(), route.address) != 1)
    throw std::invalid_argument("--route " + text);
  route.length = static_cast<uint8_t>(number(parts.at(1)));
  route.egress = number(parts.at(2));
  route.mtu = static_cast<uint16_t>(number(parts.at(3)));
  read_mac(parts.at(4), route.destination_mac);
  read_mac(parts.at(5), route.source_mac);
  return route;
}

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--object")
      options.object = value;
    else if (name == "--pin-path")
      options.pin_path = value;
    else if (name == "--results")
      options.results = value;
    else if (name == "--life")
      options.life = std::max(1u, number(value));
    else if (name == "--interface")
      options.around.interface = value;
    else if (name == "--address")
      options.around.addresses.push_back(read_address(value));
    else if (name == "--port")
      options.around.ports.push_back(number(value));
    else if (name == "--route")
      options.around.routes.push_back(read_route(value));
    else
      throw std::invalid_argument("there is no option " + name);
  }
  options.around.index = if_nametoindex(options.around.interface.c_str());
  if (options.around.index == 0)
    throw std::invalid_argument("there is no interface " + options.around.interface);
  return options;
}

/// False at the end of the input.
bool read_word(std::istream& in, uint32_t& word) {
  in.read(reinterpret_cast<char*>(&word), sizeof(word));
  return in.gcount() == sizeof(word);
}

std::vector<uint8_t> read_bytes(std::istream& in, uint32_t count) {
  std::vector<uint8_t> bytes(count);
  in.read(reinterpret_cast<char*>(bytes.data()), count);
  if (in.gcount() != static_cast<std::streamsize>(count))
    throw std::runtime_error("the input ends within a case");
  return bytes;
}

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  char digits[3];
  for (const uint8_t byte : bytes) {
    std::snprintf(digits, sizeof(digits), "%02x", byte);
    text += digits;
  }
  return text;
}

template <typename Object>
std::string hex_of(const Object& object) {
  return hex({reinterpret_cast<const uint8_t*>(&object), sizeof(object)});
}

uint32_t fnv1a(std::span<const uint8_t> bytes) {
  uint32_t hash = 0x811c9dc5u;
  for (const uint8_t byte : bytes) hash = (hash ^ byte) * 0x01000193u;
  return hash;
}

uint32_t lanes() {
  return static_cast<uint32_t>(libbpf_num_possible_cpus());
}

class Comparison {
 public:
  explicit Comparison(const Options& options)
      : kernel_(options.object, options.pin_path, options.around),
        user_(options.around, lanes(), kProcessor),
        results_(options.results, std::ios::binary),
        life_(options.life) {}

  /// Reads and compares one case; false at the end of the input.
  bool run_case(std::istream& in) {
    uint32_t bytes = 0;
    uint32_t count = 0;
    if (!read_word(in, bytes)) return false;
    if (bytes > kImageBytesMax) throw std::runtime_error("an image is too long");
    const auto image = read_bytes(in, bytes);
    if (!read_word(in, count) || count > kPacketsMax)
      throw std::runtime_error("a case has no or too many packets");
    const uint32_t sequence = ++case_;
    const bool forget = (sequence - 1) % life_ == 0;
    kernel_.load(image, sequence, forget);
    user_.load(image, sequence, forget);
    for (packet_ = 0; packet_ < count; packet_++) {
      uint32_t length = 0;
      if (!read_word(in, length) || length < kPacketBytesMin || length > kPacketBytesMax)
        throw std::runtime_error("a packet is too short or too long");
      compare(read_bytes(in, length));
    }
    packets_ += count;
    compare_sums();
    return true;
  }

  size_t differences() const { return differences_; }
  size_t flows() const { return flows_; }
  uint64_t packets() const { return packets_; }
  uint32_t cases() const { return case_; }

 private:
  void compare(const std::vector<uint8_t>& packet) {
    const Explanation kernel = kernel_.explain(packet);
    const Explanation user = explain_like(packet, kernel.trace.magic, [&](const Explanation& each) {
      return same_trace(kernel, each) && kernel.outcome == each.outcome;
    });
    const Outcome kernel_outcome = kernel_.judge(packet);
    uint64_t time_ns = 0;
    explain_like(
        packet, kernel.trace.magic, [&](const Explanation& each) { return kernel_outcome == each.outcome; },
        &time_ns);
    nest_user_verdict verdict = {};
    const Outcome user_outcome = user_.judge(packet, time_ns, verdict);
    if (std::memcmp(&kernel.trace, &user.trace, sizeof(nest_trace)) != 0)
      report("trace", packet, hex_of(kernel.trace), hex_of(user.trace));
    else if (!same_more(kernel.more, user.more))
      report("trace more", packet, hex_of(kernel.more), hex_of(user.more));
    else if (kernel.outcome != user.outcome)
      report("traced output", packet, text_of(kernel.outcome), text_of(user.outcome));
    else if (kernel_outcome != user_outcome)
      report("output", packet, text_of(kernel_outcome), text_of(user_outcome));
    else if (kernel.outcome == kernel_outcome && kernel.trace.reason != verdict.reason)
      report("reason", packet, std::to_string(kernel.trace.reason), std::to_string(verdict.reason));
    if (results_.is_open()) write_result(verdict, user_outcome, time_ns);
  }

  void write_result(const nest_user_verdict& verdict, const Outcome& outcome, uint64_t time_ns) {
    const uint32_t row[5] = {verdict.action | static_cast<uint32_t>(verdict.reason) << 8 |
                                 static_cast<uint32_t>(verdict.mapping) << 16,
                             static_cast<uint32_t>(outcome.bytes.size()), fnv1a(outcome.bytes),
                             static_cast<uint32_t>(time_ns), static_cast<uint32_t>(time_ns >> 32)};
    results_.write(reinterpret_cast<const char*>(row), sizeof(row));
  }

  /// The kernel reads its clock a moment before user space is asked. Where that moment decides (a bucket has
  /// one more token, a flow is over), user space has to say the same at a time close by; it is asked now
  /// first. Without agreement, the answer of now.
  template <typename Agrees>
  Explanation explain_like(const std::vector<uint8_t>& packet, uint32_t magic, Agrees agrees,
                           uint64_t* time_ns = nullptr) {
    const uint64_t now = now_ns();
    if (time_ns != nullptr) *time_ns = now;
    Explanation first = user_.explain(packet, now);
    first.trace.magic = magic;
    if (agrees(first)) return first;
    for (const uint64_t time : {now - kClockSlackNs, now + kClockSlackNs}) {
      Explanation other = user_.explain(packet, time);
      other.trace.magic = magic;
      if (!agrees(other)) continue;
      if (time_ns != nullptr) *time_ns = time;
      return other;
    }
    return first;
  }

  static bool same_trace(const Explanation& kernel, const Explanation& user) {
    return std::memcmp(&kernel.trace, &user.trace, sizeof(nest_trace)) == 0 &&
           same_more(kernel.more, user.more);
  }

  /// The second of a route's answer is each side's own clock. And the kernel knows networks of its own beside
  /// the next hops that both were told: where it routes by itself, its interface and MTU are its own affair.
  static bool same_more(nest_trace_more kernel, nest_trace_more user) {
    for (nest_rewrite* rewrite : {&kernel.rewrite, &user.rewrite}) {
      rewrite->route_second = 0;
      if ((rewrite->flags & NEST_REWRITE_ROUTED) != 0) continue;
      rewrite->egress = 0;
      rewrite->mtu = 0;
    }
    return std::memcmp(&kernel, &user, sizeof(kernel)) == 0;
  }

  void compare_sums() {
    const Totals kernel = kernel_.totals();
    const Totals user = user_.totals();
    compare_list("reasons", kernel.reasons, user.reasons);
    compare_list("mappings", kernel.mappings, user.mappings);
    compare_list("limits", kernel.limits, user.limits);
    compare_list("deny lists", kernel.deny_lists, user.deny_lists);
    compare_list("backends", kernel.backends, user.backends);
    if (case_ % life_ == 0) compare_flows(kernel_.flows(), user_.flows());
  }

  /// Both tables are far from full, so neither may have let go of a flow.
  void compare_flows(const std::vector<FlowRow>& kernel, const std::vector<FlowRow>& user) {
    std::vector<FlowRow> apart;
    std::set_symmetric_difference(kernel.begin(), kernel.end(), user.begin(), user.end(),
                                  std::back_inserter(apart));
    flows_ += kernel.size();
    for (const FlowRow& row : apart) {
      const bool is_kernel = std::ranges::binary_search(kernel, row);
      report("flow table", {}, is_kernel ? text_of(row) : "no such flow",
             is_kernel ? "no such flow" : text_of(row));
    }
  }

  static std::string text_of(const FlowRow& row) {
    return std::apply(
        [](const auto& source, const auto& destination, const auto& rewritten, auto... rest) {
          std::string text = hex(source) + " " + hex(destination) + " " + hex(rewritten);
          ((text += " " + std::to_string(rest)), ...);
          return text;
        },
        row);
  }

  /// What is missing at the end of one list is zero.
  void compare_list(const char* what, const std::vector<uint64_t>& kernel,
                    const std::vector<uint64_t>& user) {
    for (size_t i = 0; i < std::max(kernel.size(), user.size()); i++) {
      const uint64_t a = i < kernel.size() ? kernel[i] : 0;
      const uint64_t b = i < user.size() ? user[i] : 0;
      if (a == b) continue;
      report(what, {}, "[" + std::to_string(i) + "] " + std::to_string(a),
             "[" + std::to_string(i) + "] " + std::to_string(b));
      return;
    }
  }

  static std::string text_of(const Outcome& outcome) {
    return std::to_string(outcome.action) + " " + hex(outcome.bytes);
  }

  void report(const char* what, std::span<const uint8_t> packet, const std::string& kernel,
              const std::string& user) {
    if (++differences_ > kDifferencesMax) return;
    std::printf(R"({"case":%u,"packet":%u,"what":"%s","bytes":"%s","kernel":"%s","user":"%s"})"
                "\n",
                case_ - 1, packet_, what, hex(packet).c_str(), kernel.c_str(), user.c_str());
  }

  KernelSide kernel_;
  UserSide user_;
  std::ofstream results_;
  uint32_t life_;
  uint32_t case_ = 0;
  uint32_t packet_ = 0;
  uint64_t packets_ = 0;
  size_t differences_ = 0;
  size_t flows_ = 0;
};

void pin() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(kProcessor, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) throw std::runtime_error("the thread cannot be pinned");
}

int run(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  pin();
  const auto started = std::chrono::steady_clock::now();
  Comparison comparison(options);
  while (comparison.differences() < kDifferencesMax && comparison.run_case(std::cin)) {
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  std::printf(R"({"cases":%u,"packets":%llu,"differences":%zu,"seconds":%.3f,"lanes":%u,"flows":%zu})"
              "\n",
              comparison.cases(), static_cast<unsigned long long>(comparison.packets()),
              comparison.differences(), seconds.count(), lanes(), comparison.flows());
  return comparison.differences() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace nest::differential

int main(int argc, char** argv) {
  try {
    return nest::differential::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
