#include "cuda/emu/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "cuda/emu/fiber.h"

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
  bool shut;  // closed to the host: pages of its own
};

std::recursive_mutex mutex;
size_t used = 0;
int open = 0;  // instances of DeviceAccess

bool default_apart() {
  const char* text = std::getenv("REDLLM_EMU_APART");
  return text != nullptr && *text == '1';
}

bool apart = default_apart();

std::map<const char*, Allocation>& allocations() {
  static auto* all = new std::map<const char*, Allocation>();  // outlives every static that still frees
  return *all;
}

size_t rounded(size_t bytes) {
  return (bytes + kGuard - 1) / kGuard * kGuard;
}

// Whole pages where the memory is to be closed to the host.
size_t taken(size_t bytes, bool shut) {
  const size_t all = rounded(bytes) + 2 * kGuard;
  const size_t page = shut ? static_cast<size_t>(sysconf(_SC_PAGESIZE)) : 1;
  return (all + page - 1) / page * page;
}

char* take(size_t bytes, bool shut) {
  if (!shut) return static_cast<char*>(std::aligned_alloc(kGuard, taken(bytes, false)));
  void* memory =
      mmap(nullptr, taken(bytes, true), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
}

void give_back(char* memory, size_t bytes, bool shut) {
  shut ? static_cast<void>(munmap(memory, taken(bytes, true))) : std::free(memory);
}

void protect(const char* data, const Allocation& allocation, int access) {
  if (allocation.shut) mprotect(const_cast<char*>(data) - kGuard, taken(allocation.bytes, true), access);
}

void protect_all(int access) {
  for (const auto& [data, allocation] : allocations()) protect(data, allocation, access);
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

void set_apart(bool on) {
  std::lock_guard lock(mutex);
  apart = on;
}

DeviceAccess::DeviceAccess() {
  std::lock_guard lock(mutex);
  if (open++ == 0) protect_all(PROT_READ | PROT_WRITE);
}

DeviceAccess::~DeviceAccess() {
  std::lock_guard lock(mutex);
  if (--open == 0) protect_all(PROT_NONE);
}

cudaError_t allocate(Memory kind, void** data, size_t bytes) {
  *data = nullptr;
  if (bytes == 0) return cudaSuccess;
  std::lock_guard lock(mutex);
  const size_t counted = kind == Memory::pinned ? 0 : rounded(bytes);
  if (counted > 0 && (bytes > capacity() || used + counted > capacity())) return cudaErrorMemoryAllocation;
  const Allocation allocation = {kind, bytes, apart && kind == Memory::device};
  char* memory = take(bytes, allocation.shut);
  if (memory == nullptr) return cudaErrorMemoryAllocation;
  std::memset(memory, kPoison, rounded(bytes) + 2 * kGuard);
  used += counted;
  set_guards(memory + kGuard, bytes);
  allocations().emplace(memory + kGuard, allocation);
  if (open == 0) protect(memory + kGuard, allocation, PROT_NONE);
  *data = memory + kGuard;
  return cudaSuccess;
}

cudaError_t release(void* data, bool pinned) {
  if (data == nullptr) return cudaSuccess;
  std::lock_guard lock(mutex);
  const auto found = allocations().find(static_cast<const char*>(data));
  if (found == allocations().end() || (found->second.kind == Memory::pinned) != pinned) return cudaErrorInvalidValue;
  const DeviceAccess access;
  const size_t bytes = found->second.bytes;
  const bool shut = found->second.shut;
  const bool well = intact(found->first, bytes);
  if (!well) std::fprintf(stderr, "CUDA emulator: memory beside an allocation of %zu bytes was overwritten\n", bytes);
  if (!pinned) used -= rounded(bytes);
  allocations().erase(found);
  lift_guards(static_cast<char*>(data), bytes);
  if (!shut) std::memset(data, kPoison, bytes);
  give_back(static_cast<char*>(data) - kGuard, bytes, shut);
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

const void* foreign_pointer(const void* words, size_t bytes) {
  if (!apart) return nullptr;
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  for (size_t i = 0; i + sizeof(uintptr_t) <= bytes; i += sizeof(uintptr_t)) {
    uintptr_t word;
    std::memcpy(&word, static_cast<const char*>(words) + i, sizeof word);
    if (word >> 40 == 0 || word >> 47 != 0) continue;  // numbers, and what nobody wrote between fields
    void* first = reinterpret_cast<void*>(word / page * page);
    // The end of an allocation is a good address, too.
    Memory kind;
    const char* pointer = reinterpret_cast<const char*>(word);
    if (find(pointer, &kind) || find(pointer - 1, &kind) || msync(first, page, MS_ASYNC) != 0) continue;
    return pointer;
  }
  return nullptr;
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
