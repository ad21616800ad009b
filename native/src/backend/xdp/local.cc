// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/local.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/magic.h>
#include <nest/local.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "backend/xdp/log_capture.h"
#include "backend/xdp/per_cpu.h"

namespace nest::xdp {
namespace {

namespace fs = std::filesystem;

constexpr size_t kVerifierLines = 40;
constexpr uint32_t kCounterWords = sizeof(nest_local_counter) / sizeof(uint64_t);
constexpr uint32_t kHalf = NEST_MAPPINGS_MAX + 1;

/// BPF_TCX_EGRESS of kernel 6.6; the headers that this is built with may be older.
constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);
/// A link's pin has this name and the interface's index.
const std::string kEgressLink = "egress_";
/// Where the filter of older kernels stands in its chain.
constexpr uint32_t kFilterHandle = 1;
constexpr uint32_t kFilterPriority = 0x4e53;

/// Maps that outlive the programs.
constexpr const char* kKeptMaps[] = {"nest_local_self", "nest_local_peers", "nest_local_count",
                                     "nest_local_why"};

struct GroupProgram {
  const char* name;
  bpf_attach_type type;
};
constexpr GroupProgram kGroupPrograms[] = {
    {"nest_connect4", BPF_CGROUP_INET4_CONNECT},     {"nest_connect6", BPF_CGROUP_INET6_CONNECT},
    {"nest_sendmsg4", BPF_CGROUP_UDP4_SENDMSG},      {"nest_sendmsg6", BPF_CGROUP_UDP6_SENDMSG},
    {"nest_recvmsg4", BPF_CGROUP_UDP4_RECVMSG},      {"nest_recvmsg6", BPF_CGROUP_UDP6_RECVMSG},
    {"nest_getpeer4", BPF_CGROUP_INET4_GETPEERNAME}, {"nest_getpeer6", BPF_CGROUP_INET6_GETPEERNAME},
    {"nest_sockops", BPF_CGROUP_SOCK_OPS},
};

struct TailProgram {
  uint32_t place;
  const char* name;
};
constexpr TailProgram kTailPrograms[] = {
    {NEST_LOCAL_TAIL_JUDGE, "nest_out_judge"},
    {NEST_LOCAL_TAIL_RULE, "nest_out_rule"},
    {NEST_LOCAL_TAIL_BEGIN, "nest_out_begin"},
    {NEST_LOCAL_TAIL_CONTINUE, "nest_out_continue"},
};

/// Of this process's network namespace; kernels tell it from 5.14 on.
uint64_t namespace_cookie() {
  const Descriptor any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  uint64_t cookie = 0;
  socklen_t bytes = sizeof(cookie);
  if (getsockopt(any.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &bytes) != 0)
    throw system_error(errno, "the network namespace of this process cannot be told from others");
  return cookie;
}

void make_folder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw system_error(error.value(), "the pin folder " + path + " cannot be created");
}

bool is_shared(const char* name) {
  for (size_t id = 0; id < kMapCount; id++) {
    if (!is_of_programs(id) && std::strcmp(kMapNames[id], name) == 0) return true;
  }
  return false;
}

/// The pinned link, when it can be given the program; otherwise its pin is removed.
bool renew(const std::string& path, int program) {
  const Descriptor link(bpf_obj_get(path.c_str()));
  if (!link) return false;
  if (bpf_link_update(link.get(), program, nullptr) == 0) return true;
  bpf_link_detach(link.get());
  unlink(path.c_str());
  return false;
}

void pin(int descriptor, const std::string& path) {
  if (bpf_obj_pin(descriptor, path.c_str()) != 0)
    throw system_error(errno, "pin " + path + " cannot be made");
}

bpf_tc_hook egress_hook(uint32_t index) {
  bpf_tc_hook hook = {};
  hook.sz = sizeof(hook);
  hook.ifindex = static_cast<int>(index);
  hook.attach_point = BPF_TC_EGRESS;
  return hook;
}

bpf_tc_opts egress_filter() {
  bpf_tc_opts options = {};
  options.sz = sizeof(options);
  options.handle = kFilterHandle;
  options.priority = kFilterPriority;
  return options;
}

/// Before kernel 6.6. 0, or the positive errno.
int attach_filter(int program, uint32_t index) {
  const LogCapture log;
  bpf_tc_hook hook = egress_hook(index);
  const int created = bpf_tc_hook_create(&hook);
  if (created != 0 && created != -EEXIST) return -created;
  bpf_tc_opts options = egress_filter();
  options.prog_fd = program;
  options.flags = BPF_TC_F_REPLACE;
  return -bpf_tc_attach(&hook, &options);
}

void detach_filter(uint32_t index) {
  const LogCapture log;
  bpf_tc_hook hook = egress_hook(index);
  const bpf_tc_opts options = egress_filter();
  bpf_tc_detach(&hook, &options);
}

}  // namespace

void Local::Close::operator()(bpf_object* object) const {
  bpf_object__close(object);
}

Local::Local(const Loaded& loaded, const LoadOptions& options, bool is_adopted)
    : loaded_(loaded), pin_path_(options.pin_path) {
  const std::string folder = fs::path(options.object_path).parent_path();
  object_path_ = (folder.empty() ? "." : folder) + "/nest_local.bpf.o";
  if (!is_adopted) detach();
  state_.reason = "not asked for";
}

int Local::map(const char* name) const {
  return bpf_object__find_map_fd_by_name(object_.get(), name);
}

int Local::program(const char* name) const {
  return bpf_program__fd(bpf_object__find_program_by_name(object_.get(), name));
}

void Local::take_over_maps() {
  bpf_map* each = nullptr;
  bpf_object__for_each_map(each, object_.get()) {
    const char* name = bpf_map__name(each);
    if (!is_shared(name)) continue;
    for (size_t id = 0; id < kMapCount; id++) {
      if (std::strcmp(kMapNames[id], name) == 0) bpf_map__reuse_fd(each, loaded_.maps[id].get());
    }
  }
  for (const char* name : kKeptMaps) {
    const std::string path = folder("maps/") + name;
    const Descriptor pinned(bpf_obj_get(path.c_str()));
    bpf_map* kept = bpf_object__find_map_by_name(object_.get(), name);
    if (!pinned || kept == nullptr) continue;
    bpf_map_info info = {};
    uint32_t bytes = sizeof(info);
    const bool is_same = bpf_obj_get_info_by_fd(pinned.get(), &info, &bytes) == 0 &&
                         info.key_size == bpf_map__key_size(kept) &&
                         info.value_size == bpf_map__value_size(kept) &&
                         info.max_entries == bpf_map__max_entries(kept);
    // Of another build: its sockets keep their backends, and show them from now on.
    if (!is_same || bpf_map__reuse_fd(kept, pinned.get()) != 0) unlink(path.c_str());
  }
}

void Local::load() {
  const LogCapture log;
  object_.reset(bpf_object__open_file(object_path_.c_str(), nullptr));
  if (object_ == nullptr) throw system_error(errno, object_path_ + " cannot be opened");
  make_folder(folder("maps"));
  make_folder(folder("links"));
  take_over_maps();
  const int result = bpf_object__load(object_.get());
  if (result != 0) {
    object_.reset();
    Error failure = system_error(-result, "the kernel refuses the hooks for local traffic");
    failure.verifier_log = log.tail(kVerifierLines);
    throw failure;
  }
  for (const char* name : kKeptMaps) {
    const std::string path = folder("maps/") + name;
    if (!fs::exists(path)) pin(map(name), path);
  }
  link_tail();
}

/// The kernel empties a table of programs when nobody has it open: its pin keeps it. That of the programs
/// before is removed once they are replaced.
void Local::link_tail() const {
  for (const TailProgram& each : kTailPrograms) {
    const int descriptor = program(each.name);
    if (bpf_map_update_elem(map(kMapNames[kTail]), &each.place, &descriptor, BPF_ANY) != 0)
      throw system_error(errno, "a program cannot be linked to the first");
  }
  unlink(folder("maps/tail_next").c_str());
  pin(map(kMapNames[kTail]), folder("maps/tail_next"));
}

LocalState Local::attach(const std::string& cgroup_path, std::span<const AttachedInterface> interfaces) {
  try {
    if (object_ == nullptr) load();
    const uint32_t key = 0;
    const nest_local_self self = {
        .namespace_cookie = namespace_cookie(), .process = static_cast<uint32_t>(getpid()), .pad = 0};
    bpf_map_update_elem(map("nest_local_self"), &key, &self, BPF_ANY);
    refresh_sources();
    follow(interfaces);
    if (!state_.is_attached || state_.cgroup_path != cgroup_path) attach_group(cgroup_path);
    state_.is_attached = true;
    state_.cgroup_path = cgroup_path;
    state_.reason.clear();
  } catch (const Error& error) {
    state_.is_attached = false;
    state_.reason = std::string(error.what()) + (error.step.empty() ? "" : ": " + error.step);
  }
  return state_;
}

void Local::attach_group(const std::string& cgroup_path) {
  struct statfs info = {};
  struct stat group = {};
  const Descriptor root(open(cgroup_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root || fstatfs(root.get(), &info) != 0 || fstat(root.get(), &group) != 0)
    throw system_error(errno, "the control group " + cgroup_path + " cannot be opened");
  if (info.f_type != CGROUP2_SUPER_MAGIC) {
    throw Error(Code::kSystem, cgroup_path + " is no control group of version 2",
                "mount one (mount -t cgroup2 none <folder>) and name it in the agent's configuration");
  }
  for (const GroupProgram& each : kGroupPrograms) {
    const std::string path = folder("links/") + each.name;
    const Descriptor old(bpf_obj_get(path.c_str()));
    bpf_link_info link = {};
    uint32_t bytes = sizeof(link);
    if (old && bpf_obj_get_info_by_fd(old.get(), &link, &bytes) == 0 &&
        link.cgroup.cgroup_id == group.st_ino && renew(path, program(each.name)))
      continue;
    if (old) {
      bpf_link_detach(old.get());
      unlink(path.c_str());
    }
    const Descriptor fresh(bpf_link_create(program(each.name), root.get(), each.type, nullptr));
    if (!fresh) {
      throw system_error(errno, std::string("the control group refuses ") + each.name);
    }
    pin(fresh.get(), path);
  }
}

void Local::attach_egress(uint32_t index, const std::string& name) {
  const int entry = program("nest_egress");
  const std::string path = folder("links/") + kEgressLink + std::to_string(index);
  LocalEgress egress{.name = name, .index = index, .kind = "tcx", .reason = {}};
  if (!renew(path, entry)) {
    const Descriptor link(bpf_link_create(entry, static_cast<int>(index), kTcxEgress, nullptr));
    if (link) {
      pin(link.get(), path);
    } else {
      const int error = attach_filter(entry, index);
      egress.kind = error == 0 ? "clsact" : "none";
      if (error != 0) egress.reason = std::string("the kernel refuses it: ") + std::strerror(error);
    }
  }
  state_.egress.push_back(egress);
}

/// Also of interfaces that went away while no agent was running.
void Local::detach_links(const std::function<bool(const std::string&)>& is_wanted) const {
  std::error_code error;
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(folder("links"), error)) paths.push_back(entry.path());
  for (const std::string& path : paths) {
    if (is_wanted(fs::path(path).filename())) continue;
    const Descriptor link(bpf_obj_get(path.c_str()));
    if (link) bpf_link_detach(link.get());
    unlink(path.c_str());
  }
}

void Local::follow(std::span<const AttachedInterface> interfaces) {
  if (object_ == nullptr) return;
  const auto is_wanted = [&](const LocalEgress& egress) {
    return std::ranges::find(interfaces, egress.index, &AttachedInterface::index) != interfaces.end();
  };
  detach_links([&](const std::string& name) {
    return !name.starts_with(kEgressLink) || std::ranges::any_of(interfaces, [&](const auto& each) {
      return name == kEgressLink + std::to_string(each.index);
    });
  });
  for (const LocalEgress& egress : state_.egress) {
    if (!is_wanted(egress) && egress.kind == "clsact") detach_filter(egress.index);
  }
  std::erase_if(state_.egress, [&](const LocalEgress& egress) { return !is_wanted(egress); });
  for (const AttachedInterface& each : interfaces) {
    if (std::ranges::find(state_.egress, each.index, &LocalEgress::index) == state_.egress.end())
      attach_egress(each.index, each.name);
  }
  // Nothing runs the programs before these any more.
  std::error_code ignored;
  fs::rename(folder("maps/tail_next"), folder("maps/tail"), ignored);
}

void Local::detach() {
  detach_links([](const std::string&) { return false; });
  for (const LocalEgress& egress : state_.egress) {
    if (egress.kind == "clsact") detach_filter(egress.index);
  }
  state_ = {};
  state_.reason = "switched off";
  object_.reset();
  sources4_.clear();
  sources6_.clear();
  std::error_code ignored;
  fs::remove_all(pin_path_ + "/local", ignored);
}

template <typename Prefix>
void Local::store_sources(const char* name, size_t bytes, const Sources& now, Sources& before) const {
  const auto prefix = [&](const std::pair<uint32_t, AddressBytes>& destination) {
    Prefix key = {};
    key.length = destination.first;
    std::memcpy(key.address, destination.second.data(), bytes);
    return key;
  };
  for (const auto& [destination, source] : before) {
    const Prefix key = prefix(destination);
    if (!now.contains(destination)) bpf_map_delete_elem(map(name), &key);
  }
  for (const auto& [destination, source] : now) {
    const auto known = before.find(destination);
    const Prefix key = prefix(destination);
    if (known != before.end() && known->second == source) continue;
    if (bpf_map_update_elem(map(name), &key, source.data(), BPF_ANY) != 0)
      throw system_error(errno, "a route of this host cannot be stored");
  }
  before = now;
}

void Local::refresh_sources() {
  store_sources<nest_prefix4>("nest_local_src4", 4, read_sources(AF_INET), sources4_);
  store_sources<nest_prefix6>("nest_local_src6", 16, read_sources(AF_INET6), sources6_);
}

std::vector<std::string> Local::missing() const {
  std::vector<std::string> names;
  const auto holds = [&](const std::string& path, const auto& is_there) {
    const Descriptor link(bpf_obj_get(path.c_str()));
    bpf_link_info info = {};
    uint32_t bytes = sizeof(info);
    return link && bpf_obj_get_info_by_fd(link.get(), &info, &bytes) == 0 && is_there(info);
  };
  if (state_.is_attached) {
    for (const GroupProgram& each : kGroupPrograms) {
      if (!holds(folder("links/") + each.name, [](const auto& info) { return info.cgroup.cgroup_id != 0; }))
        names.emplace_back(each.name);
    }
  }
  for (const LocalEgress& egress : state_.egress) {
    if (egress.kind != "tcx") continue;
    // A tcx link tells its interface where a packet link does.
    const auto is_there = [&](const auto& info) { return info.xdp.ifindex == egress.index; };
    if (!holds(folder("links/") + kEgressLink + std::to_string(egress.index), is_there))
      names.push_back("egress of " + egress.name);
  }
  return names;
}

void Local::clear(uint32_t half) const {
  if (object_ != nullptr) clear_per_cpu(map("nest_local_count"), half * kHalf, kHalf, kCounterWords);
}

LocalCounters Local::counters(uint32_t half) const {
  if (object_ == nullptr) return {};
  return {read_per_cpu(map("nest_local_count"), half * kHalf, kHalf, kCounterWords),
          read_per_cpu(map("nest_local_why"), 0, NEST_REASON_COUNT, 1)};
}

}  // namespace nest::xdp
