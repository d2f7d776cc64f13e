// What the CUDA ops know of their surroundings, and how they launch.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "ops.h"

namespace redllm {

namespace cuda {
class Copies;          // uploads and downloads
class Runs;            // recorded graphs
class LibraryProduct;  // cuBLASLt, where it could be opened
}  // namespace cuda

struct Context {
  cudaStream_t stream;
  int32_t device;
  int32_t multiprocessors;
  int32_t shared_bytes;  // greatest dynamic shared memory of a block
  bool starts_early;     // kernels may start before the one before them has ended: they were compiled to wait for it
  // Scratch of the op that runs. Contents do not survive an op; an op whose needs grow with its rows works in slices that fit.
  char* workspace;
  int64_t workspace_bytes;
  // Zero whenever no op runs: an op that counts here (the last block of a split sum) leaves zeros behind.
  int32_t* counters;
  int32_t counter_count;
  cuda::Copies* copies;
  cuda::Runs* runs;
  cuda::LibraryProduct* library_product;  // null: there is none
  // The first failure, for good; empty while all is well.
  char failure[512];
};

namespace cuda {

constexpr int64_t kWorkspaceBytes = int64_t{128} << 20;
constexpr int32_t kCounters = 1 << 16;

// Notes `code` as the context's failure where it is one and none was noted before. `what`: a verb and its object, "launching attention".
bool succeeded(Context*, cudaError_t code, const char* what);

// Parts of `each` that `count` make, the last of which may be shorter: of a grid, mostly.
inline uint32_t divided_up(int64_t count, int64_t each) {
  return static_cast<uint32_t>((count + each - 1) / each);
}

}  // namespace cuda
}  // namespace redllm

#if defined(REDLLM_EMU)
#include "cuda/emu/launch.h"
#else

namespace redllm::cuda {

// Launches kernel(params) with `threads` threads a block (a multiple of 32) and `shared` bytes of dynamic shared memory. An empty grid
// launches nothing. One struct by value is all that a kernel takes. `name` is for messages.
template <typename Params>
void launch(Context* context, const char* name, void (*kernel)(Params), dim3 grid, int threads, size_t shared,
            const Params& params) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  // Of a multiprocessor's memory as much as can be is shared memory, so that as many blocks fit as the kernel was made for: for all kernels
  // alike, since one that divides it in another way cannot start on a multiprocessor before the one before it has left.
  if (!succeeded(
          context,
          cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared),
          name)) {
    return;
  }
  // All that a block may have is allowed, and not `shared`: a kernel's limit never falls below what a recorded launch of it takes.
  if (shared > 48 * 1024 &&
      !succeeded(context,
                 cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, context->shared_bytes),
                 name)) {
    return;
  }
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared;
  config.stream = context->stream;
  config.attrs = &early;
  config.numAttrs = context->starts_early ? 1 : 0;
  succeeded(context, cudaLaunchKernelEx(&config, kernel, params), name);
}

}  // namespace redllm::cuda
#endif
