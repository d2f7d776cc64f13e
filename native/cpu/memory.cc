// Memory of weights, activations and pages: address space at once, pages of it when they are first touched.
#include <sys/mman.h>

#include <cstdint>
#include <cstring>

#include "cpu/ops/ops_internal.h"

namespace redllm::cpu {

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kHugePage = 2 << 20;

uint64_t round_up(uint64_t bytes, uint64_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

void* allocate(Context*, uint64_t bytes) {
  if (bytes > UINT64_MAX / 2) return nullptr;
  const bool huge = bytes >= kHugePage;
  const uint64_t size = round_up(bytes == 0 ? 1 : bytes, kPage);
  // A huge page must start at a multiple of its size, which mmap does not promise: ask for more and give the ends back.
  const uint64_t asked = huge ? size + kHugePage : size;
  void* mapped = mmap(nullptr, asked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  if (!huge) return mapped;
  char* start = static_cast<char*>(mapped);
  const uint64_t head = round_up(reinterpret_cast<uintptr_t>(start), kHugePage) - reinterpret_cast<uintptr_t>(start);
  if (head > 0) munmap(start, head);
  if (kHugePage - head > 0) munmap(start + head + size, kHugePage - head);
#ifdef MADV_HUGEPAGE
  madvise(start + head, size, MADV_HUGEPAGE);  // a wish: streaming weights through 4 KB pages costs TLB misses
#endif
  return start + head;
}

void release(Context*, void* data, uint64_t bytes) {
  if (data != nullptr) munmap(data, round_up(bytes == 0 ? 1 : bytes, kPage));
}

void memory(Context*, uint64_t* free, uint64_t* total) {
  *free = *total = 0;
}

// ---- what only a device has a use for -----------------------------------------------------------------------------------

void upload(Context*, const Piece* pieces, int32_t count) {
  for (int32_t i = 0; i < count; ++i)
    if (pieces[i].bytes > 0 && pieces[i].to != pieces[i].from)
      std::memcpy(pieces[i].to, pieces[i].from, pieces[i].bytes);
}

uint64_t download(Context* context, const Piece* pieces, int32_t count) {
  upload(context, pieces, count);
  return 0;
}

void wait(Context*, uint64_t) {}

bool begin_run(Context*, uint64_t, uint64_t) {
  return false;
}

bool end_run(Context*) {
  return true;
}

void drop_runs(Context*, uint64_t) {}

const char* error(Context*) {
  return nullptr;
}

}  // namespace redllm::cpu
