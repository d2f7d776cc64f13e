// What the tests of the emulator share: a launch that is waited for, and a kernel that leaves a trace.
#pragma once

#include "check.h"
#include "cuda/context.cuh"
#include "cuda/ptx.cuh"

namespace redllm::test {

// A launch, and a wait for it: the host may look at what it did.
template <typename Params>
void run(Context* context, const char* name, void (*kernel)(Params), dim3 grid, int threads, size_t shared,
         const Params& params) {
  cuda::launch(context, name, kernel, grid, threads, shared, params);
  cudaStreamSynchronize(context->stream);
}

struct Add {
  int32_t* to;
  int32_t amount;
};

inline __global__ void add(Add p) {
  cuda::await_earlier_launches();
  if (threadIdx.x == 0) *p.to += p.amount;
}

}  // namespace redllm::test
