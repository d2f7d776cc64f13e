#include "cuda/emu/fault.h"

#include "cuda/emu/fiber.h"

namespace redllm::cuda::emu {

namespace {

constexpr int kSignals[2] = {SIGSEGV, SIGBUS};

void (*handler)(const void*) = nullptr;
struct sigaction* former = nullptr;

[[maybe_unused]] void on_signal(int number, siginfo_t* info, void*) {
  handler(info->si_addr);
  // The instruction faults again, before the former handler.
  sigaction(number, &former[number == kSignals[0] ? 0 : 1], nullptr);
}

// A fibre that has used up its stack has none to run a handler on.
[[maybe_unused]] void own_signal_stack() {
  thread_local char memory[64 << 10];
  stack_t stack = {};
  if (sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_DISABLE) == 0) return;
  stack = {};
  stack.ss_sp = memory;
  stack.ss_size = sizeof memory;
  sigaltstack(&stack, nullptr);
}

}  // namespace

FaultHandler::FaultHandler([[maybe_unused]] void (*on_fault)(const void*)) {
#if !defined(REDLLM_EMU_ASAN)
  own_signal_stack();
  handler = on_fault;
  former = before_;
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  // The handler may never return: the signal stays open.
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (int i = 0; i < 2; ++i) sigaction(kSignals[i], &action, &before_[i]);
#endif
}

FaultHandler::~FaultHandler() {
#if !defined(REDLLM_EMU_ASAN)
  for (int i = 0; i < 2; ++i) sigaction(kSignals[i], &before_[i], nullptr);
#endif
}

}  // namespace redllm::cuda::emu
