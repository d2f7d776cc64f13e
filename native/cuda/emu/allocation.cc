// cudaMalloc and its kin.
#include "cuda/emu/memory.h"
#include "cuda/emu/status.h"
#include "cuda/emu/stream.h"

using namespace redllm::cuda::emu;

namespace {

cudaError_t allocate_now(Memory kind, void** data, size_t bytes) {
  const cudaError_t code = allowed();
  return code != cudaSuccess ? code : noted(allocate(kind, data, bytes));
}

// All work that may use the memory has run then. On a device that has failed, memory is given back nevertheless.
cudaError_t release_now(void* data, bool pinned) {
  cudaError_t code = allowed();
  if (code == cudaErrorStreamCaptureUnsupported) return code;
  if (code == cudaSuccess) code = run_everything(true);
  see_launches();
  const cudaError_t released = release(data, pinned);
  return noted(code != cudaSuccess ? code : released);
}

}  // namespace

cudaError_t cudaMalloc(void** data, size_t bytes) {
  return allocate_now(Memory::device, data, bytes);
}

cudaError_t cudaMallocManaged(void** data, size_t bytes, unsigned) {
  return allocate_now(Memory::managed, data, bytes);
}

cudaError_t cudaMallocHost(void** data, size_t bytes) {
  return allocate_now(Memory::pinned, data, bytes);
}

cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned) {
  return allocate_now(Memory::pinned, data, bytes);
}

cudaError_t cudaFree(void* data) {
  return release_now(data, false);
}

cudaError_t cudaFreeHost(void* data) {
  return release_now(data, true);
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = capacity();
  *free = *total - in_use();
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* data) {
  Memory kind;
  void* address = const_cast<void*>(data);
  *attributes = {cudaMemoryTypeUnregistered, 0, nullptr, address};
  if (!find(data, &kind)) return cudaSuccess;
  attributes->type = kind == Memory::pinned    ? cudaMemoryTypeHost
                     : kind == Memory::managed ? cudaMemoryTypeManaged
                                               : cudaMemoryTypeDevice;
  attributes->devicePointer = address;
  if (kind == Memory::device) attributes->hostPointer = nullptr;
  return cudaSuccess;
}
