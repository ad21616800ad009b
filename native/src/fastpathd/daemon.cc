// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/daemon.h"

#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>

#include "fastpathd/failure.h"
#include "fastpathd/json.h"
#include "fastpathd/topology.h"

namespace nest::fast {
namespace {

uint64_t monotonic_ns() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

/// Of the first interface, and of all that shares its packets.
int node_of(const Options& options) {
  if (options.ports.empty() || options.engine == EngineKind::kDpdk) return kNodeAny;
  return interface_facts(options.ports.front().name).numa_node;
}

/// A text of the wire, which need not end.
std::string text_of(const char* bytes, size_t most) {
  return {bytes, strnlen(bytes, most)};
}

PortOptions port_of(const nest_fast_port_request& request, uint32_t lanes) {
  const auto wrong = [](const std::string& message) {
    return Failure(NEST_FAST_STATUS_USAGE, message, "see protocol.h");
  };
  PortOptions port;
  port.name = text_of(request.name, sizeof(request.name));
  port.peer = text_of(request.peer, sizeof(request.peer));
  port.program = text_of(request.program, sizeof(request.program));
  port.pass = request.pass;
  port.fallback = request.fallback;
  const bool is_name = !port.name.empty() && port.name.size() < sizeof(request.name) &&
                       port.peer.size() < sizeof(request.peer) && port.name.find('/') == std::string::npos &&
                       port.name != "." && port.name != "..";
  if (!is_name) throw wrong("this is no interface name");
  if (port.pass > NEST_FAST_PASS_REFLECT || port.fallback > NEST_FAST_FALLBACK_XDP)
    throw wrong("an option is out of range");
  if (port.program.size() >= sizeof(request.program)) throw wrong("the path of the program does not end");
  if (request.queue_count != lanes)
    throw wrong("there must be one queue for each of " + std::to_string(lanes) + " workers");
  port.queues.assign(request.queues, request.queues + lanes);
  return port;
}

}  // namespace

Daemon::Daemon(const Options& options)
    : options_(options),
      node_(node_of(options)),
      status_memory_(shared_memory("nest-fastpathd-status", sizeof(nest_fast_status), node_)),
      status_reader_(read_only(status_memory_.descriptor)),
      status_(reinterpret_cast<nest_fast_status*>(status_memory_.pages.address())),
      tables_(static_cast<uint32_t>(options.processors.size()), node_) {
  const auto lanes = static_cast<uint32_t>(options.processors.size());
  status_->magic = NEST_FAST_MAGIC;
  status_->version = NEST_FAST_VERSION;
  status_->engine = options.engine == EngineKind::kDpdk ? NEST_FAST_ENGINE_DPDK : NEST_FAST_ENGINE_AF_XDP;
  status_->process = static_cast<uint32_t>(getpid());
  status_->started_ns = monotonic_ns();
  status_->lane_count = lanes;
  for (uint32_t i = 0; i < lanes; i++) status_->offsets[i] = tables_.offsets(i);
  if (!options.image_path.empty()) tables_.load_file(options.image_path);
  status_->sequence = tables_.sequence();

  OpenedEngine opened = open_engine(options, tables_.user(), *status_, node_);
  engine_ = std::move(opened.engine);
  // Before there are workers: the first packet finds all ports.
  for (const PortOptions& port : opened.ports) add(port, {});
  const bool is_spinning = options.is_spinning || options.busy_poll != 0;
  for (uint32_t i = 0; i < lanes; i++)
    workers_.push_back(
        std::make_unique<Worker>(engine_->lane(i), status_->lanes[i], options.processors[i], is_spinning));
}

Daemon::~Daemon() {
  // While the workers still run, so that what is on its way through them leaves first.
  for (nest_fast_port& port : status_->ports) {
    if (port.mode == NEST_FAST_PORT_UNUSED) continue;
    try {
      remove(port.name, is_detaching_);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "nest-fastpathd: port %s: %s\n", port.name, error.what());
    }
  }
  workers_.clear();
}

LaneCall Daemon::lane_call() {
  return [this](uint32_t lane, std::function<void()> work) {
    if (lane >= workers_.size()) return work();
    workers_[lane]->call(std::move(work));
  };
}

uint32_t Daemon::slot_of(const std::string& name) const {
  for (uint32_t i = 0; i < NEST_FAST_PORTS_MAX; i++) {
    if (status_->ports[i].mode != NEST_FAST_PORT_UNUSED && name == status_->ports[i].name) return i;
  }
  return NEST_FAST_PORTS_MAX;
}

void Daemon::add(const PortOptions& port, const nest_interface_address& address) {
  if (slot_of(port.name) != NEST_FAST_PORTS_MAX)
    throw Failure(NEST_FAST_STATUS_PORT, "interface " + port.name + " is a port already", "remove it first");
  uint32_t slot = 0;
  while (slot < NEST_FAST_PORTS_MAX && status_->ports[slot].mode != NEST_FAST_PORT_UNUSED) slot++;
  if (slot == NEST_FAST_PORTS_MAX)
    throw Failure(NEST_FAST_STATUS_PORTS_EXHAUSTED, "there are 16 ports already", "remove one");
  // No lane writes here before the port is open: the last port's counts end with it.
  for (auto& lane : status_->counters) lane[slot] = {};
  engine_->add(port, slot, lane_call());
  addresses_[slot] = address;
  tell_interfaces();
}

void Daemon::remove(const std::string& name, bool is_detaching) {
  const uint32_t slot = slot_of(name);
  if (slot == NEST_FAST_PORTS_MAX)
    throw Failure(NEST_FAST_STATUS_PORT, "there is no port " + name,
                  "look at the ports (nest-fastpathctl stats)");
  engine_->remove(name, is_detaching, lane_call());
  status_->ports[slot] = {};
  addresses_[slot] = {};
  tell_interfaces();
}

/// An unused position keeps the others in their slots; index 0 is no interface.
void Daemon::tell_interfaces() {
  std::vector<nest_user_interface> interfaces;
  for (uint32_t i = 0; i < NEST_FAST_PORTS_MAX; i++) {
    const nest_fast_port& port = status_->ports[i];
    interfaces.push_back({.index = port.interface,
                          .ports = port.mode == NEST_FAST_PORT_UNUSED ? 0 : NEST_PORT_TX,
                          .address = addresses_[i]});
  }
  while (!interfaces.empty() && interfaces.back().index == 0) interfaces.pop_back();
  tables_.set_interfaces(interfaces);
}

void Daemon::quiesce() {
  for (const auto& worker : workers_) worker->quiesce();
}

Reply Daemon::handle(Request& request) {
  switch (request.kind) {
    case NEST_FAST_HELLO:
      return hello(request);
    case NEST_FAST_LOAD:
      return load(request);
    case NEST_FAST_STATS:
      return stats();
    case NEST_FAST_ADD_PORT:
      return add_port(request);
    case NEST_FAST_REMOVE_PORT:
      return remove_port(request);
    case NEST_FAST_STOP:
      return stop(request);
    case NEST_FAST_FLOOD:
      tables_.set_flood(request.as<uint32_t>() != 0);
      return {};
    case NEST_FAST_BACKENDS:
      return set_backends(request);
    case NEST_FAST_ROUTES:
      return set_routes(request);
    case NEST_FAST_FLOWS:
    case NEST_FAST_SWEEP:
      return flows(request);
    default:
      throw Failure(NEST_FAST_STATUS_KIND, "there is no request " + std::to_string(request.kind),
                    "see protocol.h");
  }
}

Reply Daemon::hello(const Request& request) {
  if (request.as<uint32_t>() != NEST_FAST_VERSION)
    throw Failure(NEST_FAST_STATUS_VERSION, "this is protocol version " + std::to_string(NEST_FAST_VERSION),
                  "use an agent of this release");
  nest_fast_hello_reply body = {.version = NEST_FAST_VERSION,
                                .engine = status_->engine,
                                .process = status_->process,
                                .sequence = tables_.sequence(),
                                .lanes = status_->lane_count,
                                .descriptors = NEST_FAST_DESCRIPTOR_MEMORY | NEST_FAST_DESCRIPTOR_STATUS,
                                .memory_bytes = tables_.memory().pages.bytes(),
                                .status_bytes = sizeof(nest_fast_status),
                                .current_bytes = 0,
                                .previous_bytes = 0,
                                .started_ns = status_->started_ns};
  std::vector<int> descriptors = {tables_.memory().descriptor.get(), status_reader_.get()};
  if (tables_.current()) {
    body.descriptors |= NEST_FAST_DESCRIPTOR_CURRENT;
    body.current_bytes = tables_.current()->bytes;
    descriptors.push_back(tables_.current()->descriptor.get());
  }
  if (tables_.previous()) {
    body.descriptors |= NEST_FAST_DESCRIPTOR_PREVIOUS;
    body.previous_bytes = tables_.previous()->bytes;
    descriptors.push_back(tables_.previous()->descriptor.get());
  }
  Reply reply = Reply::of(body);
  reply.descriptors = std::move(descriptors);
  return reply;
}

/// The one descriptor of a request that has one.
static Descriptor only_descriptor(Request& request) {
  if (request.descriptors.size() != 1)
    throw Failure(NEST_FAST_STATUS_DESCRIPTOR, "the request comes with one descriptor", "see protocol.h");
  return std::move(request.descriptors.front());
}

Reply Daemon::load(Request& request) {
  const auto body = request.as<nest_fast_load>();
  tables_.load(only_descriptor(request), body.bytes, body.sequence);
  status_->sequence = tables_.sequence();
  quiesce();
  return {};
}

Reply Daemon::set_backends(Request& request) {
  const auto bytes = request.as<uint64_t>();
  if (bytes > NEST_BACKENDS_MAX) throw Failure(NEST_FAST_STATUS_TABLE_FULL, "too many backends", "see abi.h");
  const Descriptor descriptor = only_descriptor(request);
  const Pages pages = map_sealed(descriptor.get(), bytes);
  const uint32_t sequence = tables_.set_backends({pages.address(), bytes});
  status_->sequence = sequence;
  return Reply::of(sequence);
}

Reply Daemon::set_routes(Request& request) {
  const auto body = request.as<nest_fast_routes>();
  const size_t count = body.bytes / sizeof(nest_user_route);
  if (count > NEST_FAST_ROUTES_MAX || count * sizeof(nest_user_route) != body.bytes)
    throw Failure(NEST_FAST_STATUS_TABLE_FULL, "these are not at most 65536 routes", "see protocol.h");
  Pages pages;
  if (count > 0) {
    const Descriptor descriptor = only_descriptor(request);
    pages = map_sealed(descriptor.get(), body.bytes);
  }
  tables_.set_routes({reinterpret_cast<const nest_user_route*>(pages.address()), count},
                     body.has_kernel != 0);
  return {};
}

Reply Daemon::flows(const Request& request) {
  auto body = request.as<nest_fast_flows>();
  if (body.limit == 0 || body.limit > NEST_FAST_RECORDS_MAX)
    throw Failure(NEST_FAST_STATUS_USAGE, "the limit is not in 1..65536", "see protocol.h");
  const std::vector<nest_record> rows =
      tables_.flows(body.cursor, body.limit, request.kind == NEST_FAST_SWEEP);
  Reply reply =
      Reply::of(nest_fast_flows_reply{.cursor = body.cursor, .count = static_cast<uint32_t>(rows.size())});
  if (!rows.empty()) {
    reply.owned.push_back(sealed_copy("nest-records", rows.data(), rows.size() * sizeof(nest_record)));
    reply.descriptors.push_back(reply.owned.front().get());
  }
  return reply;
}

nest_fast_counters Daemon::sum(uint32_t slot) const {
  nest_fast_counters total = {};
  constexpr size_t kWords = sizeof(total) / sizeof(__u64);
  auto* to = reinterpret_cast<__u64*>(&total);
  for (uint32_t lane = 0; lane < status_->lane_count; lane++) {
    auto* from = reinterpret_cast<__u64*>(&status_->counters[lane][slot]);
    for (size_t i = 0; i < kWords; i++) to[i] += std::atomic_ref(from[i]).load(std::memory_order_relaxed);
  }
  return total;
}

Reply Daemon::stats() const {
  nest_fast_stats_reply body = {};
  body.sequence = tables_.sequence();
  for (uint32_t i = 0; i < NEST_FAST_PORTS_MAX; i++) {
    const nest_fast_port& port = status_->ports[i];
    if (port.mode == NEST_FAST_PORT_UNUSED) continue;
    nest_fast_port_stats& entry = body.ports[body.port_count++];
    std::memcpy(entry.name, port.name, sizeof(entry.name));
    entry.interface = port.interface;
    entry.counters = sum(i);
    entry.receive_lost = engine_->receive_lost(port.name);
  }
  return Reply::of(body);
}

Reply Daemon::add_port(const Request& request) {
  const auto body = request.as<nest_fast_port_request>();
  add(port_of(body, status_->lane_count), body.address);
  return {};
}

Reply Daemon::remove_port(const Request& request) {
  const auto body = request.as<nest_fast_port_request>();
  remove(text_of(body.name, sizeof(body.name)), true);
  return {};
}

Reply Daemon::stop(const Request& request) {
  is_detaching_ = request.as<uint32_t>() != 0;
  is_stopping_ = true;
  return {};
}

std::string Daemon::report(double seconds) const {
  std::string text =
      "{\"engine\":" + json_text(status_->engine == NEST_FAST_ENGINE_DPDK ? "dpdk" : "af_xdp") +
      ",\"process\":" + std::to_string(status_->process) +
      ",\"sequence\":" + std::to_string(tables_.sequence()) + ",\"seconds\":" + std::to_string(seconds) +
      ",\"ports\":[";
  bool is_first = true;
  for (uint32_t i = 0; i < NEST_FAST_PORTS_MAX; i++) {
    const nest_fast_port& port = status_->ports[i];
    if (port.mode == NEST_FAST_PORT_UNUSED) continue;
    text += (is_first ? "" : ",") + json_port(port, sum(i));
    is_first = false;
  }
  return text + "]}";
}

}  // namespace nest::fast
