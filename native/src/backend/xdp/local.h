// SPDX-License-Identifier: AGPL-3.0-only
// nest_local.bpf.o: hooks for what processes of this host send, beside the packet programs and on their
// tables. Everything is pinned under <pin>/local and goes on without this process; a later one puts its own
// programs in the place of those it finds. The hooks are an addition: what keeps them away is told, not
// raised.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/xdp/local_sources.h"
#include "backend/xdp/object.h"

namespace nest::xdp {

class Local {
 public:
  /// Touches nothing but pins that a data path before this one left behind, when `is_adopted` is false.
  Local(const Loaded& loaded, const LoadOptions& options, bool is_adopted);

  /// Loads and attaches what is missing, and reads the host's routes anew. Idempotent.
  LocalState attach(const std::string& cgroup_path, std::span<const AttachedInterface> interfaces);
  void detach();
  /// The programs at the egress follow those at the ingress.
  void follow(std::span<const AttachedInterface> interfaces);
  const LocalState& state() const { return state_; }
  /// Hooks that were attached and are not any more.
  std::vector<std::string> missing() const;

  /// Before the tables of that half are filled.
  void clear(uint32_t half) const;
  LocalCounters counters(uint32_t half) const;

 private:
  struct Close {
    void operator()(bpf_object* object) const;
  };

  void load();
  void take_over_maps();
  void link_tail() const;
  void attach_group(const std::string& cgroup_path);
  void detach_links(const std::function<bool(const std::string&)>& is_wanted) const;
  void attach_egress(uint32_t index, const std::string& name);
  void refresh_sources();
  template <typename Prefix>
  void store_sources(const char* map, size_t bytes, const Sources& now, Sources& before) const;
  int map(const char* name) const;
  int program(const char* name) const;
  std::string folder(const std::string& name) const { return pin_path_ + "/local/" + name; }

  const Loaded& loaded_;
  std::string pin_path_;
  std::string object_path_;
  std::unique_ptr<bpf_object, Close> object_;
  Sources sources4_;
  Sources sources6_;
  LocalState state_;
};

}  // namespace nest::xdp
