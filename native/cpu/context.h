// What the CPU ops know of their surroundings.
#pragma once

#include <cstdint>

#include "cpu/thread_pool.h"

namespace redllm {

struct Context {
  cpu::ThreadPool* pool;
  // Scratch of each thread, for panels and tiles: scratch + thread * scratch_bytes, 64-byte aligned. Contents do not survive an op.
  char* scratch;
  int64_t scratch_bytes;
};

namespace cpu {

constexpr int64_t kScratchBytes = 4 << 20;  // a thread

// body(index, thread) for every index in [0, count), on all threads of the pool.
template <typename Body>
void parallel_for(Context* context, int64_t count, const Body& body) {
  context->pool->run(
      count, [](void* state, int64_t index, int32_t thread) { (*static_cast<const Body*>(state))(index, thread); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace cpu
}  // namespace redllm
