// SPDX-License-Identifier: AGPL-3.0-only
// What nest-fastpathd says of DPDK: it is not linked with it, the executable beside it is.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "backend/xdp/descriptor.h"
#include "fastpathd/probe.h"

namespace nest::fast {
namespace {

using xdp::Descriptor;

constexpr size_t kAnswerBytesMax = 4096;

/// What a program prints, errors included, up to a limit; empty when it does not start.
std::string output_of(const std::string& path, std::array<const char*, 5> words) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) return {};
  const Descriptor reader(ends[0]);
  Descriptor writer(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, writer.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, writer.get(), STDERR_FILENO);
  pid_t child = 0;
  const int result =
      posix_spawn(&child, path.c_str(), &actions, nullptr, const_cast<char* const*>(words.data()), environ);
  posix_spawn_file_actions_destroy(&actions);
  writer.reset();
  if (result != 0) return {};
  std::string text;
  std::array<char, 512> part = {};
  for (ssize_t count = 1; count > 0 && text.size() < kAnswerBytesMax;) {
    count = read(reader.get(), part.data(), part.size());
    if (count > 0) text.append(part.data(), static_cast<size_t>(count));
  }
  waitpid(child, nullptr, 0);
  return text;
}

}  // namespace

EngineProbe probe_dpdk(const std::string& sysfs) {
  const std::string sibling =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "nest-fastpathd-dpdk";
  if (access(sibling.c_str(), X_OK) != 0) {
    return {"dpdk", false,
            "nest-fastpathd-dpdk is not installed: it is built where the DPDK libraries are (Debian: "
            "libdpdk-dev)"};
  }
  // One line: y or n, and the reason. When its libraries are missing the loader says so instead.
  std::string text = output_of(sibling, {sibling.c_str(), "--sysfs", sysfs.c_str(), "--probe-dpdk", nullptr});
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.starts_with("y ") || text.starts_with("n ")) return {"dpdk", text[0] == 'y', text.substr(2)};
  return {"dpdk", false, "nest-fastpathd-dpdk does not start: " + text};
}

}  // namespace nest::fast
