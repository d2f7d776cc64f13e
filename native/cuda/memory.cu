// Device memory. cudaMalloc and cudaFree wait for the device; neither happens in a step.
#include "cuda/backend.cuh"

namespace redllm::cuda {

constexpr uint64_t kBeyondAnyDevice = uint64_t{1} << 48;  // what a runtime may call an invalid argument

void* allocate(Context* context, uint64_t bytes) {
  if (bytes >= kBeyondAnyDevice || !make_current(context)) return nullptr;
  void* data = nullptr;
  const cudaError_t code = cudaMalloc(&data, bytes == 0 ? 1 : bytes);
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // running out of memory harms nothing: the next call shall not report it
    return nullptr;
  }
  if (!succeeded(context, code, "allocating memory")) return nullptr;
  if (bytes > 0) succeeded(context, cudaMemsetAsync(data, 0, bytes, context->stream), "clearing memory");
  return data;
}

void release(Context* context, void* data, uint64_t) {
  if (data == nullptr || !make_current(context)) return;
  succeeded(context, cudaFree(data), "releasing memory");
}

void memory(Context* context, uint64_t* free, uint64_t* total) {
  *free = *total = 0;
  size_t free_bytes = 0, total_bytes = 0;
  if (!make_current(context)) return;
  if (!succeeded(context, cudaMemGetInfo(&free_bytes, &total_bytes), "asking how much memory is free")) return;
  *free = free_bytes;
  *total = total_bytes;
}

void* allocate_shared(uint64_t bytes) {
  void* data = nullptr;
  // Not managed memory: pages that never move need no faults, and what is asked for is bounded by the host's own.
  if (cudaHostAlloc(&data, bytes == 0 ? 1 : bytes, cudaHostAllocPortable | cudaHostAllocMapped) == cudaSuccess)
    return data;
  cudaGetLastError();
  return nullptr;
}

void release_shared(void* data) {
  if (data != nullptr) cudaFreeHost(data);
}

}  // namespace redllm::cuda
