// SPDX-License-Identifier: AGPL-3.0-only
// The XDP engine: puts the parts of this folder together behind backend.h.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "backend/backend.h"
#include "backend/xdp/flows.h"
#include "backend/xdp/interfaces.h"
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
/// A reading that a swap crosses is made again.
constexpr int kCounterReadings = 3;

struct RingClose {
  void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};

class XdpBackend final : public Backend {
 public:
  XdpBackend(xdp::Pins pins, xdp::Loaded loaded, bool is_adopted)
      : pins_(std::move(pins)),
        loaded_(std::move(loaded)),
        is_adopted_(is_adopted),
        tables_(loaded_),
        interfaces_(loaded_, pins_) {}

  bool is_adopted() const override { return is_adopted_; }
  uint32_t program_id() const override { return loaded_.program_id; }
  nest_control control() const override { return tables_.control(); }

  std::vector<AttachedInterface> interfaces() override { return interfaces_.list(); }
  AttachedInterface attach(const std::string& name) override { return interfaces_.attach(name); }
  bool detach(const std::string& name) override { return interfaces_.detach(name); }
  SwapTimes swap(const Tables& tables, uint32_t sequence) override { return tables_.swap(tables, sequence); }
  FlowPage flows(size_t limit) override { return xdp::read_flows(loaded_, limit); }
  std::vector<nest_record> sweep(size_t limit) override { return xdp::sweep_flows(loaded_, limit); }
  TraceResult trace(std::span<const uint8_t> packet, const std::string& interface_name) override {
    return xdp::trace_packet(loaded_, packet, interface_name);
  }

  Counters counters(std::span<const AttachedInterface> interfaces) override {
    Counters counters;
    for (const AttachedInterface& each : interfaces) {
      auto reasons = xdp::read_per_cpu(loaded_.map(xdp::kInterfaceCounters), each.slot * NEST_REASON_SLOTS,
                                       NEST_REASON_COUNT, kCounterWords);
      counters.interfaces.push_back({each.name, each.index, std::move(reasons)});
    }
    for (int reading = 0; reading < kCounterReadings; reading++) {
      const uint32_t sequence = control().sequence;
      counters.active = {sequence, read_mappings(sequence)};
      counters.retired.reset();
      if (sequence >= 1 && tables_.mapping_count(sequence - 1)) {
        counters.retired = MappingCounters{sequence - 1, read_mappings(sequence - 1)};
        // A swap that began meanwhile has been clearing them.
        if (!tables_.mapping_count(sequence - 1)) counters.retired.reset();
      }
      if (control().sequence == sequence) break;
    }
    counters.losses = losses();
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
    interfaces_.detach_all();
    pins_.remove();
  }

 private:
  /// Mappings beyond those of the policy cannot have been counted: they are not asked for.
  std::vector<uint64_t> read_mappings(uint32_t sequence) {
    const uint32_t half = (sequence & 1) * (NEST_MAPPINGS_MAX + 1);
    const uint32_t count = tables_.mapping_count(sequence).value_or(0);
    auto values = xdp::read_per_cpu(loaded_.map(xdp::kMappingCounters), half, count, kCounterWords);
    const auto rest =
        xdp::read_per_cpu(loaded_.map(xdp::kMappingCounters), half + NEST_MAPPING_DEFAULT, 1, kCounterWords);
    values.resize(size_t{NEST_MAPPINGS_MAX} * kCounterWords, 0);
    values.insert(values.end(), rest.begin(), rest.end());
    return values;
  }

  xdp::Pins pins_;
  xdp::Loaded loaded_;
  bool is_adopted_;
  xdp::PolicyTables tables_;
  xdp::Interfaces interfaces_;
};

}  // namespace

std::unique_ptr<Backend> open_xdp(const LoadOptions& options) {
  xdp::Object object(options.object_path);
  xdp::Pins pins(options.pin_path);
  std::optional<xdp::Loaded> found = pins.find();
  if (found) {
    object.accept(*found);
    return std::make_unique<XdpBackend>(std::move(pins), std::move(*found), true);
  }
  xdp::Loaded loaded = object.load();
  pins.commit(loaded);
  return std::make_unique<XdpBackend>(std::move(pins), std::move(loaded), false);
}

}  // namespace nest
