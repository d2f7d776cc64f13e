// Tiles of rows in shared memory, one unit of K at a time: what the products that copy asynchronously have in common. Where a piece of
// a row lies is each kernel's own affair, since it follows from how the kernel reads it.
#pragma once

#include "cuda/ops/matmul_internal.cuh"

namespace redllm::cuda {

constexpr int kPieces = kWeightK / 8;  // 16-byte pieces of a row of a tile: one unit of K
constexpr int kRowBytes = kPieces * 16;

// Copies unit `unit` of K: rows [first, first + kRows) of a matrix of `rows` rows, piece i of row r to kPlace(r, i). Beyond its rows
// and its k are zeros.
template <int kRows, int kThreads, int (*kPlace)(int row, int piece)>
__device__ __forceinline__ void copy_tile(char* to, const uint16_t* from, int64_t first, int64_t rows, int64_t pitch,
                                          int64_t end_k, int64_t unit) {
  const int piece = static_cast<int>(threadIdx.x) % kPieces;
  const int64_t k = unit * kWeightK + piece * 8;
#pragma unroll
  for (int i = 0; i < kRows * kPieces / kThreads; ++i) {
    const int row = static_cast<int>(threadIdx.x) / kPieces + i * (kThreads / kPieces);
    const bool valid = first + row < rows && k < end_k;
    copy_async(to + kPlace(row, piece), valid ? from + (first + row) * pitch + k : from, valid);
  }
}

}  // namespace redllm::cuda
