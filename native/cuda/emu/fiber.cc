#include "cuda/emu/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>

#include "cuda/emu/races.h"

#if defined(REDLLM_EMU_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// void redllm_emu_switch(void** from, void* to): keeps what a callee must keep on the stack, leaves the stack pointer in *from, and takes
// everything back from the stack `to`.
#if defined(__x86_64__)
asm(R"(
.text
.p2align 4
redllm_emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
#elif defined(__aarch64__)
asm(R"(
.text
.p2align 4
redllm_emu_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
#else
#error "The CUDA emulator switches fibres by hand: write redllm_emu_switch for this processor."
#endif
extern "C" void redllm_emu_switch(void** from, void* to) asm("redllm_emu_switch");

namespace redllm::cuda::emu {

namespace {

#if defined(REDLLM_EMU_ASAN)
constexpr size_t kStackBytes = 512 << 10;
#elif defined(REDLLM_EMU_RACES)
constexpr size_t kStackBytes = 64 << 10;
#else
constexpr size_t kStackBytes = 192 << 10;
#endif
// Tops of neighbours lie this far apart, modulo a page and modulo the sets of a second-level cache.
constexpr size_t kStagger = 576;

// The sanitizer forgets who used a block of memory where it is freed.
void renew_racer(Fiber& fiber) {
  std::rotate(fiber.racers, fiber.racers + 1, std::end(fiber.racers));
  if (fiber.racers[0] == nullptr) fiber.racers[0] = races::create();
  fiber.racer = fiber.racers[0];
  std::free(fiber.low);
  fiber.low = static_cast<char*>(std::malloc(kStackBytes));
}

}  // namespace

Fiber host_fiber() {
  Fiber fiber;
  fiber.racer = races::current();
  return fiber;
}

void make_fiber(Fiber& fiber, int index) {
  fiber.bytes = kStackBytes - static_cast<size_t>(index % 64) * kStagger;
  if (races::kOn) return;
  const size_t guard = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory =
      mmap(nullptr, guard + kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, guard, PROT_NONE) != 0) {
    std::fprintf(stderr, "CUDA emulator: no memory for a thread's stack\n");
    std::abort();
  }
  fiber.low = static_cast<char*>(memory) + guard;
}

void start_fiber(Fiber& fiber, void (*enter)()) {
#if defined(REDLLM_EMU_ASAN)
  if (fiber.stack_pointer != nullptr) __asan_unpoison_memory_region(fiber.low, fiber.bytes);
  fiber.shadow = nullptr;
#endif
  if (races::kOn) renew_racer(fiber);
  const uintptr_t top = (reinterpret_cast<uintptr_t>(fiber.low) + fiber.bytes) & ~uintptr_t{15};
#if defined(__x86_64__)
  // Six registers, then where `ret` goes, then the place of a return address that `enter` never uses: the stack is aligned as after a call.
  void** frame = reinterpret_cast<void**>(top) - 8;
  for (int i = 0; i < 8; ++i) frame[i] = nullptr;
  frame[6] = reinterpret_cast<void*>(enter);
#else
  void** frame = reinterpret_cast<void**>(top) - 20;
  for (int i = 0; i < 20; ++i) frame[i] = nullptr;
  frame[11] = reinterpret_cast<void*>(enter);  // x30
#endif
  fiber.stack_pointer = frame;
}

void forget_fiber(Fiber& fiber) {
  for (void*& racer : fiber.racers) {
    if (racer != nullptr) races::destroy(racer);
    racer = nullptr;
  }
}

void switch_fiber(Fiber& from, Fiber& to) {
#if defined(REDLLM_EMU_ASAN)
  __sanitizer_start_switch_fiber(&from.shadow, to.low, to.bytes);
#endif
  races::go_on_as(to.racer);
  redllm_emu_switch(&from.stack_pointer, to.stack_pointer);
#if defined(REDLLM_EMU_ASAN)
  __sanitizer_finish_switch_fiber(from.shadow, nullptr, nullptr);
#endif
}

void entered_fiber([[maybe_unused]] Fiber& host) {
#if defined(REDLLM_EMU_ASAN)
  const void* low = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(nullptr, &low, &bytes);
  // The very first fibre of a launch is entered from the host.
  if (host.low == nullptr) {
    host.low = static_cast<char*>(const_cast<void*>(low));
    host.bytes = bytes;
  }
#endif
}

}  // namespace redllm::cuda::emu
