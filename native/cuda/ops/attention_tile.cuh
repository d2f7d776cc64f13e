// Tiles of K and V in shared memory, and the two products of attention over them (FlashAttention-2, arXiv 2307.08691).
//
// A tile is [rows][D] bf16 without gaps. The 16-byte chunk c of row r lies at c ^ swizzle(r): the eight rows that one 8 x 8 matrix of
// ldmatrix is read from lie in different banks, and so do eight neighbouring chunks that are written.
#pragma once

#include "cuda/ops/attention_mask.cuh"

namespace redllm::cuda {

constexpr int kChunk = 16;  // bytes

template <int D>
__device__ __forceinline__ uint32_t swizzle(uint32_t row) {
  return D >= 64 ? row % 8 : row / 2 % 4;  // a row of 32 elements fills half the banks
}

template <int D>
__device__ __forceinline__ uint32_t tile_offset(uint32_t row, uint32_t chunk) {
  return row * (2 * D) + kChunk * (chunk ^ swizzle<D>(row));
}

// Chunk 2 k + h of a row whose chunk h lies at `offset` from the row's start: the swizzle flips low bits alone.
template <int D>
__device__ __forceinline__ uint32_t step_offset(uint32_t offset, int k) {
  constexpr int kSteps = D >= 64 ? 4 : 2;
  return (offset ^ (2 * kChunk * (k % kSteps))) + 2 * kChunk * kSteps * (k / kSteps);
}

template <int T, int N>
__device__ __forceinline__ void clear(float (&fragments)[T][N][4]) {
#pragma unroll
  for (int t = 0; t < T; ++t)
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) fragments[t][n][e] = 0;
}

// s += scores of T x 16 rows against a tile: s[t][n] is the fragment of rows 16 t and on, keys 8 n and on. q: the warp's first row.
template <int D, int T>
__device__ __forceinline__ void multiply_keys(float (&s)[T][kTileKeys / 8][4], const char* q, const char* k) {
  const uint32_t lane = opaque(threadIdx.x) % kWarp, matrix = lane / 8, i = lane % 8;
  const char* q_row = q + (matrix % 2 * 8 + i) * (2 * D);
  const char* k_row = k + (matrix / 2 * 8 + i) * (2 * D);
  const uint32_t q_chunk = kChunk * ((matrix / 2) ^ swizzle<D>(i)), k_chunk = kChunk * ((matrix % 2) ^ swizzle<D>(i));
#pragma unroll
  for (int step = 0; step < D / 16; ++step) {
    uint32_t a[T][4];
#pragma unroll
    for (int t = 0; t < T; ++t) load_matrices(a[t], q_row + t * 16 * (2 * D) + step_offset<D>(q_chunk, step));
#pragma unroll
    for (int n = 0; n < kTileKeys / 16; ++n) {
      uint32_t b[4];
      load_matrices(b, k_row + n * 16 * (2 * D) + step_offset<D>(k_chunk, step));
#pragma unroll
      for (int t = 0; t < T; ++t) {
        multiply_add(s[t][2 * n], a[t], b[0], b[1]);
        multiply_add(s[t][2 * n + 1], a[t], b[2], b[3]);
      }
    }
  }
}

// out += weights V over keys 16 k and on. weights[t]: the fragment of rows 16 t and on; out[t][n]: of elements 8 n and on.
template <int D, int T>
__device__ __forceinline__ void multiply_values(float (&out)[T][D / 8][4], const uint32_t (&weights)[T][4],
                                                const char* v, int k) {
  const uint32_t lane = opaque(threadIdx.x) % kWarp, matrix = lane / 8, i = lane % 8;
  const char* row = v + (16 * k + matrix % 2 * 8 + i) * (2 * D);
  const uint32_t chunk = kChunk * ((matrix / 2) ^ swizzle<D>(i));
#pragma unroll
  for (int n = 0; n < D / 16; ++n) {
    uint32_t b[4];
    load_matrices_transposed(b, row + step_offset<D>(chunk, n));
#pragma unroll
    for (int t = 0; t < T; ++t) {
      multiply_add(out[t][2 * n], weights[t], b[0], b[1]);
      multiply_add(out[t][2 * n + 1], weights[t], b[2], b[3]);
    }
  }
}

}  // namespace redllm::cuda
