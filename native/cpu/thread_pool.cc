#include "cpu/thread_pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace redllm::cpu {

namespace {

// Ops of a step follow each other within microseconds: that long a thread waits awake. Longer would take the processor from
// the rest of the process (Node's event loop, its garbage collector).
constexpr std::chrono::microseconds kSpin(20);

// Waits awake for `ready` for about kSpin; false where it did not come.
template <typename Ready>
bool spin(const Ready& ready) {
  if (ready()) return true;
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 8; ++i) {
      if (ready()) return true;
#if defined(__x86_64__)
      _mm_pause();
#endif
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

uint32_t low(uint64_t word) {
  return static_cast<uint32_t>(word);
}

constexpr int64_t kMaxBatch = int64_t{1} << 31;  // indices that one ticket counts

}  // namespace

// A run is announced by one word, the ticket: its number in the high half, the indices nobody has claimed yet in the low. A
// thread claims by decrementing the word it saw; where that succeeds the run cannot end before the index is reported in
// `pending`, so the plain fields of the run stay as they were, and a thread that wakes too late finds nothing to claim.
struct ThreadPool::Shared {
  alignas(64) std::atomic<uint64_t> ticket{0};
  alignas(64) std::atomic<int64_t> pending{0};  // indices of this run not yet reported as done
  // The run in progress.
  alignas(64) Task task = nullptr;
  void* state = nullptr;
  int64_t base = 0;
  int64_t count = 0;
  // Sleep.
  std::atomic<int32_t> sleepers{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable done;
  std::vector<std::thread> workers;

  // Claims and does indices until none is left; returns the last ticket seen.
  uint64_t work(int32_t thread) {
    int64_t finished = 0;
    uint64_t seen = ticket.load(std::memory_order_acquire);
    while (low(seen) > 0) {
      if (!ticket.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
      task(state, base + count - low(seen), thread);
      ++finished;
      seen = ticket.load(std::memory_order_acquire);
    }
    // Sequentially consistent, like the caller's "I sleep, is anything pending?": one of the two sees the other.
    if (finished > 0 && pending.fetch_sub(finished) == finished && caller_sleeps.load()) {
      std::lock_guard<std::mutex> lock(mutex);
      done.notify_one();
    }
    return seen;
  }

  void serve(int32_t thread) {
    uint64_t seen = 0;
    for (;;) {
      const auto changed = [&] { return ticket.load() >> 32 != seen >> 32 || stop.load(); };
      if (!spin(changed)) {
        std::unique_lock<std::mutex> lock(mutex);
        sleepers.fetch_add(1);
        wake.wait(lock, changed);
        sleepers.fetch_sub(1);
      }
      if (stop.load()) return;
      seen = work(thread);
    }
  }

  void join() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      stop.store(true);
    }
    wake.notify_all();
    for (std::thread& worker : workers) worker.join();
  }
};

ThreadPool::ThreadPool(int32_t threads) : shared_(new Shared), threads_(threads < 1 ? 1 : threads) {
  try {
    for (int32_t i = 1; i < threads_; ++i) shared_->workers.emplace_back([shared = shared_, i] { shared->serve(i); });
  } catch (...) {
    shared_->join();
    delete shared_;
    throw;
  }
}

ThreadPool::~ThreadPool() {
  shared_->join();
  delete shared_;
}

void ThreadPool::run(int64_t count, Task task, void* state) {
  if (threads_ == 1 || count <= 1) {
    for (int64_t i = 0; i < count; ++i) task(state, i, 0);
    return;
  }
  Shared& shared = *shared_;
  for (int64_t base = 0; base < count; base += kMaxBatch) {
    const int64_t batch = count - base < kMaxBatch ? count - base : kMaxBatch;
    shared.task = task;
    shared.state = state;
    shared.base = base;
    shared.count = batch;
    shared.pending.store(batch, std::memory_order_relaxed);
    const uint64_t number = (shared.ticket.load(std::memory_order_relaxed) >> 32) + 1;
    // Sequentially consistent, like a worker's "I sleep, is there a new ticket?": one of the two sees the other.
    shared.ticket.store(number << 32 | static_cast<uint64_t>(batch));
    if (shared.sleepers.load() > 0) {
      {
        std::lock_guard<std::mutex> lock(shared.mutex);
      }
      shared.wake.notify_all();
    }
    shared.work(0);
    const auto finished = [&] { return shared.pending.load() == 0; };
    if (!spin(finished)) {
      std::unique_lock<std::mutex> lock(shared.mutex);
      shared.caller_sleeps.store(true);
      shared.done.wait(lock, finished);
      shared.caller_sleeps.store(false);
    }
  }
}

}  // namespace redllm::cpu
