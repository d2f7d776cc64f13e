#include "cuda/emu/memory.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string_view>

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

// The upper guard starts where the allocation ends, to the byte.
bool intact(const char* data, size_t bytes) {
  static const std::string_view band = [] {
    static unsigned char poison[2 * kGuard];
    std::memset(poison, kPoison, sizeof poison);
    return std::string_view(reinterpret_cast<const char*>(poison), sizeof poison);
  }();
  return std::memcmp(data - kGuard, band.data(), kGuard) == 0 &&
         std::memcmp(data + bytes, band.data(), rounded(bytes) - bytes + kGuard) == 0;
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
