// Addresses that nobody owns, while kernels run: a launch fails, the process goes on.
#pragma once

#include <csignal>

#pragma GCC visibility push(hidden)

namespace redllm::cuda::emu {

// While it lives, a fault calls `on_fault` (on a stack of its own) with its address; where that returns, whoever handled faults before
// gets it. The address sanitizer reports faults better: nothing is changed then.
class FaultHandler {
 public:
  explicit FaultHandler(void (*on_fault)(const void* address));
  ~FaultHandler();
  FaultHandler(const FaultHandler&) = delete;
  FaultHandler& operator=(const FaultHandler&) = delete;

 private:
  struct sigaction before_[2];
};

}  // namespace redllm::cuda::emu

#pragma GCC visibility pop
