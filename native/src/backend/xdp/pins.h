// SPDX-License-Identifier: AGPL-3.0-only
// The pin folder in a bpffs: <pin>/maps, <pin>/programs, <pin>/links. Pins are made under <pin>/loading and
// moved: the rename of `programs`, the last step, is the commit, so that a process killed in between leaves
// nothing that could be taken for a data path. Maps that belong to the programs are pinned beside them, so
// that an upgrade moves one folder.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backend/xdp/object.h"

namespace nest::xdp {

class Pins {
 public:
  /// Creates the folder when absent and takes its lock. Throws kBpffsMissing, or kSystem when another process
  /// holds it.
  explicit Pins(std::string path);

  /// What is pinned, or nothing; half-made pins are removed.
  std::optional<Loaded> find();
  void commit(const Loaded& loaded);
  /// Puts the programs of an upgrade in the place of those that are pinned.
  void replace_programs(const Loaded& loaded);

  struct Link {
    std::string interface_name;  // when it was attached
    Descriptor descriptor;
  };
  std::vector<Link> links() const;
  void add_link(const std::string& interface_name, int link) const;
  /// True when it was there.
  bool remove_link(const std::string& interface_name) const;

  /// Removes every pin and the folder.
  void remove();

 private:
  void pin_programs(const Loaded& loaded);
  void finish_upgrade();
  std::string folder(const char* name) const { return path_ + "/" + name; }
  std::string link_path(const std::string& interface_name) const;

  std::string path_;
  Descriptor lock_;
};

}  // namespace nest::xdp
