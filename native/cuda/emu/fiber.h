// Fibres: stacks of their own on one host thread, switched by hand. A fibre is started afresh as often as one likes; what it left on its
// stack is forgotten then.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define REDLLM_EMU_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define REDLLM_EMU_ASAN 1
#endif
#endif

#pragma GCC visibility push(hidden)

namespace redllm::cuda::emu {

struct Fiber {
  void* stack_pointer = nullptr;  // while it does not run
  char* low = nullptr;            // its stack; the host thread has one that is not ours
  size_t bytes = 0;
  void* shadow = nullptr;  // the address sanitizer's, while it does not run
  // The thread sanitizer's; they are dear, so that few take turns: threads of a block are not ordered after those of the block before.
  void* racer = nullptr;
  void* racers[3] = {};
};

// The host thread, as the fibre that it is.
Fiber host_fiber();
// Gives the fibre a stack with a guard page below. `index` spreads the stacks' tops over the cache's sets.
void make_fiber(Fiber&, int index);
// The next switch to it calls `enter`, which never returns.
void start_fiber(Fiber&, void (*enter)());
// It was left in the midst of something.
void forget_fiber(Fiber&);
// Goes on in `to`; returns when somebody switches back to `from`.
void switch_fiber(Fiber& from, Fiber& to);
// What `enter` calls first.
void entered_fiber(Fiber& host);

}  // namespace redllm::cuda::emu

#pragma GCC visibility pop
