// SPDX-License-Identifier: AGPL-3.0-only
// The packet program that gives an interface's packets to our sockets (bpf/nest_xsk.bpf.c), and says what
// happens while there are none. With a pin folder it outlives this process and is taken over by the next one:
// then the program is replaced in place, so that no packet meets an interface without one.
#pragma once

#include <bpf/libbpf.h>

#include <memory>
#include <optional>
#include <string>

#include "backend/xdp/descriptor.h"
#include "fastpathd/options.h"

namespace nest::fast {

using xdp::Descriptor;

class XskProgram {
 public:
  struct Place {
    std::string object_path;
    /// Folder in a bpffs; empty: the program goes with this process.
    std::string pin_path;
  };

  /// Loads and attaches, in driver mode. Throws Failure: FOREIGN_PROGRAM when the interface runs a program
  /// that is not ours, UNSUPPORTED when its driver has no XDP.
  XskProgram(const Place& place, const PortOptions& port, uint32_t interface);
  XskProgram(const XskProgram&) = delete;
  XskProgram& operator=(const XskProgram&) = delete;

  void insert(uint32_t queue, int socket);
  void erase(uint32_t queue);
  /// Makes packets on `tap` come in at the interface.
  void inject_from(uint32_t tap);
  /// Takes the program off the interface and removes the pins.
  void remove();

 private:
  struct Close {
    void operator()(bpf_object* object) const { bpf_object__close(object); }
  };

  void open(const Place& place);
  void load(const std::string& name);
  void set_fallback(const PortOptions& port);
  void attach(const PortOptions& port);
  int map(const char* name) const;
  int program(const char* name) const;

  uint32_t interface_;
  std::string folder_;
  std::unique_ptr<bpf_object, Close> object_;
  Descriptor link_;
};

}  // namespace nest::fast
