// SPDX-License-Identifier: AGPL-3.0-only
// The worker threads, one for each lane, pinned. Between two rounds a worker holds no reference into the
// tables: that is what quiesce() waits for, and where tasks of the control thread are done.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "fastpathd/lane.h"
#include "fastpathd/protocol.h"

namespace nest::fast {

class Worker {
 public:
  /// Starts the thread. Lane and page must outlive it.
  Worker(Lane& lane, nest_fast_lane& page, uint32_t processor, bool is_spinning);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Does `work` between two rounds and returns when it is done; rethrows what it throws. Throws Failure
  /// (BUSY) when the worker does not come to it in time: then it is never done.
  void call(std::function<void()> work);

  /// Returns when the worker uses no table any more that was replaced before the call. Throws Failure (BUSY).
  void quiesce();

 private:
  struct Task;

  void run(uint32_t processor);
  void do_tasks();
  void sleep();

  Lane& lane_;
  nest_fast_lane& page_;
  bool is_spinning_;
  std::atomic<bool> is_stopped_ = false;
  std::atomic<bool> has_tasks_ = false;
  std::mutex mutex_;
  std::condition_variable done_;
  std::vector<std::shared_ptr<Task>> tasks_;
  std::thread thread_;
};

}  // namespace nest::fast
