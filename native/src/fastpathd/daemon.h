// SPDX-License-Identifier: AGPL-3.0-only
// The running nest-fastpathd: tables, engine, workers, and what control requests do to them. One thread, the
// control thread, calls everything here; workers are never waited for without a limit.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "fastpathd/control_server.h"
#include "fastpathd/engine.h"
#include "fastpathd/memory.h"
#include "fastpathd/options.h"
#include "fastpathd/tables.h"
#include "fastpathd/worker.h"

namespace nest::fast {

class Daemon {
 public:
  /// Starts the workers and opens the ports. Throws Failure.
  explicit Daemon(const Options& options);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  Reply handle(Request& request);
  /// A stop was asked for.
  bool is_stopping() const { return is_stopping_; }
  /// Counters and ports, as a JSON object.
  std::string report(double seconds) const;

 private:
  void add(const PortOptions& port, const nest_interface_address& address);
  void remove(const std::string& name, bool is_detaching);
  void tell_interfaces();
  void quiesce();
  uint32_t slot_of(const std::string& name) const;
  LaneCall lane_call();

  Reply hello(const Request& request);
  Reply load(Request& request);
  Reply stats() const;
  Reply add_port(const Request& request);
  Reply remove_port(const Request& request);
  Reply stop(const Request& request);
  Reply set_backends(Request& request);
  Reply set_routes(Request& request);
  Reply flows(const Request& request);
  nest_fast_counters sum(uint32_t slot) const;

  Options options_;
  int node_;
  SharedMemory status_memory_;
  Descriptor status_reader_;
  nest_fast_status* status_;
  Tables tables_;
  std::unique_ptr<Engine> engine_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::array<nest_interface_address, NEST_FAST_PORTS_MAX> addresses_ = {};
  bool is_stopping_ = false;
  bool is_detaching_ = false;
};

}  // namespace nest::fast
