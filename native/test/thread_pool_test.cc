// The thread pool: every index exactly once, also from runs that follow each other at once or after the workers fell asleep.
#include "cpu/thread_pool.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "test/check.h"

using redllm::cpu::ThreadPool;
using redllm::test::begin;

namespace {

struct Run {
  std::vector<int32_t> visits;  // plain on purpose: the pool's own order must make them visible
  int32_t threads;
  std::atomic<int64_t> bad{0};
  int64_t delay_index = -1;
};

void visit(void* state, int64_t index, int32_t thread) {
  Run& run = *static_cast<Run*>(state);
  if (thread < 0 || thread >= run.threads || index < 0 || index >= static_cast<int64_t>(run.visits.size())) {
    ++run.bad;
    return;
  }
  if (index == run.delay_index) std::this_thread::sleep_for(std::chrono::microseconds(200));
  ++run.visits[static_cast<size_t>(index)];
}

bool runs_once(ThreadPool& pool, int64_t count, int64_t delay_index = -1) {
  Run run;
  run.visits.assign(static_cast<size_t>(count), 0);
  run.threads = pool.threads();
  run.delay_index = delay_index;
  pool.run(count, visit, &run);
  for (int32_t visits : run.visits)
    if (visits != 1) return false;
  return run.bad == 0;
}

void every_index_once() {
  begin("every index once");
  for (int32_t threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    bool held = true;
    for (int64_t count : {0, 1, 2, 3, 7, 64, 1000})
      for (int repetition = 0; repetition < 200; ++repetition) held = held && runs_once(pool, count);
    CHECK(held);
  }
}

void slow_task_is_waited_for() {
  begin("slow task");
  ThreadPool pool(2);
  bool held = true;
  for (int repetition = 0; repetition < 50; ++repetition) held = held && runs_once(pool, 4, repetition % 4);
  CHECK(held);
}

void sleepers_wake() {
  begin("sleepers wake");
  ThreadPool pool(3);
  bool held = true;
  for (int repetition = 0; repetition < 100; ++repetition) {
    // About the length of the spin, so that a run meets workers that are falling asleep.
    std::this_thread::sleep_for(std::chrono::microseconds(repetition));
    held = held && runs_once(pool, 5);
  }
  CHECK(held);
}

void start_and_stop() {
  begin("start and stop");
  bool held = true;
  for (int repetition = 0; repetition < 100; ++repetition) {
    ThreadPool pool(4);
    if (repetition % 2 == 0) held = held && runs_once(pool, 8);
  }
  CHECK(held);
}

void threads_share_work() {
  begin("threads share work");
  ThreadPool pool(2);
  struct State {
    std::atomic<int32_t> arrived{0};
  } state;
  // Two indices that wait for each other: ends only where two threads work on one run.
  pool.run(
      2,
      [](void* data, int64_t, int32_t) {
        State& both = *static_cast<State*>(data);
        ++both.arrived;
        while (both.arrived < 2) std::this_thread::yield();
      },
      &state);
  CHECK(state.arrived == 2);
}

}  // namespace

int main() {
  every_index_once();
  slow_task_is_waited_for();
  sleepers_wake();
  start_and_stop();
  threads_share_work();
  return redllm::test::report();
}
