// What the kernels of the product share.
#pragma once

#include "cuda/ops/matmul_epilogue.cuh"

namespace redllm::cuda {

// x [rows, k] times w^T. x and each of its rows start at a multiple of 16 bytes.
struct Product {
  const void* x;
  const void* w;  // [weight_rows, weight_k], see layout.cuh
  int64_t rows;
  int64_t k;            // of x: from a row to the next, and what lies beyond counts as zero
  int64_t weight_rows;  // padded
  int64_t weight_k;     // padded
  Epilogue epilogue;
};

// How decode sums over K: units of 64 elements are dealt out to slices, slices to groups. A slice is one accumulator in ascending k; a
// group adds up its slices, the product its groups, each in ascending order and starting from zero. A function of (N, K) alone, so
// that whoever computes an output, a warp a slice or a warp all of them, computes the same bits.
struct Slices {
  int32_t units;
  int32_t slices;
  int32_t groups;  // divides `slices`

  REDLLM_BOTH int32_t start(int32_t slice) const {
    return static_cast<int32_t>(static_cast<int64_t>(units) * slice / slices);
  }
};

Slices decode_slices(int64_t weight_rows, int64_t weight_k);

// Each works on rows that fit its launch (kMostRows) and its part of the workspace.
void decode_few(Context*, const Product&, const Slices&);                    // bf16, a warp a slice: up to 16 rows
void decode_many(Context*, const Product&, const Slices&, char* workspace);  // bf16, a block a group of slices
void prefill_tiles(Context*, const Product&);                                // bf16
void float_decode(Context*, const Product&);                                 // f32
void float_prefill(Context*, const Product&);                                // f32

constexpr int64_t kMostRows = 1 << 16;  // of a launch

}  // namespace redllm::cuda
