// SPDX-License-Identifier: AGPL-3.0-only
#include "engine/data_path.h"

#include <ctime>

#include "engine/deny_update.h"
#include "engine/image.h"

namespace nest {
namespace {

void check_states(std::span<const uint8_t> states) {
  for (const uint8_t state : states) {
    if (state > NEST_BACKEND_DOWN) {
      throw Error(Code::kSystem, "backend state " + std::to_string(state) + " is not known",
                  "use the agent of the same version as this data path");
    }
  }
}

}  // namespace

DataPath::DataPath(std::unique_ptr<Backend> backend) : backend_(std::move(backend)) {
  refresh_interfaces();
  ring_lost_ = backend_->losses()[NEST_LOSS_RING_FULL];
  reader_ = std::thread([this] {
    try {
      backend_->read_records(stop_, [this](std::span<const nest_record> records) { records_.put(records); });
    } catch (const std::exception&) {
      // Without a reader the ring fills up, and what is lost there is counted: take_records shows it.
    }
  });
}

DataPath::~DataPath() {
  close();
}

Backend& DataPath::open_backend() {
  if (backend_ == nullptr) throw Error(Code::kClosed, "the data path is closed", "open it again");
  return *backend_;
}

Backend& DataPath::loaded_backend() {
  Backend& backend = open_backend();
  if (backend.control().sequence != 0) return backend;
  throw Error(Code::kSystem, "no policy was ever loaded", "apply a policy first");
}

void DataPath::refresh_interfaces() {
  auto interfaces = backend_->interfaces();
  auto local = backend_->local();
  const std::lock_guard lock(interfaces_mutex_);
  interfaces_ = std::move(interfaces);
  local_ = std::move(local);
}

DataPathState DataPath::state() {
  const std::shared_lock alive(life_);
  Backend& backend = open_backend();
  DataPathState state{
      backend.is_adopted(), backend.control(), backend.swapped(), backend.program_id(), {}, {}};
  const std::lock_guard lock(interfaces_mutex_);
  state.interfaces = interfaces_;
  state.local = local_;
  return state;
}

AttachedInterface DataPath::attach(const std::string& interface_name) {
  const std::lock_guard change(change_);
  const std::shared_lock alive(life_);
  const AttachedInterface attached = open_backend().attach(interface_name);
  refresh_interfaces();
  return attached;
}

bool DataPath::detach(const std::string& interface_name) {
  const std::lock_guard change(change_);
  const std::shared_lock alive(life_);
  const bool was_attached = open_backend().detach(interface_name);
  refresh_interfaces();
  return was_attached;
}

LocalState DataPath::attach_local(const std::string& cgroup_path) {
  const std::lock_guard change(change_);
  const std::shared_lock alive(life_);
  LocalState state = open_backend().attach_local(cgroup_path);
  refresh_interfaces();
  return state;
}

void DataPath::detach_local() {
  const std::lock_guard change(change_);
  const std::shared_lock alive(life_);
  open_backend().detach_local();
  refresh_interfaces();
}

LocalCounters DataPath::local_counters() {
  const std::lock_guard change(change_);
  const std::shared_lock alive(life_);
  return open_backend().local_counters();
}

SwapTimes DataPath::swap(std::span<const uint8_t> bytes, std::span<const uint8_t> states, uint32_t sequence) {
  const Image image(bytes);
  check_states(states);
  const std::lock_guard change(change_);
  const std::shared_lock alive(life_);
  Backend& backend = open_backend();
  const uint32_t current = backend.control().sequence;
  if (sequence <= current || ((sequence ^ current) & 1) == 0) {
    throw Error(Code::kSystem,
                "policy sequence " + std::to_string(sequence) + " does not follow " + std::to_string(current),
                "read the state of the data path and apply the policy again");
  }
  return backend.swap(image.tables(), states, sequence);
}

uint32_t DataPath::set_backend_states(std::span<const uint8_t> states) {
  check_states(states);
  const std::lock_guard change(change_);
  const std::shared_lock alive(life_);
  return loaded_backend().set_backend_states(states);
}

uint32_t DataPath::update_deny(uint32_t family, std::span<const uint8_t> add,
                               std::span<const uint8_t> remove) {
  const DenyUpdate update(family, add, remove);
  const std::lock_guard change(change_);
  const std::shared_lock alive(life_);
  Backend& backend = loaded_backend();
  return family == 4 ? backend.change_deny(update.stored4(), update.removed4())
                     : backend.change_deny(update.stored6(), update.removed6());
}

void DataPath::set_flood(bool is_on) {
  const std::shared_lock alive(life_);
  open_backend().set_flood(is_on);
}

void DataPath::set_interface_addresses(std::span<const InterfaceAddress> addresses) {
  const std::lock_guard change(change_);
  const std::shared_lock alive(life_);
  open_backend().set_interface_addresses(addresses);
}

void DataPath::set_tx_ports(std::span<const uint32_t> indexes) {
  const std::lock_guard change(change_);
  const std::shared_lock alive(life_);
  open_backend().set_tx_ports(indexes);
}

Inspection DataPath::inspect() {
  const std::lock_guard change(change_);
  const std::shared_lock alive(life_);
  return open_backend().inspect();
}

Counters DataPath::counters() {
  const std::shared_lock alive(life_);
  Backend& backend = open_backend();
  std::vector<AttachedInterface> interfaces;
  {
    const std::lock_guard lock(interfaces_mutex_);
    interfaces = interfaces_;
  }
  return backend.counters(interfaces);
}

FlowPage DataPath::flows(size_t limit) {
  const std::shared_lock alive(life_);
  return open_backend().flows(limit);
}

std::vector<nest_record> DataPath::sweep(size_t limit) {
  const std::lock_guard change(change_);
  const std::shared_lock alive(life_);
  return open_backend().sweep(limit);
}

RecordBuffer::Taken DataPath::take_records(size_t limit) {
  const std::shared_lock alive(life_);
  Backend& backend = open_backend();
  RecordBuffer::Taken taken = records_.take(limit);
  const uint64_t ring_lost = backend.losses()[NEST_LOSS_RING_FULL];
  const std::lock_guard lock(losses_mutex_);
  taken.lost += ring_lost - ring_lost_;
  ring_lost_ = ring_lost;
  return taken;
}

TraceResult DataPath::trace(std::span<const uint8_t> packet, const std::string& interface_name) {
  // One at a time: two on one CPU would share the data path's scratch memory.
  const std::lock_guard change(change_);
  const std::shared_lock alive(life_);
  return open_backend().trace(packet, interface_name);
}

void DataPath::close() {
  const std::lock_guard change(change_);
  stop_ = true;
  if (reader_.joinable()) reader_.join();
  const std::unique_lock alive(life_);
  backend_.reset();
}

void DataPath::remove() {
  {
    const std::lock_guard change(change_);
    const std::shared_lock alive(life_);
    open_backend().remove();
    refresh_interfaces();
  }
  close();
}

double DataPath::clock_offset_ms() {
  const auto milliseconds = [](clockid_t clock) {
    timespec time = {};
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
  };
  return milliseconds(CLOCK_REALTIME) - milliseconds(CLOCK_MONOTONIC_COARSE);
}

}  // namespace nest
