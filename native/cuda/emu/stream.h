// Work that streams run, and graphs record: launches, copies and fills.
#pragma once

#include <functional>

#include "cuda/emu/block.h"
#include "cuda/emu/cuda_runtime.h"

#pragma GCC visibility push(hidden)

namespace redllm::cuda::emu {

// Runs the launch, or records it where the stream is being captured; parameters are copied.
cudaError_t launch(cudaStream_t, const Launch&, size_t params_bytes);
// The first failure of a launch since the start or the last cudaDeviceReset(): a sentence, or empty.
const char* failure();

}  // namespace redllm::cuda::emu

#pragma GCC visibility pop
