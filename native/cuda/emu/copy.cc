// Copies and fills. Host pointers must be the host's and device pointers the device's, for all their bytes.
#include <cstring>

#include "cuda/emu/memory.h"
#include "cuda/emu/status.h"
#include "cuda/emu/stream.h"

using namespace redllm::cuda::emu;

namespace {

bool fits(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return (to_device ? device_sees(to, bytes) : host_sees(to, bytes)) &&
         (from_device ? device_sees(from, bytes) : host_sees(from, bytes));
}

// Memory of the host that was not asked for through the runtime.
bool pageable(const void* data) {
  Memory kind;
  return !find(data, &kind);
}

}  // namespace

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!fits(to, from, bytes, kind)) return noted(cudaErrorInvalidValue);
  const bool recorded = stream != nullptr && stream->graph != nullptr;
  if (pageable(from) && !recorded) {
    // Taken over before the call returns.
    const char* start = static_cast<const char*>(from);
    return submit(stream, [to, copy = std::vector<char>(start, start + bytes)] {
      see_launches();
      std::memcpy(to, copy.data(), copy.size());
      return cudaSuccess;
    });
  }
  const cudaError_t code = submit(stream, [=] {
    see_launches();
    std::memmove(to, from, bytes);
    return cudaSuccess;
  });
  // There before the call returns.
  return code == cudaSuccess && pageable(to) && !recorded ? cudaStreamSynchronize(stream) : code;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!device_sees(to, bytes)) return noted(cudaErrorInvalidValue);
  return submit(stream, [=] {
    see_launches();
    std::memset(to, value, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const cudaError_t code = allowed();
  return code != cudaSuccess ? code : cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  const cudaError_t code = allowed();
  return code != cudaSuccess ? code : cudaMemsetAsync(to, value, bytes, nullptr);
}
