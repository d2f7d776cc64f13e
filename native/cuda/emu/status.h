// What has gone wrong on the emulated device.
#pragma once

#include <mutex>

#include "cuda/emu/cuda_runtime.h"

#pragma GCC visibility push(hidden)

namespace redllm::cuda::emu {

// Held by whoever touches streams, graphs or the status.
std::recursive_mutex& device_mutex();
// Remembers the code for cudaGetLastError() and returns it.
cudaError_t noted(cudaError_t code);
// The failure that all calls return from now on, or cudaSuccess.
cudaError_t lasting();
// Makes a failed launch last, and says so on stderr unless `quiet`.
cudaError_t fail_device(const char* sentence);
extern bool quiet;
// What fail_device() was told since the start or the last cudaDeviceReset(); empty: nothing.
const char* failure();

}  // namespace redllm::cuda::emu

#pragma GCC visibility pop
