// SPDX-License-Identifier: AGPL-3.0-only
#include "backend/xdp/pins.h"

#include <bpf/bpf.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <filesystem>

namespace nest::xdp {
namespace {

namespace fs = std::filesystem;

void check_bpffs(const std::string& path) {
  fs::path existing = path;
  struct statfs info = {};
  while (statfs(existing.c_str(), &info) != 0) {
    if (errno != ENOENT || !existing.has_relative_path()) throw system_error(errno, "the pin folder " + path);
    existing = existing.parent_path();
  }
  if (info.f_type == BPF_FS_MAGIC) return;
  throw Error(Code::kBpffsMissing, path + " is not inside a BPF file system",
              "mount one (mount -t bpf bpf <folder>) and set the agent's pin folder inside it");
}

void make_folder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw system_error(error.value(), "the pin folder " + path + " cannot be created");
}

void remove_tree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) throw system_error(error.value(), "the pin folder " + path + " cannot be removed");
}

void rename_folder(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) throw system_error(error.value(), "the pin folder " + from + " cannot be moved");
}

void pin(int descriptor, const std::string& path) {
  if (bpf_obj_pin(descriptor, path.c_str()) != 0)
    throw system_error(errno, "pin " + path + " cannot be made");
}

// bpffs keeps names with dots for itself, and interface names have them (eth0.100).
std::string escape(const std::string& name) {
  std::string text;
  for (const char c : name) {
    if (c == '.') {
      text += "%2e";
    } else if (c == '%') {
      text += "%25";
    } else {
      text += c;
    }
  }
  return text;
}

std::string unescape(const std::string& text) {
  std::string name;
  for (size_t i = 0; i < text.size(); i++) {
    if (text.compare(i, 3, "%2e") == 0 || text.compare(i, 3, "%25") == 0) {
      name += text[i + 2] == 'e' ? '.' : '%';
      i += 2;
    } else {
      name += text[i];
    }
  }
  return name;
}

}  // namespace

Pins::Pins(std::string path) : path_(std::move(path)) {
  check_bpffs(path_);
  make_folder(path_);
  lock_ = Descriptor(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock_) throw system_error(errno, "the pin folder " + path_ + " cannot be opened");
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) == 0) return;
  if (errno != EWOULDBLOCK) throw system_error(errno, "the pin folder " + path_ + " cannot be locked");
  throw Error(Code::kSystem, "another process runs the data path pinned in " + path_,
              "stop the other agent, or give this one a pin folder of its own");
}

std::optional<Loaded> Pins::find() {
  finish_upgrade();
  if (!fs::exists(folder("programs"))) {
    remove_tree(folder("maps"));
    remove_tree(folder("links"));
    return std::nullopt;
  }
  Loaded found;
  const auto get = [](const std::string& path) {
    Descriptor descriptor(bpf_obj_get(path.c_str()));
    if (descriptor) return descriptor;
    const Error cause = system_error(errno, "pin " + path);
    if (cause.code == Code::kPermission) throw cause;
    throw Error(Code::kPinIncompatible, std::string("the pinned data path is not complete: ") + cause.what(),
                "stop the agent, remove the pin folder, and start the agent again");
  };
  for (size_t id = 0; id < kMapCount; id++) {
    found.maps[id] = get(folder(is_of_programs(id) ? "programs/" : "maps/") + kMapNames[id]);
  }
  for (size_t id = 0; id < kProgramCount; id++) {
    const std::string path = folder("programs/") + kProgramNames[id];
    if (id <= kJudge || fs::exists(path)) found.programs[id] = get(path);
  }
  make_folder(folder("links"));
  return found;
}

void Pins::commit(const Loaded& loaded) {
  make_folder(folder("loading/maps"));
  for (size_t id = 0; id < kMapCount; id++) {
    if (!is_of_programs(id)) pin(loaded.maps[id].get(), folder("loading/maps/") + kMapNames[id]);
  }
  pin_programs(loaded);
  make_folder(folder("links"));
  rename_folder(folder("loading/maps"), folder("maps"));
  rename_folder(folder("loading/programs"), folder("programs"));
  remove_tree(folder("loading"));
}

void Pins::replace_programs(const Loaded& loaded) {
  pin_programs(loaded);
  rename_folder(folder("loading/programs"), folder("upgrade"));
  finish_upgrade();
}

void Pins::pin_programs(const Loaded& loaded) {
  const std::string programs = folder("loading/programs/");
  make_folder(programs);
  for (size_t id = 0; id < kMapCount; id++) {
    if (is_of_programs(id)) pin(loaded.maps[id].get(), programs + kMapNames[id]);
  }
  for (size_t id = 0; id < kProgramCount; id++) {
    if (loaded.programs[id]) pin(loaded.programs[id].get(), programs + kProgramNames[id]);
  }
}

/// A folder cannot take the place of a full one: there is a moment without `programs`, in which `upgrade`
/// counts.
void Pins::finish_upgrade() {
  if (fs::exists(folder("upgrade"))) {
    if (fs::exists(folder("programs"))) {
      remove_tree(folder("replaced"));
      rename_folder(folder("programs"), folder("replaced"));
    }
    rename_folder(folder("upgrade"), folder("programs"));
  }
  remove_tree(folder("replaced"));
  remove_tree(folder("loading"));
}

std::vector<Pins::Link> Pins::links() const {
  std::vector<Link> links;
  for (const auto& entry : fs::directory_iterator(folder("links"))) {
    Descriptor descriptor(bpf_obj_get(entry.path().c_str()));
    if (!descriptor) throw system_error(errno, "link " + entry.path().string() + " cannot be opened");
    links.push_back({unescape(entry.path().filename().string()), std::move(descriptor)});
  }
  return links;
}

std::string Pins::link_path(const std::string& interface_name) const {
  return folder("links/") + escape(interface_name);
}

void Pins::add_link(const std::string& interface_name, int link) const {
  pin(link, link_path(interface_name));
}

bool Pins::remove_link(const std::string& interface_name) const {
  if (unlink(link_path(interface_name).c_str()) == 0) return true;
  if (errno == ENOENT) return false;
  throw system_error(errno, "link " + interface_name + " cannot be removed");
}

void Pins::remove() {
  // The links first: from then on no packet meets the programs. `programs` next: the rest is no data path any
  // more.
  for (const char* name : {"links", "upgrade", "programs", "maps", "loading", "replaced"})
    remove_tree(folder(name));
  std::error_code error;
  fs::remove(path_, error);  // stays when it holds something that is not ours
}

}  // namespace nest::xdp
