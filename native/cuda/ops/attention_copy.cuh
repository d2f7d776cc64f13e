// From pages to tiles in shared memory.
#pragma once

#include "cuda/ops/attention_mask.cuh"
#include "cuda/ops/attention_tile.cuh"

namespace redllm::cuda {

// A thread's part of a segment's tiles: one 16-byte chunk of every kStep-th row, of K and of V.
template <int D, int kThreads>
struct TileCopies {
  static constexpr int kChunks = D / 8, kStep = kThreads / kChunks;
  static constexpr int kTilePages = kTileKeys / kPageTokens;
  // kStep is a multiple of kPageTokens, or a divisor of it that no first row reaches.
  static_assert(kStep % kPageTokens == 0 || kPageTokens % kStep == 0);

  const char* keys;      // the thread's first piece of K in page 0
  const int32_t* table;  // the sequence's pages
  int32_t page_bytes;
  int32_t low, high;  // keys outside are zeros
  int32_t page;       // of the tile to be copied next: lane i holds that of its keys 16 (i % 4) and on

  template <typename State>
  __device__ __forceinline__ TileCopies(const AttentionParams& p, int32_t s, const State& state)
      : low(state.low[s]), high(state.high[s]) {
    const bool first = s == 0;
    const int chunk = threadIdx.x % kChunks, row = threadIdx.x / kChunks;
    const int32_t value_bytes = first ? p.segment[0].value_bytes : p.segment[1].value_bytes;
    keys = (first ? p.segment[0].data : p.segment[1].data) + int64_t{2} * state.kv_head * value_bytes +
           row % kPageTokens * (2 * p.head_dim) + chunk * kChunk;
    table = (first ? p.segment[0].pages : p.segment[1].pages) + state.table[s];
    page_bytes = first ? p.segment[0].page_bytes : p.segment[1].page_bytes;
  }

  // Fetches the pages of the tile from `first_key` on, where there are any.
  __device__ __forceinline__ void find_pages(int32_t first_key) {
    const int32_t key = first_key + static_cast<int>(threadIdx.x % kTilePages) * kPageTokens;
    page = key < high && key + kPageTokens > low ? table[key / kPageTokens] : 0;
  }

  // Starts the copies of the tile whose pages were found: K to `to`, V behind it.
  __device__ __forceinline__ void start(char* to, int32_t first_key, int32_t head_dim) const {
    const int chunk = threadIdx.x % kChunks, row = threadIdx.x / kChunks;
    const bool exists = chunk * 8 < head_dim;
    const int32_t row_bytes = 2 * head_dim;
#pragma unroll
    for (int i = 0; i < kTileKeys / kStep; ++i) {
      const uint64_t number = static_cast<uint32_t>(shuffle(page, row / kPageTokens + i * kStep / kPageTokens));
      const char* from = keys + number * static_cast<uint32_t>(page_bytes) + i * kStep % kPageTokens * row_bytes;
      const int32_t key = first_key + row + i * kStep;
      const bool valid = exists && key >= low && key < high;
      char* at = to + tile_offset<D>(row + i * kStep, chunk);
      copy_async(at, from, valid);
      copy_async(at + kTileKeys * (2 * D), from + kPageTokens * row_bytes, valid);
    }
    copy_async_commit();
  }
};

}  // namespace redllm::cuda
