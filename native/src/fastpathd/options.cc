// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/options.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <set>

#include "fastpathd/failure.h"

namespace nest::fast {
namespace {

constexpr uint32_t kQueueMax = 63;
constexpr uint32_t kProcessorMax = 1023;
constexpr uint32_t kBusyPollMax = 1024;
constexpr uint32_t kSecondsMax = 3600;
constexpr uint32_t kFramesMin = 4096;
constexpr uint32_t kFramesMax = 262144;
constexpr uint32_t kFlowsMax = 65536;
constexpr uint32_t kFunctionsMax = 1024;
constexpr size_t kPatternBytesMin = 34;
constexpr size_t kPatternBytesMax = 256;

Failure wrong(const std::string& message) {
  return Failure(NEST_FAST_STATUS_USAGE, message, "see nest-fastpathd --help");
}

uint32_t number(const std::string& text, const std::string& option, uint32_t least, uint32_t most) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
    throw wrong(option + ": \"" + text + "\" is no number from " + std::to_string(least) + " to " +
                std::to_string(most));
  return value;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char each : text) {
    if (each == separator) {
      parts.emplace_back();
    } else {
      parts.back() += each;
    }
  }
  return parts;
}

std::vector<uint32_t> numbers(const std::string& text, const std::string& option, uint32_t most) {
  std::vector<uint32_t> values;
  for (const std::string& part : split(text, ',')) values.push_back(number(part, option, 0, most));
  if (values.size() > NEST_FAST_LANES_MAX) throw wrong(option + ": more than 16 values");
  if (std::set<uint32_t>(values.begin(), values.end()).size() != values.size())
    throw wrong(option + ": a value stands twice in \"" + text + "\"");
  return values;
}

std::string interface_name(const std::string& text) {
  if (text.empty() || text.size() >= NEST_FAST_NAME_BYTES || text.find('/') != std::string::npos)
    throw wrong("\"" + text + "\" is no interface name");
  return text;
}

PortOptions& port_of(Options& options, const std::string& name) {
  const auto found = std::ranges::find(options.ports, name, &PortOptions::name);
  if (found != options.ports.end()) return *found;
  PortOptions port;
  port.name = interface_name(name);
  options.ports.push_back(port);
  return options.ports.back();
}

/// "name=value" at the first equals sign.
std::pair<std::string, std::string> assignment(const std::string& text, const std::string& option) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) throw wrong(option + ": \"" + text + "\" is not name=value");
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void set_interface(Options& options, const std::string& value) {
  const size_t colon = value.rfind(':');
  const std::string name = value.substr(0, colon);
  if (std::ranges::find(options.ports, name, &PortOptions::name) != options.ports.end())
    throw wrong("--interface: " + name + " stands twice");
  PortOptions& port = port_of(options, name);
  port.queues = colon == std::string::npos ? std::vector<uint32_t>{0}
                                           : numbers(value.substr(colon + 1), "--interface", kQueueMax);
}

void set_pass(Options& options, const std::string& value) {
  const auto [name, what] = assignment(value, "--pass");
  PortOptions& port = port_of(options, name);
  if (what == "kernel") {
    port.pass = NEST_FAST_PASS_KERNEL;
  } else if (what == "reflect") {
    port.pass = NEST_FAST_PASS_REFLECT;
  } else if (what.starts_with("peer:")) {
    port.pass = NEST_FAST_PASS_PEER;
    port.peer = interface_name(what.substr(5));
  } else {
    throw wrong("--pass: \"" + what + "\" is none of kernel, reflect, peer:<interface>");
  }
}

void set_fallback(Options& options, const std::string& value) {
  const auto [name, what] = assignment(value, "--fallback");
  PortOptions& port = port_of(options, name);
  if (what == "pass") {
    port.fallback = NEST_FAST_FALLBACK_PASS;
  } else if (what == "drop") {
    port.fallback = NEST_FAST_FALLBACK_DROP;
  } else if (what.starts_with("xdp:") && what.size() > 4 && what.size() < NEST_FAST_PATH_BYTES) {
    port.fallback = NEST_FAST_FALLBACK_XDP;
    port.program = what.substr(4);
  } else {
    throw wrong("--fallback: \"" + what + "\" is none of pass, drop, xdp:<path of a pinned program>");
  }
}

void set_engine(Options& options, const std::string& value) {
  const EngineKind built = options.engine;
  if (value != "af_xdp" && value != "dpdk")
    throw wrong("--engine: \"" + value + "\" is neither af_xdp nor dpdk");
  if ((value == "dpdk") == (built == EngineKind::kDpdk)) return;
  throw Failure(NEST_FAST_STATUS_ENGINE, "this executable has no " + value + " engine",
                value == "dpdk" ? "start nest-fastpathd-dpdk" : "start nest-fastpathd");
}

void set_copy_mode(Options& options, const std::string& value) {
  const std::map<std::string, CopyMode> modes = {
      {"auto", CopyMode::kAutomatic}, {"copy", CopyMode::kCopy}, {"zero-copy", CopyMode::kZeroCopy}};
  const auto found = modes.find(value);
  if (found == modes.end()) throw wrong("--copy-mode: \"" + value + "\" is none of auto, copy, zero-copy");
  options.copy_mode = found->second;
}

void set_frame_bytes(Options& options, const std::string& value) {
  options.frame_bytes = number(value, "--frame-bytes", 2048, 4096);
  if (options.frame_bytes != 2048 && options.frame_bytes != 4096)
    throw wrong("--frame-bytes is 2048 or 4096");
}

BenchOptions& bench_of(Options& options) {
  if (!options.bench) options.bench.emplace();
  return *options.bench;
}

void set_template(Options& options, const std::string& value) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < value.size(); i += 2) {
    uint8_t byte = 0;
    const auto [end, error] =
        std::from_chars(value.data() + i, value.data() + std::min(i + 2, value.size()), byte, 16);
    if (error != std::errc() || end != value.data() + i + 2)
      throw wrong("--bench-template is not hexadecimal");
    bytes.push_back(byte);
  }
  if (bytes.size() < kPatternBytesMin || bytes.size() > kPatternBytesMax)
    throw wrong("--bench-template has not 34 to 256 bytes");
  bench_of(options).pattern = std::move(bytes);
}

void set_vary(Options& options, const std::string& value) {
  const std::vector<std::string> parts = split(value, ':');
  if (parts.size() != 2) throw wrong("--bench-vary is offset:flows");
  BenchOptions& bench = bench_of(options);
  bench.vary_offset = number(parts[0], "--bench-vary", 0, kPatternBytesMax - 2);
  bench.flows = number(parts[1], "--bench-vary", 1, kFlowsMax);
  if ((bench.flows & (bench.flows - 1)) != 0) throw wrong("--bench-vary: the flows are no power of two");
}

using Setter = std::function<void(Options&, const std::string&)>;

const std::map<std::string, Setter>& setters() {
  static const std::map<std::string, Setter> all = {
      {"--engine", set_engine},
      {"--interface", set_interface},
      {"--pass", set_pass},
      {"--fallback", set_fallback},
      {"--cpu", [](Options& o, const std::string& v) { o.processors = numbers(v, "--cpu", kProcessorMax); }},
      {"--busy-poll",
       [](Options& o, const std::string& v) { o.busy_poll = number(v, "--busy-poll", 1, kBusyPollMax); }},
      {"--control", [](Options& o, const std::string& v) { o.control_path = v; }},
      {"--pin-path", [](Options& o, const std::string& v) { o.pin_path = v; }},
      {"--object", [](Options& o, const std::string& v) { o.object_path = v; }},
      {"--image", [](Options& o, const std::string& v) { o.image_path = v; }},
      {"--copy-mode", set_copy_mode},
      {"--frame-bytes", set_frame_bytes},
      {"--frames",
       [](Options& o, const std::string& v) { o.frames = number(v, "--frames", kFramesMin, kFramesMax); }},
      {"--eal",
       [](Options& o, const std::string& v) {
         check_eal_argument(v);
         o.eal.push_back(v);
       }},
      {"--seconds",
       [](Options& o, const std::string& v) { o.seconds = number(v, "--seconds", 1, kSecondsMax); }},
      {"--bench-template", set_template},
      {"--bench-vary", set_vary},
      {"--sysfs", [](Options& o, const std::string& v) { o.sysfs = v; }},
      {"--virtual-functions",
       [](Options& o, const std::string& v) {
         o.command = Options::Command::kVirtualFunctions;
         const auto [name, count] = v.find('=') == std::string::npos ? std::pair{v, std::string()}
                                                                     : assignment(v, "--virtual-functions");
         o.device = interface_name(name);
         if (!count.empty()) o.device_functions = number(count, "--virtual-functions", 0, kFunctionsMax);
       }},
  };
  return all;
}

void check_ports(const Options& options) {
  if (options.ports.size() > NEST_FAST_PORTS_MAX) throw wrong("more than 16 interfaces");
  for (const PortOptions& port : options.ports) {
    if (port.queues.empty() && options.engine == EngineKind::kAfXdp)
      throw wrong("--pass or --fallback names " + port.name + ", which no --interface does");
    if (!port.queues.empty() && port.queues.size() != options.processors.size())
      throw wrong("interface " + port.name + " has " + std::to_string(port.queues.size()) + " queues for " +
                  std::to_string(options.processors.size()) + " processors: each worker takes one of each");
  }
}

void check(const Options& options) {
  if (options.command != Options::Command::kRun) return;
  check_ports(options);
  const bool has_work = !options.ports.empty() || !options.eal.empty() || !options.control_path.empty();
  if (!has_work) throw wrong("neither --interface, --eal nor --control: there is nothing to do");
  if (options.bench && options.bench->pattern.empty()) throw wrong("--bench-vary needs --bench-template");
  if (options.bench && options.bench->vary_offset + 2 > options.bench->pattern.size())
    throw wrong("--bench-vary lies outside the template");
  if (options.engine == EngineKind::kAfXdp && !options.eal.empty())
    throw wrong("--eal is for the dpdk engine");
  if (options.engine == EngineKind::kAfXdp && options.bench)
    throw wrong("--bench-template is for the dpdk engine");
  if (options.engine == EngineKind::kDpdk && options.busy_poll != 0)
    throw wrong("--busy-poll is for the af_xdp engine: dpdk always polls");
}

}  // namespace

PortOptions parse_port(const std::vector<std::string>& words) {
  Options options;
  const std::set<std::string> known = {"--interface", "--pass", "--fallback"};
  for (size_t i = 0; i < words.size(); i += 2) {
    if (!known.contains(words[i]) || i + 1 == words.size()) throw wrong("a port has no option " + words[i]);
    setters().at(words[i])(options, words[i + 1]);
  }
  if (options.ports.size() != 1 || options.ports.front().queues.empty())
    throw wrong("exactly one --interface is needed");
  return options.ports.front();
}

Options parse_options(const std::vector<std::string>& words, EngineKind engine) {
  Options options;
  options.engine = engine;
  for (size_t i = 0; i < words.size(); i++) {
    if (words[i] == "--help") {
      options.command = Options::Command::kHelp;
    } else if (words[i] == "--probe") {
      options.command = Options::Command::kProbe;
    } else if (words[i] == "--probe-dpdk") {
      options.command = Options::Command::kProbeDpdk;
    } else if (words[i] == "--spin") {
      options.is_spinning = true;
    } else {
      const auto setter = setters().find(words[i]);
      if (setter == setters().end()) throw wrong("there is no option " + words[i]);
      if (i + 1 == words.size()) throw wrong(words[i] + " needs a value");
      setter->second(options, words[++i]);
    }
  }
  if (options.processors.empty()) options.processors = {0};
  check(options);
  return options;
}

}  // namespace nest::fast
