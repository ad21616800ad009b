// SPDX-License-Identifier: AGPL-3.0-only
// nest-fastpathd: packets judged in user space. Exit codes: 0 stopped, 1 failed, 2 command line. A failure is
// one JSON line on standard error: status, message, step.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include <chrono>
#include <cstdio>
#include <optional>

#include "fastpathd/daemon.h"
#include "fastpathd/json.h"
#include "fastpathd/options.h"
#include "fastpathd/probe.h"
#include "fastpathd/virtual_functions.h"

namespace nest::fast {
namespace {

#ifdef NEST_FASTPATHD_DPDK
constexpr EngineKind kEngine = EngineKind::kDpdk;
#else
constexpr EngineKind kEngine = EngineKind::kAfXdp;
#endif

using Clock = std::chrono::steady_clock;

/// SIGINT, SIGTERM and SIGHUP as a descriptor; workers inherit the mask.
Descriptor stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int each : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, each);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  Descriptor descriptor(signalfd(-1, &set, SFD_CLOEXEC));
  if (!descriptor) throw system_failure(errno, "signals");
  return descriptor;
}

/// Until a signal, a stop request, or the end of the time asked for.
void serve(const Options& options, const Descriptor& signals, Daemon& daemon, ControlServer* server) {
  const auto end = Clock::now() + std::chrono::seconds(options.seconds);
  while (!daemon.is_stopping()) {
    std::vector<pollfd> entries = {{.fd = signals.get(), .events = POLLIN, .revents = 0}};
    if (server != nullptr) {
      for (const int each : server->descriptors())
        entries.push_back({.fd = each, .events = POLLIN, .revents = 0});
    }
    int wait_ms = -1;
    if (options.seconds != 0) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
      if (left <= 0) return;
      wait_ms = static_cast<int>(left);
    }
    if (poll(entries.data(), entries.size(), wait_ms) < 0 && errno != EINTR)
      throw system_failure(errno, "poll");
    if (entries[0].revents != 0) return;
    for (size_t i = 1; i < entries.size(); i++) {
      if (entries[i].revents != 0) server->handle(entries[i].fd);
    }
  }
}

void run(const Options& options) {
  const Descriptor signals = stop_signals();
  Daemon daemon(options);
  std::optional<ControlServer> server;
  if (!options.control_path.empty())
    server.emplace(options.control_path, [&](Request& request) { return daemon.handle(request); });
  std::printf("%s\n", daemon.report(0).c_str());
  std::fflush(stdout);
  const auto start = Clock::now();
  serve(options, signals, daemon, server ? &*server : nullptr);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (options.seconds != 0) std::printf("%s\n", daemon.report(seconds).c_str());
}

void show_virtual_functions(const Options& options) {
  if (options.device_functions)
    set_virtual_functions(options.sysfs, options.device, *options.device_functions);
  std::printf("%s\n", json_of(read_virtual_functions(options.sysfs, options.device)).c_str());
}

int start(const std::vector<std::string>& words) {
  const Options options = parse_options(words, kEngine);
  switch (options.command) {
    case Options::Command::kHelp:
      std::fputs(usage(), stdout);
      return 0;
    case Options::Command::kProbe:
      std::printf("%s\n", probe(options).c_str());
      return 0;
    case Options::Command::kProbeDpdk: {
      const EngineProbe dpdk = probe_dpdk(options.sysfs);
      std::printf("%c %s\n", dpdk.is_available ? 'y' : 'n', dpdk.reason.c_str());
      return 0;
    }
    case Options::Command::kVirtualFunctions:
      show_virtual_functions(options);
      return 0;
    case Options::Command::kRun:
      run(options);
      return 0;
  }
  return 1;
}

}  // namespace
}  // namespace nest::fast

int main(int count, char** words) {
  using namespace nest::fast;
  try {
    return start({words + 1, words + count});
  } catch (const Failure& failure) {
    std::fprintf(stderr, "{\"status\":\"%s\",\"message\":%s,\"step\":%s}\n",
                 std::string(status_name(failure.status)).c_str(), json_text(failure.what()).c_str(),
                 json_text(failure.step).c_str());
    return failure.status == NEST_FAST_STATUS_USAGE ? 2 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "{\"status\":\"SYSTEM\",\"message\":%s,\"step\":\"\"}\n",
                 json_text(error.what()).c_str());
    return 1;
  }
}
