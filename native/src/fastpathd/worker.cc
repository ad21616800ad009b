// SPDX-License-Identifier: AGPL-3.0-only
#include "fastpathd/worker.h"

#include <pthread.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "fastpathd/failure.h"

namespace nest::fast {
namespace {

/// Rounds without a packet before a worker sleeps: some tens of microseconds.
constexpr uint32_t kEmptyRoundsMax = 512;
constexpr int kSleepMs = 100;
constexpr auto kAnswerWait = std::chrono::seconds(2);
constexpr auto kQuiesceWait = std::chrono::seconds(2);
constexpr auto kQuiesceStep = std::chrono::microseconds(20);

uint64_t coarse_now_ns() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

Failure busy() {
  return Failure(NEST_FAST_STATUS_BUSY, "a worker does not answer", "restart nest-fastpathd");
}

std::atomic_ref<__u64> rounds_of(nest_fast_lane& page) {
  return std::atomic_ref(page.rounds);
}

std::atomic_ref<__u32> sleeping_of(nest_fast_lane& page) {
  return std::atomic_ref(page.sleeping);
}

/// More than others, where we may: a ring overflows while its worker waits for its turn.
constexpr int kNice = -10;

void pin(uint32_t processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0)
    throw Failure(NEST_FAST_STATUS_USAGE, "no worker can run on processor " + std::to_string(processor),
                  "look at the processors of this host and of this process's cpuset (nproc, lscpu)");
  if (getpriority(PRIO_PROCESS, 0) > kNice) setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);
}

}  // namespace

struct Worker::Task {
  enum class State { kWaiting, kRunning, kDone, kGivenUp };

  std::function<void()> work;
  State state = State::kWaiting;
  std::exception_ptr failure;
};

Worker::Worker(Lane& lane, nest_fast_lane& page, uint32_t processor, bool is_spinning)
    : lane_(lane), page_(page), is_spinning_(is_spinning), thread_([this, processor] { run(processor); }) {
  page_.processor = processor;
  // The first task finds out whether the thread could be pinned.
  try {
    call([processor] { pin(processor); });
  } catch (...) {
    is_stopped_ = true;
    lane_.wake();
    thread_.join();
    throw;
  }
}

Worker::~Worker() {
  if (!thread_.joinable()) return;
  is_stopped_ = true;
  lane_.wake();
  thread_.join();
}

void Worker::run(uint32_t processor) {
  pthread_setname_np(pthread_self(), ("lane-" + std::to_string(processor)).c_str());
  lane_.enter();
  uint32_t empty_rounds = 0;
  while (!is_stopped_.load(std::memory_order_relaxed)) {
    rounds_of(page_).store(page_.rounds + 1, std::memory_order_release);
    if (has_tasks_.load(std::memory_order_acquire)) do_tasks();
    if (lane_.round(coarse_now_ns())) {
      empty_rounds = 0;
    } else if (!is_spinning_ && ++empty_rounds > kEmptyRoundsMax) {
      sleep();
      empty_rounds = 0;
    }
  }
  lane_.leave();
  // Whoever still waits need not wait for the time to be over.
  do_tasks();
  sleeping_of(page_).store(1);
}

void Worker::sleep() {
  sleeping_of(page_).store(1);
  if (!has_tasks_.load() && !is_stopped_.load()) lane_.wait(kSleepMs);
  sleeping_of(page_).store(0);
  // Tables are read after this store is seen, or quiesce() sees that we sleep.
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void Worker::do_tasks() {
  std::unique_lock lock(mutex_);
  has_tasks_.store(false);
  const std::vector<std::shared_ptr<Task>> tasks = std::exchange(tasks_, {});
  for (const auto& task : tasks) {
    if (task->state != Task::State::kWaiting) continue;
    task->state = Task::State::kRunning;
    lock.unlock();
    try {
      task->work();
    } catch (...) {
      task->failure = std::current_exception();
    }
    lock.lock();
    task->state = Task::State::kDone;
    done_.notify_all();
  }
}

void Worker::call(std::function<void()> work) {
  const auto task = std::make_shared<Task>();
  task->work = std::move(work);
  std::unique_lock lock(mutex_);
  tasks_.push_back(task);
  has_tasks_.store(true);
  lock.unlock();
  lane_.wake();
  lock.lock();
  done_.wait_for(lock, kAnswerWait, [&] { return task->state != Task::State::kWaiting; });
  if (task->state == Task::State::kWaiting) {
    task->state = Task::State::kGivenUp;
    throw busy();
  }
  // What has begun ends: tasks do not wait for anything.
  done_.wait(lock, [&] { return task->state == Task::State::kDone; });
  if (task->failure) std::rethrow_exception(task->failure);
}

void Worker::quiesce() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const uint64_t before = rounds_of(page_).load();
  const auto deadline = std::chrono::steady_clock::now() + kQuiesceWait;
  while (sleeping_of(page_).load() == 0 && rounds_of(page_).load() == before) {
    if (std::chrono::steady_clock::now() > deadline) throw busy();
    std::this_thread::sleep_for(kQuiesceStep);
  }
}

}  // namespace nest::fast
