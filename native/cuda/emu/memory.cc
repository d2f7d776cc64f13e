#include "cuda/emu/memory.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "cuda/emu/fiber.h"
#include "cuda/emu/status.h"
#include "cuda/emu/stream.h"

#if defined(REDLLM_EMU_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace redllm::cuda::emu {

namespace {

constexpr size_t kGuard = 256;  // also the alignment
constexpr unsigned char kPoison = 0xff;
constexpr size_t kDefaultCapacity = size_t{1} << 30;

struct Allocation {
  Memory kind;
  size_t bytes;
};

std::mutex mutex;
size_t used = 0;

std::map<const char*, Allocation>& allocations() {
  static auto* all = new std::map<const char*, Allocation>();  // outlives every static that still frees
  return *all;
}

size_t rounded(size_t bytes) {
  return (bytes + kGuard - 1) / kGuard * kGuard;
}

// The upper guard starts where the allocation ends, to the byte. The address sanitizer, where it is on, watches the guards itself.
void set_guards([[maybe_unused]] char* data, [[maybe_unused]] size_t bytes) {
#if defined(REDLLM_EMU_ASAN)
  __asan_poison_memory_region(data - kGuard, kGuard);
  __asan_poison_memory_region(data + bytes, rounded(bytes) - bytes + kGuard);
#endif
}

void lift_guards([[maybe_unused]] char* data, [[maybe_unused]] size_t bytes) {
#if defined(REDLLM_EMU_ASAN)
  __asan_unpoison_memory_region(data - kGuard, rounded(bytes) + 2 * kGuard);
#endif
}

bool intact([[maybe_unused]] const char* data, [[maybe_unused]] size_t bytes) {
#if defined(REDLLM_EMU_ASAN)
  return true;
#else
  static const std::string band(2 * kGuard, static_cast<char>(kPoison));
  return std::memcmp(data - kGuard, band.data(), kGuard) == 0 &&
         std::memcmp(data + bytes, band.data(), rounded(bytes) - bytes + kGuard) == 0;
#endif
}

// The allocation that holds the byte; the end where there is none.
auto holding(const void* data) {
  auto& all = allocations();
  auto next = all.upper_bound(static_cast<const char*>(data));
  if (next == all.begin()) return all.end();
  --next;
  return static_cast<const char*>(data) < next->first + next->second.bytes ? next : all.end();
}

bool lies_in(const void* data, size_t bytes, Memory a, Memory b) {
  std::lock_guard lock(mutex);
  const auto found = holding(data);
  return found != allocations().end() && (found->second.kind == a || found->second.kind == b) &&
         static_cast<const char*>(data) + bytes <= found->first + found->second.bytes;
}

}  // namespace

size_t capacity() {
  const char* text = std::getenv("REDLLM_EMU_MEMORY");
  return text == nullptr ? kDefaultCapacity : std::strtoull(text, nullptr, 10);
}

size_t in_use() {
  std::lock_guard lock(mutex);
  return used;
}

cudaError_t allocate(Memory kind, void** data, size_t bytes) {
  *data = nullptr;
  if (bytes == 0) return cudaSuccess;
  std::lock_guard lock(mutex);
  const size_t counted = kind == Memory::pinned ? 0 : rounded(bytes);
  if (counted > 0 && (bytes > capacity() || used + counted > capacity())) return cudaErrorMemoryAllocation;
  char* memory = static_cast<char*>(std::aligned_alloc(kGuard, rounded(bytes) + 2 * kGuard));
  if (memory == nullptr) return cudaErrorMemoryAllocation;
  std::memset(memory, kPoison, rounded(bytes) + 2 * kGuard);
  used += counted;
  set_guards(memory + kGuard, bytes);
  allocations().emplace(memory + kGuard, Allocation{kind, bytes});
  *data = memory + kGuard;
  return cudaSuccess;
}

cudaError_t release(void* data, bool pinned) {
  if (data == nullptr) return cudaSuccess;
  std::lock_guard lock(mutex);
  const auto found = allocations().find(static_cast<const char*>(data));
  if (found == allocations().end() || (found->second.kind == Memory::pinned) != pinned) return cudaErrorInvalidValue;
  const size_t bytes = found->second.bytes;
  const bool well = intact(found->first, bytes);
  if (!well) std::fprintf(stderr, "CUDA emulator: memory beside an allocation of %zu bytes was overwritten\n", bytes);
  if (!pinned) used -= rounded(bytes);
  allocations().erase(found);
  lift_guards(static_cast<char*>(data), bytes);
  std::memset(data, kPoison, bytes);
  std::free(static_cast<char*>(data) - kGuard);
  return well ? cudaSuccess : cudaErrorIllegalAddress;
}

bool device_sees(const void* data, size_t bytes) {
  return lies_in(data, bytes, Memory::device, Memory::managed);
}

bool host_sees(const void* data, size_t bytes) {
  // Memory that is not ours is the host's own.
  Memory kind;
  return !find(data, &kind) || lies_in(data, bytes, Memory::pinned, Memory::managed);
}

bool find(const void* data, Memory* kind) {
  std::lock_guard lock(mutex);
  const auto found = holding(data);
  if (found == allocations().end()) return false;
  *kind = found->second.kind;
  return true;
}

const char* overwritten() {
  static char text[200];
  std::lock_guard lock(mutex);
  for (const auto& [data, allocation] : allocations()) {
    if (intact(data, allocation.bytes)) continue;
    std::snprintf(text, sizeof text, "something was written outside of an allocation of %zu bytes", allocation.bytes);
    std::memset(const_cast<char*>(data) - kGuard, kPoison, kGuard);
    std::memset(const_cast<char*>(data) + allocation.bytes, kPoison,
                rounded(allocation.bytes) - allocation.bytes + kGuard);
    return text;
  }
  return nullptr;
}

}  // namespace redllm::cuda::emu

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
