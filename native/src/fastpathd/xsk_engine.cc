// SPDX-License-Identifier: AGPL-3.0-only
// The AF_XDP engine: one packet program and one tap for each interface, one socket for each of its queues.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "fastpathd/engine.h"
#include "fastpathd/failure.h"
#include "fastpathd/tap.h"
#include "fastpathd/topology.h"
#include "fastpathd/xsk_lane.h"
#include "fastpathd/xsk_program.h"

namespace nest::fast {
namespace {

/// Room the kernel keeps in front of a packet.
constexpr uint32_t kHeadroomBytes = 256;
constexpr uint32_t kEthernetBytes = 14 + 2 * 4;

std::string object_path(const Options& options) {
  if (!options.object_path.empty()) return options.object_path;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  // Installed, or in a build tree.
  const auto beside = folder / "nest_xsk.bpf.o";
  return std::filesystem::exists(beside) ? beside : folder.parent_path() / "bpf/nest_xsk.bpf.o";
}

class XskEngine : public Engine {
 public:
  XskEngine(const Options& options, nest_user* user, nest_fast_status& status, int node)
      : status_(status),
        place_{.object_path = object_path(options), .pin_path = options.pin_path},
        socket_{.frame_bytes = options.frame_bytes,
                .copy_mode = options.copy_mode,
                .busy_poll = options.busy_poll},
        node_(node) {
    for (uint32_t i = 0; i < options.processors.size(); i++) {
      lanes_.push_back(std::make_unique<XskLane>(XskLane::Settings{.user = user,
                                                                   .number = i,
                                                                   .frame_bytes = options.frame_bytes,
                                                                   .frames = options.frames,
                                                                   .is_busy_polling = options.busy_poll != 0,
                                                                   .node = node}));
    }
  }

  Lane& lane(uint32_t number) override { return *lanes_[number]; }

  void add(const PortOptions& options, uint32_t slot, const LaneCall& call) override;
  void remove(const std::string& name, bool is_detaching, const LaneCall& call) override;
  uint64_t receive_lost(const std::string& name) const override;

 private:
  struct Interface {
    PortOptions options;
    uint32_t slot = 0;
    std::unique_ptr<XskProgram> program;
    std::shared_ptr<const Tap> tap;
    std::vector<std::unique_ptr<XskPort>> ports;
  };

  void check(const PortOptions& options, const InterfaceFacts& facts) const;
  void open_ports(Interface& interface, const InterfaceFacts& facts);
  void start_ports(Interface& interface, const LaneCall& call);
  void close_ports(Interface& interface, const LaneCall& call);
  void describe(const Interface& interface, const InterfaceFacts& facts);

  nest_fast_status& status_;
  XskProgram::Place place_;
  XskSocket::Settings socket_;
  int node_;
  // Before the interfaces: their sockets use the lanes' memory.
  std::vector<std::unique_ptr<XskLane>> lanes_;
  std::map<std::string, Interface> interfaces_;
};

void XskEngine::check(const PortOptions& options, const InterfaceFacts& facts) const {
  for (const uint32_t queue : options.queues) {
    if (queue < facts.receive_queues) continue;
    throw Failure(NEST_FAST_STATUS_INTERFACE,
                  "interface " + options.name + " has " + std::to_string(facts.receive_queues) +
                      " queues, none with number " + std::to_string(queue),
                  "look at the queues of the interface (ethtool --show-channels)");
  }
  if (facts.mtu + kEthernetBytes + kHeadroomBytes <= socket_.frame_bytes) return;
  throw Failure(NEST_FAST_STATUS_UNSUPPORTED,
                "packets of interface " + options.name + " (MTU " + std::to_string(facts.mtu) +
                    ") do not fit a frame of " + std::to_string(socket_.frame_bytes) + " bytes",
                "set a smaller MTU, or start with --frame-bytes 4096");
}

void XskEngine::add(const PortOptions& options, uint32_t slot, const LaneCall& call) {
  const InterfaceFacts facts = interface_facts(options.name);
  check(options, facts);
  Interface interface;
  interface.options = options;
  interface.slot = slot;
  interface.program = std::make_unique<XskProgram>(place_, options, facts.index);
  if (options.pass == NEST_FAST_PASS_KERNEL) {
    interface.tap = std::make_shared<const Tap>("nestx" + std::to_string(facts.index));
    interface.program->inject_from(interface.tap->interface());
  }
  open_ports(interface, facts);
  try {
    start_ports(interface, call);
  } catch (...) {
    close_ports(interface, call);
    throw;
  }
  describe(interface, facts);
  interfaces_.emplace(options.name, std::move(interface));
}

void XskEngine::open_ports(Interface& interface, const InterfaceFacts& facts) {
  for (uint32_t i = 0; i < lanes_.size(); i++) {
    auto port = std::make_unique<XskPort>();
    port->policy = {.name = interface.options.name,
                    .interface = facts.index,
                    .pass = interface.options.pass,
                    .peer = interface.options.peer,
                    .counters = &status_.counters[i][interface.slot]};
    port->slot = static_cast<uint8_t>(interface.slot);
    port->tap = interface.tap;
    port->socket =
        std::make_unique<XskSocket>(socket_, lanes_[i]->memory(), facts.index, interface.options.queues[i]);
    interface.ports.push_back(std::move(port));
  }
}

void XskEngine::start_ports(Interface& interface, const LaneCall& call) {
  for (uint32_t i = 0; i < lanes_.size(); i++) {
    bool has_room = false;
    call(i, [&, i] { has_room = lanes_[i]->add(interface.ports[i].get()); });
    if (!has_room) {
      throw Failure(NEST_FAST_STATUS_PORTS_EXHAUSTED, "there is no packet memory for another port",
                    "start with more --frames: each port of a worker takes 6144");
    }
    // Only now: a socket in the table without room for packets loses them.
    interface.program->insert(interface.options.queues[i], interface.ports[i]->socket->descriptor());
  }
}

void XskEngine::close_ports(Interface& interface, const LaneCall& call) {
  for (uint32_t i = 0; i < interface.ports.size(); i++) {
    interface.program->erase(interface.options.queues[i]);
    call(i, [&, i] { lanes_[i]->remove(interface.ports[i].get()); });
    interface.ports[i]->socket.reset();
    call(i, [&, i] { lanes_[i]->forget(static_cast<uint8_t>(interface.slot)); });
  }
}

void XskEngine::remove(const std::string& name, bool is_detaching, const LaneCall& call) {
  const auto found = interfaces_.find(name);
  if (found == interfaces_.end()) return;
  close_ports(found->second, call);
  if (is_detaching) found->second.program->remove();
  interfaces_.erase(found);
}

uint64_t XskEngine::receive_lost(const std::string& name) const {
  const auto found = interfaces_.find(name);
  uint64_t lost = 0;
  if (found == interfaces_.end()) return lost;
  for (const auto& port : found->second.ports) lost += port->socket->receive_lost();
  return lost;
}

void XskEngine::describe(const Interface& interface, const InterfaceFacts& facts) {
  nest_fast_port& entry = status_.ports[interface.slot];
  entry = {};
  facts.name.copy(entry.name, sizeof(entry.name) - 1);
  facts.driver.copy(entry.driver, sizeof(entry.driver) - 1);
  entry.interface = facts.index;
  entry.numa_device = facts.numa_node;
  entry.numa_memory = node_;
  const bool is_zero_copy =
      std::ranges::all_of(interface.ports, [](const auto& port) { return port->socket->is_zero_copy(); });
  entry.mode = is_zero_copy ? NEST_FAST_PORT_ZERO_COPY : NEST_FAST_PORT_COPY;
}

}  // namespace

OpenedEngine open_engine(const Options& options, nest_user* user, nest_fast_status& status, int node) {
  return {.engine = std::make_unique<XskEngine>(options, user, status, node), .ports = options.ports};
}

}  // namespace nest::fast
