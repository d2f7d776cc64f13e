// The running softmax (arXiv 1805.02867) over fragments of scores. A row's steps depend on the keys that it sees alone: in a tile where
// it sees none the maximum stays, the factor is exactly 1, and every weight exactly 0.
#pragma once

#include "cuda/ops/attention_mask.cuh"

namespace redllm::cuda {

// Of T x 16 rows: [t][0] is row 16 t + lane / 4, [t][1] eight rows below. The four lanes of a row hold the same maximum, and sums of
// their own columns.
template <int T>
struct RunningSoftmax {
  float maximum[T][2];  // in base 2
  // Of the weights in f32: rounding errs to both sides, so that the rounded ones sum to the same within 2^-9.
  float sum[T][2];
};

template <int T>
using Scores = float[T][kTileKeys / 8][4];

template <int T>
__device__ __forceinline__ void cap_scores(Scores<T>& s, float scale) {
#pragma unroll
  for (int t = 0; t < T; ++t)
#pragma unroll
    for (int n = 0; n < kTileKeys / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) s[t][n][e] = tanh_fast(s[t][n][e] * scale);
}

// s = scale s + bias, in base 2. `index`: of the warp's rows.
template <int T>
__device__ __forceinline__ void add_bias(Scores<T>& s, float scale, const float* table, int32_t reach,
                                         int32_t first_key, const int32_t* index, const WarpPositions& positions) {
  // Far from the diagonal all keys of a tile take the same end of the table.
  const bool before = first_key + kTileKeys - 1 - positions.least <= -reach;
  const bool behind = first_key - positions.greatest >= reach;
  if (before || behind) {
    const float bias = table[behind ? 2 * reach : 0] * kLog2E;
#pragma unroll
    for (int t = 0; t < T; ++t)
#pragma unroll
      for (int n = 0; n < kTileKeys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) s[t][n][e] = fmaf(s[t][n][e], scale, bias);
    return;
  }
  const uint32_t lane = opaque(threadIdx.x) % kWarp, row = lane / 4, column = lane % 4 * 2;
  const int32_t origin = first_key + column + reach, last = 2 * reach;
  if (positions.steady) {
    // Eight rows further down stands what eight keys further left did.
    const int32_t first = origin - index[row];
#pragma unroll
    for (int m = 1 - 2 * T; m < kTileKeys / 8; ++m)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const float bias = table[min(max(first + 8 * m + e, 0), last)] * kLog2E;
#pragma unroll
        for (int j = 0; j < 2 * T; ++j) {
          const int n = m + j;
          if (n < 0 || n >= kTileKeys / 8) continue;
          float& x = s[j / 2][n][2 * (j % 2) + e];
          x = fmaf(x, scale, bias);
        }
      }
    return;
  }
#pragma unroll
  for (int j = 0; j < 2 * T; ++j) {
    const int32_t first = origin - index[8 * j + row];
#pragma unroll
    for (int n = 0; n < kTileKeys / 8; ++n)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& x = s[j / 2][n][2 * (j % 2) + e];
        x = fmaf(x, scale, table[min(max(first + 8 * n + e, 0), last)] * kLog2E);
      }
  }
}

// left, right: of the warp's rows.
template <int T>
__device__ __forceinline__ void mask_scores(Scores<T>& s, const int32_t* left, const int32_t* right,
                                            int32_t first_key) {
  const uint32_t lane = opaque(threadIdx.x) % kWarp, row = lane / 4, column = lane % 4 * 2;
#pragma unroll
  for (int t = 0; t < T; ++t)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int32_t from = left[16 * t + 8 * half + row] - first_key - column;
      const int32_t to = right[16 * t + 8 * half + row] - first_key - column;
#pragma unroll
      for (int n = 0; n < kTileKeys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& x = s[t][n][2 * half + e];
          x = 8 * n + e >= from && 8 * n + e < to ? x : -INFINITY;
        }
    }
}

// Takes the tile's maximum into the running one; factor: what earlier sums and outputs take. True where some row's is not 1.
template <int T>
__device__ __forceinline__ bool raise_maximum(RunningSoftmax<T>& softmax, const Scores<T>& s, float scale,
                                              float (&factor)[T][2]) {
  bool raised = false;
#pragma unroll
  for (int t = 0; t < T; ++t)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float top = fmaxf(s[t][0][2 * half], s[t][0][2 * half + 1]);
#pragma unroll
      for (int n = 1; n < kTileKeys / 8; ++n) top = fmaxf(top, fmaxf(s[t][n][2 * half], s[t][n][2 * half + 1]));
      top = fmaxf(top, shuffle_xor(top, 1));
      top = fmaxf(top, shuffle_xor(top, 2));
      const float old = softmax.maximum[t][half], now = fmaxf(old, top * scale);
      softmax.maximum[t][half] = now;
      raised |= now != old;
      factor[t][half] = now == old ? 1.0f : exp2_fast(old - now);
      softmax.sum[t][half] *= factor[t][half];
    }
  return any_lane(raised);
}

// What is subtracted from a row's scores. Where all that was seen is -infinity any finite number does: every weight is then 0.
template <int T>
__device__ __forceinline__ void find_shift(const RunningSoftmax<T>& softmax, float (&shift)[T][2]) {
#pragma unroll
  for (int t = 0; t < T; ++t)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      shift[t][half] = softmax.maximum[t][half] == -INFINITY ? 0.0f : softmax.maximum[t][half];
}

// Weights 2^(scale s - shift) of keys 16 k and on, as the left side of the product with V, and their sums.
template <int T>
__device__ __forceinline__ void weigh_scores(RunningSoftmax<T>& softmax, const Scores<T>& s, float scale,
                                             const float (&shift)[T][2], int k, uint32_t (&weights)[T][4]) {
#pragma unroll
  for (int n = 0; n < 2; ++n)
#pragma unroll
    for (int t = 0; t < T; ++t)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float low = exp2_fast(fmaf(s[t][2 * k + n][2 * half], scale, -shift[t][half]));
        const float high = exp2_fast(fmaf(s[t][2 * k + n][2 * half + 1], scale, -shift[t][half]));
        softmax.sum[t][half] += low;
        softmax.sum[t][half] += high;
        weights[t][2 * n + half] = pack_bf16(low, high);
      }
}

}  // namespace redllm::cuda
