// The CPU backend's workers: a fixed number of threads that spin briefly for the next task and then sleep.
//
// Contract: run() is called by one thread at a time, from outside a task; it returns when every index was done. Indices are
// claimed dynamically, so a thread that the system descheduled does not hold up the others; no result may depend on who ran what.
#pragma once

#include <cstdint>

namespace redllm::cpu {

class ThreadPool {
 public:
  using Task = void (*)(void* state, int64_t index, int32_t thread);

  // threads: the caller included; at least 1.
  explicit ThreadPool(int32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int32_t threads() const { return threads_; }

  // Calls task(state, i, thread) for every i in [0, count), the caller working as thread 0.
  void run(int64_t count, Task task, void* state);

 private:
  struct Shared;
  Shared* shared_;
  int32_t threads_;
};

}  // namespace redllm::cpu
