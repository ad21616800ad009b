// SPDX-License-Identifier: AGPL-3.0-only
// The XDP engine: puts the parts of this folder together behind backend.h.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "backend/backend.h"
#include "backend/xdp/egress.h"
#include "backend/xdp/flows.h"
#include "backend/xdp/interfaces.h"
#include "backend/xdp/local.h"
#include "backend/xdp/object.h"
#include "backend/xdp/per_cpu.h"
#include "backend/xdp/pins.h"
#include "backend/xdp/tables.h"
#include "backend/xdp/trace.h"

namespace nest {
namespace {

constexpr uint32_t kCounterWords = sizeof(nest_counter) / sizeof(uint64_t);
constexpr int kRecordPollMs = 20;
constexpr size_t kRecordBatch = 1024;

struct RingClose {
  void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};

class XdpBackend final : public Backend {
 public:
  XdpBackend(const LoadOptions& options, xdp::Pins pins, xdp::Loaded loaded, bool is_adopted)
      : pins_(std::move(pins)),
        loaded_(std::move(loaded)),
        is_adopted_(is_adopted),
        tables_(loaded_),
        egress_(loaded_),
        interfaces_(loaded_, pins_),
        local_(loaded_, options, is_adopted) {}

  bool is_adopted() const override { return is_adopted_; }
  uint32_t program_id() const override { return loaded_.program_id; }
  nest_control control() const override { return tables_.control(); }

  std::vector<AttachedInterface> interfaces() override { return interfaces_.list(); }
  AttachedInterface attach(const std::string& name) override {
    const AttachedInterface attached = interfaces_.attach(name);
    local_.follow(interfaces_.list());
    return attached;
  }
  bool detach(const std::string& name) override {
    const bool was_attached = interfaces_.detach(name);
    local_.follow(interfaces_.list());
    return was_attached;
  }
  LocalState attach_local(const std::string& cgroup_path) override {
    return local_.attach(cgroup_path, interfaces_.list());
  }
  void detach_local() override { local_.detach(); }
  LocalState local() override { return local_.state(); }
  LocalCounters local_counters() override { return local_.counters(control().sequence & 1); }
  uint32_t swapped() const override { return tables_.swapped(); }
  SwapTimes swap(const Tables& tables, std::span<const uint8_t> states, uint32_t sequence) override {
    local_.clear(sequence & 1);
    return tables_.swap(tables, states, sequence);
  }
  uint32_t set_backend_states(std::span<const uint8_t> states) override {
    return tables_.set_backend_states(states);
  }
  uint32_t change_deny(std::span<const nest_image_deny4> stored,
                       std::span<const nest_image_deny4> removed) override {
    return tables_.change_deny(stored, removed);
  }
  uint32_t change_deny(std::span<const nest_image_deny6> stored,
                       std::span<const nest_image_deny6> removed) override {
    return tables_.change_deny(stored, removed);
  }
  void set_flood(bool is_on) override { tables_.set_flood(is_on); }
  void set_interface_addresses(std::span<const InterfaceAddress> addresses) override {
    egress_.set_addresses(addresses);
  }
  void set_tx_ports(std::span<const uint32_t> indexes) override { egress_.set_tx_ports(indexes); }
  FlowPage flows(size_t limit) override { return xdp::read_flows(loaded_, limit); }
  std::vector<nest_record> sweep(size_t limit) override { return xdp::sweep_flows(loaded_, limit); }
  TraceResult trace(std::span<const uint8_t> packet, const std::string& interface_name) override {
    return xdp::trace_packet(loaded_, packet, interface_name);
  }

  Inspection inspect() override {
    Inspection inspection;
    inspection.interfaces = interfaces_.inspect();
    inspection.hooks_missing = local_.missing();
    tables_.inspect(inspection);
    return inspection;
  }

  Counters counters(std::span<const AttachedInterface> interfaces) override {
    Counters counters;
    for (const AttachedInterface& each : interfaces) {
      auto reasons = xdp::read_per_cpu(loaded_.map(xdp::kInterfaceCounters), each.slot * NEST_REASON_SLOTS,
                                       NEST_REASON_COUNT, kCounterWords);
      counters.interfaces.push_back({each.name, each.index, std::move(reasons)});
    }
    tables_.read_counters(counters);
    counters.losses = losses();
    counters.stats = xdp::read_per_cpu(loaded_.map(xdp::kStats), 0, NEST_STAT_KINDS, 1);
    return counters;
  }

  std::vector<uint64_t> losses() override {
    return xdp::read_per_cpu(loaded_.map(xdp::kLosses), 0, NEST_LOSS_KINDS, 1);
  }

  void read_records(const std::atomic<bool>& stop,
                    const std::function<void(std::span<const nest_record>)>& take) override {
    struct Batch {
      const std::atomic<bool>& stop;
      const std::function<void(std::span<const nest_record>)>& take;
      std::vector<nest_record> records;
    } batch{stop, take, {}};
    batch.records.reserve(kRecordBatch);
    const auto add = [](void* context, void* data, size_t bytes) -> int {
      auto* into = static_cast<Batch*>(context);
      if (bytes < sizeof(nest_record)) return 0;
      into->records.push_back(*static_cast<const nest_record*>(data));
      if (into->records.size() == kRecordBatch) {
        into->take(into->records);
        into->records.clear();
      }
      return into->stop ? -ECANCELED : 0;
    };
    const std::unique_ptr<ring_buffer, RingClose> ring(
        ring_buffer__new(loaded_.map(xdp::kRecords), add, &batch, nullptr));
    if (ring == nullptr) throw system_error(errno, "the flow records cannot be read");
    while (!stop) {
      // The data path rarely wakes anybody: what it left is fetched when the wait is over.
      ring_buffer__poll(ring.get(), kRecordPollMs);
      ring_buffer__consume(ring.get());
      if (!batch.records.empty()) take(batch.records);
      batch.records.clear();
    }
  }

  void remove() override {
    local_.detach();
    interfaces_.detach_all();
    pins_.remove();
  }

 private:
  xdp::Pins pins_;
  xdp::Loaded loaded_;
  bool is_adopted_;
  xdp::PolicyTables tables_;
  xdp::Egress egress_;
  xdp::Interfaces interfaces_;
  xdp::Local local_;
};

}  // namespace

std::unique_ptr<Backend> open_xdp(const LoadOptions& options) {
  xdp::Object object(options.object_path);
  xdp::Pins pins(options.pin_path);
  std::optional<xdp::Loaded> found = pins.find();
  if (found) {
    if (!object.accept(*found)) {
      xdp::Loaded upgraded = object.upgrade(*found);
      pins.replace_programs(upgraded);
      found = std::move(upgraded);
    }
    return std::make_unique<XdpBackend>(options, std::move(pins), std::move(*found), true);
  }
  xdp::Loaded loaded = object.load();
  pins.commit(loaded);
  return std::make_unique<XdpBackend>(options, std::move(pins), std::move(loaded), false);
}

}  // namespace nest
