// Which keys the queries of a block see: two integers a query, and what they have in common over the rows of a warp, so that a tile
// of keys is left out, taken whole, or compared key by key.
#pragma once

#include "cuda/ops/attention_params.cuh"
#include "cuda/ops/warp.cuh"

namespace redllm::cuda {

constexpr int kTileKeys = 64;  // tiles of keys lie at absolute multiples of it

// Of the rows of a warp, in one segment.
struct alignas(16) WarpLimits {
  int32_t left, right;                // keys outside are seen by none
  int32_t common_left, common_right;  // keys inside are seen by all
};

// Of the rows of a warp: their query_index, and whether each is one more than the row's before it.
struct WarpPositions {
  int32_t least, greatest;
  bool steady;
};

// The keys of a segment that a block walks over.
struct KeyRange {
  const char* head;      // K of the block's head in page 0
  const int32_t* pages;  // the sequence's
  int32_t page_bytes;
  int32_t low, high;  // keys outside are seen by no row that is computed
};

// What a block of kRows queries works on. In shared memory: registers are for fragments.
template <int kRows, int kWarps>
struct alignas(128) QueryState {
  int32_t head;
  int32_t first_token;
  int32_t rows;            // that exist
  int32_t selected;        // the row that alone is computed; -1: all
  KeyRange keys[2];        // of each segment
  int32_t left[2][kRows];  // of each segment; INT_MAX and 0 where a query sees nothing
  int32_t right[2][kRows];
  int32_t index[kRows];  // query_index
  WarpLimits limits[2][kWarps];
  WarpPositions positions[kWarps];
  int32_t spoilt[kRows];  // rows to be computed once more (attention_prefill.cu)
  int32_t any_spoilt;
};

// Of a thread's row: what it sees, and where it stands.
struct RowLimits {
  int32_t left[2], right[2], index;
};

// Row r of the block is token first_token + r. Rows from `rows` on do not exist: in a warp with others they see what the last one
// does and go on counting, a warp of nothing else sees nothing.
template <int kWarpRows>
__device__ __forceinline__ RowLimits read_limits(const AttentionParams& p, int32_t first_token, int32_t rows) {
  const int warp = threadIdx.x / kWarp, row = warp * kWarpRows + threadIdx.x % kWarp % kWarpRows;
  const bool exists = warp * kWarpRows < rows;
  const int32_t existing = min(row, rows - 1);
  const int64_t token = first_token + existing;
  RowLimits limits = {};
#pragma unroll
  for (int s = 0; s < 2; ++s) {
    if (s >= p.segments) break;
    limits.left[s] = exists ? max(0, p.segment[s].left[token]) : 0;
    limits.right[s] = exists ? p.segment[s].right[token] : 0;
  }
  if (p.bias != nullptr) limits.index = p.query_index[token] + row - existing;
  return limits;
}

// Each warp writes what its own rows see.
template <int kRows, int kWarps>
__device__ __forceinline__ void note_limits(const AttentionParams& p, const RowLimits& limits,
                                            QueryState<kRows, kWarps>& state) {
  constexpr int kWarpRows = kRows / kWarps;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, row = warp * kWarpRows + lane % kWarpRows;
#pragma unroll
  for (int s = 0; s < 2; ++s) {
    if (s >= p.segments) break;
    const bool sees = limits.left[s] < limits.right[s];
    const int32_t left = sees ? limits.left[s] : INT_MAX, right = sees ? limits.right[s] : 0;
    const WarpLimits common = {warp_min(left), warp_max(right), warp_max(left), warp_min(right)};
    state.left[s][row] = left;
    state.right[s][row] = right;
    if (lane == 0) state.limits[s][warp] = common;
  }
  if (p.bias != nullptr) {
    const int32_t least = warp_min(limits.index), greatest = warp_max(limits.index);
    const bool steady = all_lanes(limits.index == shuffle(limits.index, 0) + lane % kWarpRows);
    state.index[row] = limits.index;
    if (lane == 0) state.positions[warp] = {least, greatest, steady};
  }
  state.spoilt[row] = 0;
}

// Of all warps, or of the selected row. By one thread, between barriers.
template <int kRows, int kWarps>
__device__ __forceinline__ void note_range(QueryState<kRows, kWarps>& state, int32_t segments) {
  for (int32_t s = 0; s < segments; ++s) {
    int32_t low = INT_MAX, high = 0;
    if (state.selected >= 0) {
      low = state.left[s][state.selected];
      high = state.right[s][state.selected];
    } else {
      for (int w = 0; w < kWarps; ++w) {
        low = min(low, state.limits[s][w].left);
        high = max(high, state.limits[s][w].right);
      }
    }
    state.keys[s].low = low;
    state.keys[s].high = high;
  }
}

}  // namespace redllm::cuda
