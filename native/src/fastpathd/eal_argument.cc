// SPDX-License-Identifier: AGPL-3.0-only
// The allow list of EAL arguments, and the text of --help.
#include <algorithm>
#include <array>
#include <string_view>

#include "fastpathd/failure.h"
#include "fastpathd/options.h"

namespace nest::fast {
namespace {

constexpr std::array<std::string_view, 4> kWords = {"--in-memory", "--no-huge", "--no-pci", "--no-telemetry"};

/// With a value that DPDK itself checks and that names no file of ours.
constexpr std::array<std::string_view, 6> kPrefixes = {
    "--socket-mem=", "--memory=", "--log-level=", "--iova-mode=", "--allow=", "--file-prefix="};

constexpr std::array<std::string_view, 4> kDevices = {"net_af_xdp", "net_null", "net_memif", "net_tap"};

constexpr size_t kArgumentBytesMax = 256;

bool is_allowed(std::string_view word) {
  if (word.size() > kArgumentBytesMax) return false;
  if (std::ranges::find(kWords, word) != kWords.end()) return true;
  constexpr std::string_view kDevice = "--vdev=";
  if (word.starts_with(kDevice)) {
    const std::string_view device = word.substr(kDevice.size());
    return std::ranges::any_of(kDevices, [&](std::string_view each) { return device.starts_with(each); });
  }
  return std::ranges::any_of(kPrefixes, [&](std::string_view each) { return word.starts_with(each); });
}

}  // namespace

void check_eal_argument(const std::string& word) {
  if (is_allowed(word)) return;
  throw Failure(NEST_FAST_STATUS_USAGE, "the EAL argument \"" + word + "\" is not allowed",
                "allowed: --in-memory --no-huge --no-pci --no-telemetry --socket-mem= --memory= --log-level= "
                "--iova-mode= --file-prefix= --allow=<PCI address> "
                "--vdev=net_{af_xdp,null,memif,tap}...; processors come from --cpu");
}

const char* usage() {
  return "usage: nest-fastpathd [options]        packets through AF_XDP sockets\n"
         "       nest-fastpathd-dpdk [options]   packets through DPDK ports\n"
         "\n"
         "  --interface name[:queue,...]   a port; one queue for each processor (default 0)\n"
         "  --pass name=kernel|reflect|peer:<name>\n"
         "                                 where passed packets go: into this host's stack (default), back "
         "out\n"
         "                                 with exchanged Ethernet addresses, or out of another port\n"
         "  --fallback name=pass|drop|xdp:<pinned program>\n"
         "                                 what the interface does when no fastpathd serves it (default "
         "pass)\n"
         "  --cpu n[,n...]                 one worker on each (default 0)\n"
         "  --control path                 Unix socket of the control protocol\n"
         "  --image path                   table image to start with\n"
         "  --engine af_xdp|dpdk           checked against what this executable is built for\n"
         "  --spin                         workers never sleep\n"
         "  --seconds n                    stop after n seconds and print the counters as JSON\n"
         "  --probe                        print what each engine needs and has, as JSON; with --interface "
         "also of\n"
         "                                 that interface\n"
         "  --virtual-functions device[=n] print the SR-IOV state of an interface as JSON; =n sets their "
         "number\n"
         "  --sysfs path                   where sysfs is (default /sys)\n"
         "AF_XDP:\n"
         "  --pin-path path                folder in a bpffs: the packet program outlives this process. "
         "Needed\n"
         "                                 for the fallbacks drop and xdp\n"
         "  --object path                  nest_xsk.bpf.o (default: beside the executable, or ../bpf)\n"
         "  --copy-mode auto|copy|zero-copy\n"
         "  --busy-poll budget             the worker drives the device's queue, budget packets at a time\n"
         "  --frame-bytes 2048|4096, --frames n   packet memory of a worker\n"
         "DPDK:\n"
         "  --eal argument                 may be repeated; an allow list\n"
         "  --bench-template hex, --bench-vary offset:flows\n"
         "                                 overwrite each received packet, with a 16-bit word varied\n";
}

}  // namespace nest::fast
