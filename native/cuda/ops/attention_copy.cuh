// From pages to tiles in shared memory.
#pragma once

#include "cuda/ops/attention_mask.cuh"
#include "cuda/ops/attention_tile.cuh"

namespace redllm::cuda {

// The page of each 16 keys of the tile from `first_key` on, lane i holding that of keys 16 (i % 4) and on; 0 where none is wanted.
__device__ __forceinline__ int32_t find_pages(const KeyRange& keys, int32_t first_key) {
  constexpr int kTilePages = kTileKeys / kPageTokens;
  const int32_t key = first_key + static_cast<int>(threadIdx.x % kTilePages) * kPageTokens;
  return key < keys.high && key + kPageTokens > keys.low ? keys.pages[key / kPageTokens] : 0;
}

// Starts the copies of a tile whose pages were found: K to `to`, V behind it; zeros where no row sees a key. A thread copies one 16-byte
// chunk of every kStep-th row.
template <int D, int kThreads>
__device__ __forceinline__ void copy_tile(char* to, const KeyRange& keys, int32_t pages, int32_t first_key,
                                          int32_t head_dim) {
  constexpr int kChunks = D / 8, kStep = kThreads / kChunks;
  // A multiple of a page's rows, or a divisor of them that no first row reaches.
  static_assert(kStep % kPageTokens == 0 || kPageTokens % kStep == 0);
  const uint32_t thread = opaque(threadIdx.x), chunk = thread % kChunks, row = thread / kChunks;
  const bool exists = chunk * 8 < static_cast<uint32_t>(head_dim);
  const int32_t row_bytes = 2 * head_dim;
  const int32_t low = keys.low - first_key - static_cast<int32_t>(row), high = low + keys.high - keys.low;
  const uint32_t page_bytes = static_cast<uint32_t>(keys.page_bytes);
  const char* head = keys.head + (row % kPageTokens * row_bytes + chunk * kChunk);
#pragma unroll
  for (int i = 0; i < kTileKeys / kStep; ++i) {
    const uint64_t page = static_cast<uint32_t>(shuffle(pages, row / kPageTokens + i * kStep / kPageTokens));
    const char* from = head + page * page_bytes + i * kStep % kPageTokens * row_bytes;
    char* at = to + tile_offset<D>(row + i * kStep, chunk);
    const bool valid = exists && i * kStep >= low && i * kStep < high;
    copy_async(at, from, valid);
    copy_async(at + kTileKeys * (2 * D), from + kPageTokens * row_bytes, valid);
  }
  copy_async_commit();
}

}  // namespace redllm::cuda
