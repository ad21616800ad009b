// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/interfaces.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <algorithm>

#include "backend/xdp/log_capture.h"
#include "backend/xdp/per_cpu.h"

namespace nest::xdp {
namespace {

constexpr uint32_t kCounterWords = sizeof(nest_counter) / sizeof(uint64_t);

bpf_link_info link_info(int link) {
  bpf_link_info info = {};
  uint32_t bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(link, &info, &bytes) != 0) throw system_error(errno, "a link cannot be read");
  return info;
}

bpf_xdp_query_opts query(uint32_t index) {
  const LogCapture log;
  bpf_xdp_query_opts options = {};
  options.sz = sizeof(options);
  const int result = bpf_xdp_query(static_cast<int>(index), 0, &options);
  if (result != 0) throw system_error(-result, "the interface's packet program cannot be read");
  return options;
}

AttachMode mode_of(uint32_t index) {
  return query(index).attach_mode == XDP_ATTACHED_SKB ? AttachMode::kGeneric : AttachMode::kNative;
}

Error foreign(const std::string& name) {
  return Error(Code::kInterfaceForeignProgram,
               "interface " + name + " runs a packet program that is not ours",
               "remove it (ip link set dev " + name + " xdp off, or stop its owner), then attach again");
}

bool runs(uint32_t index, uint32_t program_id) {
  const bpf_xdp_query_opts found = query(index);
  return found.prog_id == program_id || found.drv_prog_id == program_id || found.skb_prog_id == program_id;
}

void check_foreign(const std::string& name, uint32_t index, uint32_t program_id) {
  const bpf_xdp_query_opts found = query(index);
  for (const uint32_t id : {found.prog_id, found.drv_prog_id, found.skb_prog_id, found.hw_prog_id}) {
    if (id != 0 && id != program_id) throw foreign(name);
  }
}

/// Positive errno in `error` when the kernel refuses.
Descriptor link_with(int program, uint32_t index, uint32_t flags, int& error) {
  bpf_link_create_opts options = {};
  options.sz = sizeof(options);
  options.flags = flags;
  Descriptor link(bpf_link_create(program, static_cast<int>(index), BPF_XDP, &options));
  error = link ? 0 : errno;
  return link;
}

/// Driver mode, else generic mode. What is no question of the driver does not get better in generic mode.
Descriptor link_interface(int program, const std::string& name, uint32_t index, AttachMode& mode) {
  int error = 0;
  mode = AttachMode::kNative;
  Descriptor link = link_with(program, index, XDP_FLAGS_DRV_MODE, error);
  const bool is_driver_matter =
      error != 0 && error != EBUSY && error != EEXIST && error != EPERM && error != ENODEV;
  if (is_driver_matter) {
    mode = AttachMode::kGeneric;
    link = link_with(program, index, XDP_FLAGS_SKB_MODE, error);
  }
  if (link) return link;
  if (error == EBUSY || error == EEXIST) throw foreign(name);
  const Error cause = system_error(error, "interface " + name + " refuses the packet program");
  if (cause.code == Code::kPermission) throw cause;
  throw Error(Code::kAttachFailed, cause.what(),
              "look at the driver's messages (dmesg); a smaller MTU often helps");
}

}  // namespace

Interfaces::Interfaces(const Loaded& loaded, const Pins& pins)
    : loaded_(loaded),
      pins_(pins),
      slots_(loaded.map(kInterfaceSlots), NEST_INTERFACE_INDEX_MAX * sizeof(uint64_t)) {
  for (const Pins::Link& link : pins_.links()) adopt(link);
  // Slots of interfaces that went away while no agent was running.
  for (uint32_t index = 0; index < NEST_INTERFACE_INDEX_MAX; index++) {
    const bool is_attached =
        std::ranges::any_of(attached_, [&](const auto& each) { return each.index == index; });
    if (*slot_of(index) != 0 && !is_attached) *slot_of(index) = 0;
  }
}

void Interfaces::adopt(const Pins::Link& link) {
  const bpf_link_info info = link_info(link.descriptor.get());
  const uint32_t index = info.xdp.ifindex;
  if (index == 0 || index >= NEST_INTERFACE_INDEX_MAX) {
    pins_.remove_link(link.interface_name);
    return;
  }
  // Of the build before an upgrade. The kernel puts ours in its place between two packets.
  if (info.prog_id != loaded_.program_id &&
      bpf_link_update(link.descriptor.get(), loaded_.program(kEntry), nullptr) != 0) {
    throw system_error(errno,
                       "the packet program of interface " + link.interface_name + " cannot be replaced");
  }
  char name[IF_NAMESIZE] = {};
  if (if_indextoname(index, name) == nullptr || !runs(index, loaded_.program_id)) {
    // Moved to another network namespace, where this process cannot look after it; its index may be another's
    // here.
    bpf_link_detach(link.descriptor.get());
    pins_.remove_link(link.interface_name);
    return;
  }
  if (link.interface_name != name) {
    pins_.remove_link(link.interface_name);
    pins_.add_link(name, link.descriptor.get());
  }
  AttachedInterface interface{.name = name, .index = index, .mode = mode_of(index), .slot = 0};
  const uint32_t slot = *slot_of(index);
  interface.slot = slot == 0 ? free_slot() : slot - 1;
  *slot_of(index) = interface.slot + 1;
  attached_.push_back(interface);
}

uint32_t* Interfaces::slot_of(uint32_t index) const {
  // An array's elements begin at multiples of eight bytes.
  return reinterpret_cast<uint32_t*>(static_cast<uint64_t*>(slots_.address()) + index);
}

uint32_t Interfaces::free_slot() const {
  for (uint32_t slot = 0; slot < NEST_INTERFACES_MAX; slot++) {
    if (std::ranges::none_of(attached_, [&](const auto& each) { return each.slot == slot; })) return slot;
  }
  throw Error(Code::kInterfacesExhausted, "64 interfaces are attached already",
              "detach one that needs no policy");
}

AttachedInterface Interfaces::attach(const std::string& name) {
  const uint32_t index = if_nametoindex(name.c_str());
  if (index == 0) {
    throw Error(Code::kInterfaceUnknown, "there is no interface " + name,
                "look at the interface names of this host (ip link)");
  }
  if (index >= NEST_INTERFACE_INDEX_MAX) {
    throw Error(Code::kInterfacesExhausted,
                "interface " + name + " has index " + std::to_string(index) + ", above 65535",
                "restart the host: interface indexes begin at 1 again");
  }
  const auto known = std::ranges::find(attached_, name, &AttachedInterface::name);
  if (known != attached_.end()) {
    if (known->index == index && query(index).prog_id == loaded_.program_id) return *known;
    detach(name);  // another interface of that name, or one whose link is gone
  }
  check_foreign(name, index, loaded_.program_id);

  AttachedInterface interface{.name = name, .index = index, .mode = AttachMode::kNative, .slot = free_slot()};
  clear_per_cpu(loaded_.map(kInterfaceCounters), interface.slot * NEST_REASON_SLOTS, NEST_REASON_SLOTS,
                kCounterWords);
  *slot_of(index) = interface.slot + 1;
  try {
    const Descriptor link = link_interface(loaded_.program(kEntry), name, index, interface.mode);
    if (query(index).prog_id != loaded_.program_id) throw foreign(name);
    pins_.add_link(name, link.get());
  } catch (...) {
    *slot_of(index) = 0;
    throw;
  }
  attached_.push_back(interface);
  return interface;
}

bool Interfaces::detach(const std::string& name) {
  const auto known = std::ranges::find(attached_, name, &AttachedInterface::name);
  if (known == attached_.end()) return false;
  for (const Pins::Link& link : pins_.links()) {
    // Explicitly: removing the pin alone lets the kernel detach later.
    if (link.interface_name == name) bpf_link_detach(link.descriptor.get());
  }
  pins_.remove_link(name);
  *slot_of(known->index) = 0;
  attached_.erase(known);
  return true;
}

std::vector<Inspection::Interface> Interfaces::inspect() const {
  std::vector<Inspection::Interface> found;
  for (const AttachedInterface& each : attached_) {
    Inspection::Interface now{.name = each.name, .index = each.index, .program_id = 0, .is_counted = false};
    char name[IF_NAMESIZE] = {};
    // One that is gone is no drift: who watches interfaces detaches it.
    if (if_indextoname(each.index, name) == nullptr) continue;
    now.program_id = query(each.index).prog_id;
    now.is_counted = *slot_of(each.index) == each.slot + 1;
    found.push_back(now);
  }
  return found;
}

void Interfaces::detach_all() {
  while (!attached_.empty()) detach(std::string(attached_.back().name));
}

}  // namespace nest::xdp
