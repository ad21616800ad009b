// SPDX-License-Identifier: AGPL-3.0-only
// The DPDK engine. Its ports are those of the EAL arguments and exist from the start; whole devices, no
// packet program: when this process ends, so do they.
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <string_view>

#include "backend/xdp/descriptor.h"
#include "fastpathd/dpdk_lane.h"
#include "fastpathd/engine.h"
#include "fastpathd/failure.h"
#include "fastpathd/promiscuous.h"

namespace nest::fast {
namespace {

constexpr uint16_t kDescriptors = 1024;
constexpr unsigned kPoolCache = 256;

/// Ports without a kernel interface get numbers from here on, below NEST_INTERFACE_INDEX_MAX.
constexpr uint32_t kInterfaceFirst = 60000;

Failure cannot_start(const std::string& message, const std::string& step) {
  return Failure(NEST_FAST_STATUS_ENGINE, message, step);
}

/// EAL wants an lcore of its own for the calling thread: any processor we may use. Workers register by
/// themselves.
std::string main_lcore() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof(set), &set);
  std::string list;
  for (int i = 0; i < CPU_SETSIZE; i++) {
    if (CPU_ISSET(i, &set)) list += (list.empty() ? "" : ",") + std::to_string(i);
  }
  return "--lcores=0@(" + list + ")";
}

std::vector<std::string> eal_words(const Options& options) {
  // Without huge pages there are no files to leave behind; DPDK refuses the two together.
  const bool is_without_huge = std::ranges::find(options.eal, "--no-huge") != options.eal.end();
  std::vector<std::string> words = {"nest-fastpathd-dpdk", main_lcore(), "--no-telemetry",
                                    is_without_huge ? "--no-shconf" : "--in-memory"};
  const std::string memory = "--memory=";
  bool has_device = false;
  for (const std::string& each : options.eal) {
    has_device |= each.starts_with("--allow=");
    if (each == "--in-memory" || each == "--no-telemetry" || each == "--no-pci") continue;
    if (each.starts_with(memory)) {
      words.insert(words.end(), {"-m", each.substr(memory.size())});
    } else {
      words.push_back(each);
    }
  }
  // Nothing is taken that was not named.
  if (!has_device) words.push_back("--no-pci");
  return words;
}

/// EAL prints its usage to standard output, where ours is JSON: for the time of its life that goes to
/// standard error.
class StandardOutputAside {
 public:
  StandardOutputAside() {
    std::fflush(stdout);
    dup2(STDERR_FILENO, STDOUT_FILENO);
  }
  ~StandardOutputAside() {
    std::fflush(stdout);
    dup2(kept_.get(), STDOUT_FILENO);
  }
  StandardOutputAside(const StandardOutputAside&) = delete;
  StandardOutputAside& operator=(const StandardOutputAside&) = delete;

 private:
  xdp::Descriptor kept_ = xdp::Descriptor::duplicate(STDOUT_FILENO);
};

void start_eal(const Options& options) {
  std::vector<std::string> words = eal_words(options);
  std::vector<char*> pointers;
  for (std::string& each : words) pointers.push_back(each.data());
  rte_openlog_stream(stderr);
  int result = 0;
  {
    const StandardOutputAside aside;
    result = rte_eal_init(static_cast<int>(pointers.size()), pointers.data());
  }
  if (result >= 0) return;
  throw cannot_start(std::string("DPDK does not start: ") + rte_strerror(rte_errno),
                     "see its messages above; without huge pages give --eal --no-huge, else reserve some");
}

/// A device that cannot start is left out by EAL without an error.
void check_devices(const Options& options) {
  std::string missing;
  for (const std::string& each : options.eal) {
    const bool is_virtual = each.starts_with("--vdev=");
    if (!is_virtual && !each.starts_with("--allow=")) continue;
    const std::string arguments = each.substr(each.find('=') + 1);
    const std::string name = arguments.substr(0, arguments.find(','));
    uint16_t number = 0;
    if (rte_eth_dev_get_port_by_name(name.c_str(), &number) != 0)
      missing += (missing.empty() ? "" : ", ") + name;
  }
  if (missing.empty() && rte_eth_dev_count_avail() > 0) return;
  throw Failure(
      NEST_FAST_STATUS_NO_PORTS,
      missing.empty() ? "DPDK started without a port" : "DPDK started without " + missing,
      "see its messages above; name devices with --eal --vdev=... or --eal --allow=<PCI address>, and bind "
      "the latter to vfio-pci");
}

PortOptions options_of(const Options& options, uint16_t number) {
  char name[RTE_ETH_NAME_MAX_LEN] = {};
  rte_eth_dev_get_name_by_port(number, name);
  const auto given = std::ranges::find(options.ports, std::string(name), &PortOptions::name);
  PortOptions port = given == options.ports.end() ? PortOptions{} : *given;
  port.name = name;
  if (port.name.size() >= NEST_FAST_NAME_BYTES)
    throw Failure(NEST_FAST_STATUS_USAGE, "the name " + port.name + " has more than 15 letters",
                  "name it shorter");
  return port;
}

/// The driver over AF_XDP sockets: an interface of the kernel stands behind its port.
constexpr std::string_view kSocketDriver = "net_af_xdp";

class DpdkEngine : public Engine {
 public:
  DpdkEngine(const Options& options, nest_user* user, nest_fast_status& status)
      : status_(status), frames_(options.frames) {
    for (uint32_t i = 0; i < options.processors.size(); i++)
      lanes_.push_back(std::make_unique<DpdkLane>(user, i, options.bench));
  }
  ~DpdkEngine() override { rte_eal_cleanup(); }

  Lane& lane(uint32_t number) override { return *lanes_[number]; }
  void add(const PortOptions& options, uint32_t slot, const LaneCall& call) override;
  void remove(const std::string& name, bool is_detaching, const LaneCall& call) override;
  uint64_t receive_lost(const std::string& name) const override;

 private:
  struct Interface {
    uint16_t number = 0;
    std::vector<std::unique_ptr<DpdkPort>> ports;
    std::optional<PromiscuousHold> promiscuous;
    /// The driver was told to take packets for all addresses, and did not before.
    bool is_told = false;
  };

  rte_mempool* pool_of(int node);
  void configure(uint16_t number, const std::string& name, const rte_eth_dev_info& info, int node);
  void take_all(Interface& interface, const rte_eth_dev_info& info);
  void describe(uint32_t slot, const PortOptions& options, const rte_eth_dev_info& info, uint16_t number);

  nest_fast_status& status_;
  uint32_t frames_;
  std::vector<std::unique_ptr<DpdkLane>> lanes_;
  /// By NUMA node.
  std::map<int, rte_mempool*> pools_;
  std::map<std::string, Interface> interfaces_;
};

rte_mempool* DpdkEngine::pool_of(int node) {
  rte_mempool*& pool = pools_[node];
  if (pool != nullptr) return pool;
  const std::string name = "nest-" + std::to_string(node);
  pool = rte_pktmbuf_pool_create(name.c_str(), frames_ - 1, kPoolCache, 0, RTE_MBUF_DEFAULT_BUF_SIZE, node);
  if (pool != nullptr) return pool;
  pools_.erase(node);
  throw cannot_start(
      "there is no memory for " + std::to_string(frames_) + " packets on node " + std::to_string(node),
      "reserve more huge pages, give --eal --memory=<MB>, or fewer --frames");
}

void DpdkEngine::configure(uint16_t number, const std::string& name, const rte_eth_dev_info& info, int node) {
  const auto check = [&](int result) {
    if (result != 0)
      throw cannot_start("port " + name + ": " + rte_strerror(-result), "see DPDK's messages above");
  };
  const auto queues = static_cast<uint16_t>(lanes_.size());
  if (info.max_rx_queues < queues || info.max_tx_queues < queues) {
    throw Failure(NEST_FAST_STATUS_UNSUPPORTED,
                  "port " + name + " has fewer queues than there are processors in --cpu",
                  "give fewer processors");
  }
  rte_eth_conf settings = {};
  if (queues > 1) {
    settings.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    settings.rx_adv_conf.rss_conf.rss_hf =
        info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
  }
  check(rte_eth_dev_configure(number, queues, queues, &settings));
  uint16_t receive = kDescriptors;
  uint16_t send = kDescriptors;
  check(rte_eth_dev_adjust_nb_rx_tx_desc(number, &receive, &send));
  for (uint16_t i = 0; i < queues; i++) {
    check(rte_eth_rx_queue_setup(number, i, receive, static_cast<unsigned>(node), nullptr, pool_of(node)));
    check(rte_eth_tx_queue_setup(number, i, send, static_cast<unsigned>(node), nullptr));
  }
  check(rte_eth_dev_start(number));
}

void DpdkEngine::take_all(Interface& interface, const rte_eth_dev_info& info) {
  // This driver sets the flag of the kernel's interface and leaves it there, also when the process is killed.
  if (info.if_index != 0 && std::string_view(info.driver_name) == kSocketDriver) {
    interface.promiscuous.emplace(info.if_index);
    return;
  }
  // A device that cannot, has no filter either.
  if (rte_eth_promiscuous_get(interface.number) != 1)
    interface.is_told = rte_eth_promiscuous_enable(interface.number) == 0;
}

void DpdkEngine::add(const PortOptions& options, uint32_t slot, const LaneCall& call) {
  Interface interface;
  if (rte_eth_dev_get_port_by_name(options.name.c_str(), &interface.number) != 0) {
    throw Failure(NEST_FAST_STATUS_UNSUPPORTED, "the DPDK engine takes no ports while it runs",
                  "name " + options.name + " in the EAL arguments, and restart nest-fastpathd-dpdk");
  }
  rte_eth_dev_info info = {};
  rte_eth_dev_info_get(interface.number, &info);
  const int node = rte_eth_dev_socket_id(interface.number);
  configure(interface.number, options.name, info, node);
  take_all(interface, info);
  const std::shared_ptr<const Tap> tap =
      options.pass == NEST_FAST_PASS_KERNEL
          ? std::make_shared<const Tap>("nestd" + std::to_string(interface.number))
          : nullptr;
  uint32_t index = info.if_index;
  if (index == 0) index = tap != nullptr ? tap->interface() : kInterfaceFirst + interface.number;
  for (uint32_t i = 0; i < lanes_.size(); i++) {
    auto port = std::make_unique<DpdkPort>();
    port->policy = {.name = options.name,
                    .interface = index,
                    .pass = options.pass,
                    .peer = options.peer,
                    .counters = &status_.counters[i][slot]};
    port->number = interface.number;
    port->pool = pool_of(node);
    port->tap = tap;
    interface.ports.push_back(std::move(port));
    call(i, [&, i] { lanes_[i]->add(interface.ports[i].get()); });
  }
  info.if_index = index;
  describe(slot, options, info, interface.number);
  interfaces_.emplace(options.name, std::move(interface));
}

void DpdkEngine::remove(const std::string& name, bool, const LaneCall& call) {
  const auto found = interfaces_.find(name);
  if (found == interfaces_.end()) return;
  Interface& interface = found->second;
  for (uint32_t i = 0; i < interface.ports.size(); i++)
    call(i, [&, i] { lanes_[i]->remove(interface.ports[i].get()); });
  if (interface.is_told) rte_eth_promiscuous_disable(interface.number);
  rte_eth_dev_stop(interface.number);
  rte_eth_dev_close(interface.number);
  interfaces_.erase(found);
}

uint64_t DpdkEngine::receive_lost(const std::string& name) const {
  const auto found = interfaces_.find(name);
  rte_eth_stats statistics = {};
  if (found == interfaces_.end() || rte_eth_stats_get(found->second.number, &statistics) != 0) return 0;
  return statistics.imissed + statistics.rx_nombuf;
}

void DpdkEngine::describe(uint32_t slot, const PortOptions& options, const rte_eth_dev_info& info,
                          uint16_t number) {
  nest_fast_port& entry = status_.ports[slot];
  entry = {};
  options.name.copy(entry.name, sizeof(entry.name) - 1);
  std::string(info.driver_name).copy(entry.driver, sizeof(entry.driver) - 1);
  entry.interface = info.if_index;
  entry.mode = NEST_FAST_PORT_DPDK;
  entry.numa_device = rte_eth_dev_socket_id(number);
  entry.numa_memory = entry.numa_device;
}

}  // namespace

OpenedEngine open_engine(const Options& options, nest_user* user, nest_fast_status& status, int) {
  start_eal(options);
  OpenedEngine opened;
  // From here on EAL is cleaned up when something fails.
  opened.engine = std::make_unique<DpdkEngine>(options, user, status);
  check_devices(options);
  for (uint64_t each = rte_eth_find_next(0); each < RTE_MAX_ETHPORTS;
       each = rte_eth_find_next(static_cast<uint16_t>(each + 1)))
    opened.ports.push_back(options_of(options, static_cast<uint16_t>(each)));
  for (const PortOptions& port : options.ports) {
    if (std::ranges::find(opened.ports, port.name, &PortOptions::name) == opened.ports.end())
      throw Failure(NEST_FAST_STATUS_USAGE, "there is no DPDK port " + port.name,
                    "name it with --eal --vdev=...");
  }
  return opened;
}

}  // namespace nest::fast
