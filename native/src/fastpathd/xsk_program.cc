// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/xsk_program.h"

#include <bpf/bpf.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "fastpathd/failure.h"

namespace nest::fast {
namespace {

constexpr std::array kPinnedMaps = {"nest_xsk_sockets", "nest_xsk_program", "nest_xsk_action",
                                    "nest_xsk_missed"};

Failure foreign(const std::string& name) {
  return Failure(
      NEST_FAST_STATUS_FOREIGN_PROGRAM, "interface " + name + " runs a packet program that is not ours",
      "remove it (ip link set dev " + name + " xdp off, or stop its owner), then add the port again");
}

bpf_link_info link_info(int link) {
  bpf_link_info info = {};
  uint32_t bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(link, &info, &bytes) != 0) throw system_failure(errno, "a link cannot be read");
  return info;
}

/// Of any mode; `ours` is not counted.
bool has_program(uint32_t interface, uint32_t ours) {
  bpf_xdp_query_opts found = {};
  found.sz = sizeof(found);
  const int result = bpf_xdp_query(static_cast<int>(interface), 0, &found);
  if (result != 0) throw system_failure(-result, "the interface's packet program cannot be read");
  for (const uint32_t id : {found.prog_id, found.drv_prog_id, found.skb_prog_id, found.hw_prog_id}) {
    if (id != 0 && id != ours) return true;
  }
  return false;
}

void make_pin_folder(const std::string& root, const std::string& folder) {
  struct statfs place = {};
  const std::string parent = std::filesystem::path(root).parent_path();
  if (statfs(parent.c_str(), &place) != 0 || place.f_type != BPF_FS_MAGIC) {
    throw Failure(NEST_FAST_STATUS_USAGE, "the pin path " + root + " lies in no bpffs",
                  "mount -t bpf bpf /sys/fs/bpf, and give a folder there");
  }
  for (const std::string& each : {root, folder}) {
    if (mkdir(each.c_str(), 0700) != 0 && errno != EEXIST) throw system_failure(errno, each);
  }
}

int quiet(libbpf_print_level, const char*, va_list) {
  return 0;
}

}  // namespace

XskProgram::XskProgram(const Place& place, const PortOptions& port, uint32_t interface)
    : interface_(interface) {
  libbpf_set_print(quiet);
  if (place.pin_path.empty() && port.fallback != NEST_FAST_FALLBACK_PASS) {
    throw Failure(NEST_FAST_STATUS_USAGE,
                  "the fallback of " + port.name + " needs a program that outlives us",
                  "give --pin-path, or choose the fallback pass");
  }
  if (!place.pin_path.empty()) {
    folder_ = place.pin_path + "/" + port.name;
    make_pin_folder(place.pin_path, folder_);
    link_ = Descriptor(bpf_obj_get((folder_ + "/link").c_str()));
    // A pin of an interface that was removed since; one of that name may exist again.
    if (link_ && link_info(link_.get()).xdp.ifindex != interface_) remove();
  }
  if (has_program(interface_, link_ ? link_info(link_.get()).prog_id : 0)) throw foreign(port.name);
  open(place);
  load(port.name);
  set_fallback(port);
  attach(port);
}

void XskProgram::open(const Place& place) {
  object_.reset(bpf_object__open_file(place.object_path.c_str(), nullptr));
  if (object_ == nullptr) {
    throw Failure(NEST_FAST_STATUS_USAGE, "the packet program " + place.object_path + " cannot be opened",
                  "give its path with --object");
  }
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object_.get()) {
    const std::string name = bpf_map__name(map);
    if (name.ends_with(".rodata")) {
      size_t bytes = 0;
      auto* data = static_cast<uint8_t*>(const_cast<void*>(bpf_map__initial_value(map, &bytes)));
      // The one variable there.
      if (bytes == sizeof(interface_)) std::memcpy(data, &interface_, bytes);
    }
    for (const char* pinned : kPinnedMaps) {
      if (!folder_.empty() && name == pinned) bpf_map__set_pin_path(map, (folder_ + "/" + name).c_str());
    }
  }
}

void XskProgram::load(const std::string& name) {
  const int result = bpf_object__load(object_.get());
  if (result == 0) return;
  const Failure cause = system_failure(-result, "the packet program of " + name + " does not load");
  if (cause.status == NEST_FAST_STATUS_PERMISSION) throw cause;
  throw Failure(NEST_FAST_STATUS_UNSUPPORTED, cause.what(),
                "remove the pins of another version (" + folder_ + "), or use a newer kernel");
}

void XskProgram::set_fallback(const PortOptions& port) {
  const uint32_t zero = 0;
  const uint32_t action = port.fallback == NEST_FAST_FALLBACK_DROP ? XDP_DROP : XDP_PASS;
  if (bpf_map_update_elem(map("nest_xsk_action"), &zero, &action, BPF_ANY) != 0)
    throw system_failure(errno, "the fallback cannot be set");
  if (port.fallback != NEST_FAST_FALLBACK_XDP) {
    bpf_map_delete_elem(map("nest_xsk_program"), &zero);
    return;
  }
  const Descriptor target(bpf_obj_get(port.program.c_str()));
  const int number = target.get();
  if (!target || bpf_map_update_elem(map("nest_xsk_program"), &zero, &number, BPF_ANY) != 0) {
    throw Failure(NEST_FAST_STATUS_USAGE,
                  "the program " + port.program + " cannot be the fallback: " + std::strerror(errno),
                  "give the path of a pinned XDP program, as the agent pins it");
  }
}

void XskProgram::attach(const PortOptions& port) {
  if (link_) {
    if (bpf_link_update(link_.get(), program("nest_xsk"), nullptr) != 0)
      throw system_failure(errno, "the packet program of " + port.name + " cannot be replaced");
    return;
  }
  bpf_link_create_opts options = {};
  options.sz = sizeof(options);
  options.flags = XDP_FLAGS_DRV_MODE;
  link_ = Descriptor(bpf_link_create(program("nest_xsk"), static_cast<int>(interface_), BPF_XDP, &options));
  if (!link_) {
    const int error = errno;
    if (error == EBUSY || error == EEXIST) throw foreign(port.name);
    const Failure cause = system_failure(error, "interface " + port.name + " takes no packet program");
    if (cause.status == NEST_FAST_STATUS_PERMISSION) throw cause;
    throw Failure(NEST_FAST_STATUS_UNSUPPORTED, cause.what(),
                  "use the engine xdp there: its generic mode needs no help of the driver");
  }
  if (!folder_.empty() && bpf_obj_pin(link_.get(), (folder_ + "/link").c_str()) != 0)
    throw system_failure(errno, "the link of " + port.name + " cannot be pinned");
}

void XskProgram::insert(uint32_t queue, int socket) {
  if (bpf_map_update_elem(map("nest_xsk_sockets"), &queue, &socket, BPF_ANY) != 0)
    throw system_failure(errno, "a socket cannot be put into the table of queue " + std::to_string(queue));
}

void XskProgram::erase(uint32_t queue) {
  bpf_map_delete_elem(map("nest_xsk_sockets"), &queue);
}

void XskProgram::inject_from(uint32_t tap) {
  bpf_tc_hook hook = {};
  hook.sz = sizeof(hook);
  hook.ifindex = static_cast<int>(tap);
  hook.attach_point = BPF_TC_INGRESS;
  int result = bpf_tc_hook_create(&hook);
  if (result != 0) throw system_failure(-result, "the tap takes no filter");
  bpf_tc_opts options = {};
  options.sz = sizeof(options);
  options.prog_fd = program("nest_xsk_inject");
  options.handle = 1;
  options.priority = 1;
  result = bpf_tc_attach(&hook, &options);
  if (result != 0) throw system_failure(-result, "the tap takes no program");
}

void XskProgram::remove() {
  // Explicitly: removing the pin alone lets the kernel detach later.
  if (link_) bpf_link_detach(link_.get());
  link_.reset();
  if (folder_.empty()) return;
  unlink((folder_ + "/link").c_str());
  for (const char* name : kPinnedMaps) unlink((folder_ + "/" + name).c_str());
  rmdir(folder_.c_str());
  mkdir(folder_.c_str(), 0700);
}

int XskProgram::map(const char* name) const {
  return bpf_object__find_map_fd_by_name(object_.get(), name);
}

int XskProgram::program(const char* name) const {
  return bpf_program__fd(bpf_object__find_program_by_name(object_.get(), name));
}

}  // namespace nest::fast
