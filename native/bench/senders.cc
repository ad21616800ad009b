// SPDX-License-Identifier: AGPL-3.0-only
// `generate` and `drive`: many packets out of one call of BPF_PROG_TEST_RUN, at a rate that the program
// itself keeps.
#include <bpf/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "arguments.h"
#include "backend/xdp/descriptor.h"
#include "commands.h"
#include "objects.h"

namespace nest::bench {
namespace {

constexpr size_t kEthernetBytes = 14;
constexpr size_t kTemplateBytesMax = 256;
constexpr size_t kStateBytes = 4096;
constexpr uint64_t kSecondNs = 1'000'000'000;

void on_stop(int) {}

/// The variables of a loaded object that its program writes.
class State {
 public:
  explicit State(const ObjectPointer& object)
      : object_(object), memory_(bpf_map__fd(section_of(object, ".bss")), kStateBytes) {}

  uint64_t read(const char* variable) const { return __atomic_load_n(at(variable), __ATOMIC_RELAXED); }

 private:
  const uint64_t* at(const char* variable) const {
    const auto* bytes = static_cast<const uint8_t*>(memory_.address());
    return reinterpret_cast<const uint64_t*>(bytes + offset_of(object_, ".bss", variable));
  }

  const ObjectPointer& object_;
  xdp::Mapping memory_;
};

void pin_to(uint64_t processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  const int error = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
  if (error != 0) throw std::system_error(error, std::generic_category(), "--cpu");
}

/// Runs `work`, which enters one long call in the kernel, in a thread of its own until the count is reached.
/// The program stops by itself then; the call ends by a signal, because each costs milliseconds to set up.
/// Returns seconds.
template <typename Work, typename IsDone>
double run_until(Work work, IsDone is_done) {
  struct sigaction action = {};
  action.sa_handler = on_stop;
  sigaction(SIGUSR1, &action, nullptr);
  const auto start = std::chrono::steady_clock::now();
  std::atomic<bool> is_over = false;
  std::exception_ptr failure;
  std::thread sender([&] {
    try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
    is_over = true;
  });
  while (!is_over && !is_done()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  while (!is_over) {
    pthread_kill(sender.native_handle(), SIGUSR1);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  sender.join();
  if (failure) std::rethrow_exception(failure);
  return seconds;
}

/// One call with a huge repeat on this packet, ended by a signal.
void enter(int program, const Packet& packet, uint32_t interface, bool is_live) {
  xdp_md context = {};
  context.data_end = static_cast<uint32_t>(packet.size());
  context.ingress_ifindex = interface;
  bpf_test_run_opts options = {};
  options.sz = sizeof(options);
  options.data_in = packet.data();
  options.data_size_in = static_cast<uint32_t>(packet.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  options.repeat = INT32_MAX;
  if (is_live) {
    options.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    options.batch_size = 64;
  }
  if (bpf_prog_test_run_opts(program, &options) != 0 && errno != EINTR) fail("BPF_PROG_TEST_RUN");
}

uint64_t gap_ns(const Arguments& arguments) {
  const uint64_t rate = arguments.number("rate", 0);
  return rate == 0 ? 0 : kSecondNs / rate;
}

}  // namespace

void generate(const std::vector<std::string>& words) {
  const Arguments arguments(words,
                            {"object", "interface", "template", "count", "rate", "vary-offset", "flows"});
  const Packet pattern = arguments.bytes("template");
  const uint64_t count = arguments.number("count");
  if (pattern.size() < kEthernetBytes || pattern.size() > kTemplateBytesMax)
    throw std::invalid_argument("--template must have 14 to 256 bytes");
  const ObjectPointer object = open_object(arguments.text("object"));
  Settings settings(object);
  settings.set("template", pattern.data(), pattern.size());
  settings.set("template_bytes", static_cast<uint32_t>(pattern.size()));
  settings.set("vary_offset", static_cast<uint32_t>(arguments.number("vary-offset", 0)));
  settings.set("vary_mask", static_cast<uint32_t>(arguments.number("flows", 1) - 1));
  settings.set64("gap_ns", gap_ns(arguments));
  settings.set64("packets_max", count);
  settings.load();
  const State state(object);
  const std::string interface_name = arguments.text("interface");
  const uint32_t interface = interface_index(interface_name);
  const uint64_t drops_before = interface_drops(interface_name);
  const int program = program_of(object, "bench_generator");
  const double seconds = run_until([&] { enter(program, pattern, interface, true); },
                                   [&] { return state.read("sent") >= count; });
  std::printf("{\"sent\":%llu,\"interfaceDrops\":%llu,\"seconds\":%.6f}\n",
              static_cast<unsigned long long>(state.read("sent")),
              static_cast<unsigned long long>(interface_drops(interface_name) - drops_before), seconds);
}

void drive(const std::vector<std::string>& words) {
  const Arguments arguments(
      words, {"pin-path", "object", "interface", "packet", "vary-offset", "flows", "count", "rate", "cpu"});
  const xdp::Descriptor nest = open_program(arguments.text("pin-path"));
  Packet packet = arguments.bytes("packet");
  packet.resize(std::max<size_t>(packet.size(), kHeaderBytes));
  const uint64_t flows = arguments.number("flows");
  if (flows == 0 || (flows & (flows - 1)) != 0 || flows > uint64_t{1} << 31)
    throw std::invalid_argument("--flows must be a power of two");
  const uint64_t count = arguments.number("count");
  const ObjectPointer object = open_object(arguments.text("object"));
  Settings settings(object);
  settings.set("bench_headers", packet.data(), kHeaderBytes);
  settings.set("bench_offset", static_cast<uint32_t>(arguments.number("vary-offset")));
  settings.set("bench_mask", static_cast<uint32_t>(flows - 1));
  settings.set64("bench_gap_ns", gap_ns(arguments));
  settings.set64("bench_packets_max", count);
  settings.load();
  const State state(object);
  const uint32_t key = 0;
  const int target = nest.get();
  if (bpf_map_update_elem(bpf_object__find_map_fd_by_name(object.get(), "bench_target"), &key, &target,
                          BPF_ANY) != 0)
    fail("the program cannot be tail-called");
  const uint32_t interface = interface_index(arguments.text("interface"));
  const int program = program_of(object, "bench_driver");
  run_until(
      [&] {
        if (arguments.has("cpu")) pin_to(arguments.number("cpu"));
        enter(program, packet, interface, false);
      },
      [&] { return state.read("bench_sent") >= count; });
  // By the program's own clock: from its first packet to its last.
  const uint64_t elapsed_ns = state.read("bench_ended_ns") - state.read("bench_started_ns");
  std::printf("{\"sent\":%llu,\"seconds\":%.6f}\n", static_cast<unsigned long long>(state.read("bench_sent")),
              static_cast<double>(elapsed_ns) / 1e9);
}

}  // namespace nest::bench
