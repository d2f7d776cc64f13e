// The program's operator new and delete. They are malloc and free until use_shared_memory(): then blocks come from slabs of shared
// memory, by powers of two, and return to the lists of their size; slabs are kept until the program ends.
#include "shared_memory.h"

#include <cstdlib>
#include <mutex>
#include <new>

namespace {

// Before every block; as large as the alignment that tests rely on.
struct alignas(64) Header {
  Header* next;
  int32_t size_class;  // of 2^size_class bytes with this header; -1: of malloc
};

constexpr int32_t kClasses = 40;
constexpr uint64_t kSlab = uint64_t{8} << 20;

void* (*allocate_slab)(uint64_t bytes) = nullptr;
std::recursive_mutex mutex;  // the allocator may free what it was given
Header* free_blocks[kClasses] = {};
char* slab = nullptr;
uint64_t slab_left = 0;
thread_local bool inside = false;  // the allocator's own calls of new

Header* shared_block(int32_t size_class) {
  if (Header* block = free_blocks[size_class]) {
    free_blocks[size_class] = block->next;
    return block;
  }
  const uint64_t bytes = uint64_t{1} << size_class;
  if (bytes > kSlab / 2) return static_cast<Header*>(allocate_slab(bytes));
  if (slab_left < bytes) {
    slab = static_cast<char*>(allocate_slab(kSlab));
    slab_left = slab == nullptr ? 0 : kSlab;
  }
  if (slab_left < bytes) return nullptr;
  char* block = slab;
  slab += bytes;
  slab_left -= bytes;
  return reinterpret_cast<Header*>(block);
}

void* allocate(size_t size) {
  const uint64_t bytes = size + sizeof(Header);
  Header* header = nullptr;
  int32_t size_class = -1;
  if (allocate_slab == nullptr || inside) {
    header = static_cast<Header*>(std::aligned_alloc(alignof(Header), (bytes + 63) / 64 * 64));
  } else {
    size_class = 7;
    while ((uint64_t{1} << size_class) < bytes) ++size_class;
    const std::lock_guard lock(mutex);
    inside = true;
    header = size_class < kClasses ? shared_block(size_class) : nullptr;
    inside = false;
  }
  if (header == nullptr) throw std::bad_alloc();
  header->size_class = size_class;
  return header + 1;
}

void release(void* data) {
  if (data == nullptr) return;
  Header* header = static_cast<Header*>(data) - 1;
  if (header->size_class < 0) return std::free(header);
  const std::lock_guard lock(mutex);
  header->next = free_blocks[header->size_class];
  free_blocks[header->size_class] = header;
}

}  // namespace

namespace redllm::test {

void use_shared_memory(void* (*allocate)(uint64_t bytes)) {
  allocate_slab = allocate;
}

}  // namespace redllm::test

// The default visibility is what makes libraries that the program opens use these as well, so that one may free what another gave.
#define REDLLM_EVERYWHERE __attribute__((visibility("default")))
REDLLM_EVERYWHERE void* operator new(size_t size) {
  return allocate(size);
}
REDLLM_EVERYWHERE void* operator new[](size_t size) {
  return allocate(size);
}
REDLLM_EVERYWHERE void operator delete(void* data) noexcept {
  release(data);
}
REDLLM_EVERYWHERE void operator delete[](void* data) noexcept {
  release(data);
}
REDLLM_EVERYWHERE void operator delete(void* data, size_t) noexcept {
  release(data);
}
REDLLM_EVERYWHERE void operator delete[](void* data, size_t) noexcept {
  release(data);
}
