// What lies where in the device's memory: packed weights and pages of keys and values.
//
// Weights: W [n, k] row by row, K contiguous, k padded to a multiple of 64 elements and n to a multiple of 16 rows, zeros in the
// padding: what cuBLASLt reads as it is, and every 16-byte load is aligned. Where gated, rows stand in blocks of 16: 8 gate rows, then
// their 8 value rows, so that the fragments of one mma.sync hold a gate and its value in one thread (f padded to a multiple of 8).
//
// Pages: [layers][kv_heads] of { K [kPageTokens][head_dim] | V [kPageTokens][head_dim] }, in elements of the pool's type. A
// token's K and V of one head are contiguous; head_dim is a multiple of 8, so every row is a whole number of 16-byte pieces in bf16.
#pragma once

#include <cstdint>

#include "ops.h"

#if defined(__CUDACC__)
#define REDLLM_BOTH __host__ __device__
#else
#define REDLLM_BOTH
#endif

namespace redllm::cuda {

constexpr int32_t kWeightRows = 16;  // rows of a block
constexpr int32_t kGateRows = kWeightRows / 2;
constexpr int32_t kWeightK = 64;  // elements

REDLLM_BOTH inline int64_t padded_k(int64_t k) {
  return (k + kWeightK - 1) / kWeightK * kWeightK;
}

// Physical rows of a matrix of n logical ones.
REDLLM_BOTH inline int64_t padded_n(int64_t n, bool gated) {
  return gated ? (n / 2 + kGateRows - 1) / kGateRows * kWeightRows : (n + kWeightRows - 1) / kWeightRows * kWeightRows;
}

// Where logical row `row` lies.
REDLLM_BOTH inline int64_t weight_row(int64_t row, int64_t n, bool gated) {
  if (!gated) return row;
  const bool value = row >= n / 2;
  const int64_t pair = value ? row - n / 2 : row;
  return pair / kGateRows * kWeightRows + pair % kGateRows + (value ? kGateRows : 0);
}

// Element offsets, for one pool and layer.
struct PageLayout {
  int64_t page;   // from a page to the next
  int64_t layer;  // from the page's start to the layer
  int64_t head;   // from a head of the layer to the next
  int64_t value;  // from a head's K to its V
};

REDLLM_BOTH inline PageLayout page_layout(const PagePool& pool, int32_t layer) {
  const int64_t head = int64_t{2} * kPageTokens * pool.head_dim;
  return {pool.layers * pool.kv_heads * head, layer * pool.kv_heads * head, head, int64_t{kPageTokens} * pool.head_dim};
}

}  // namespace redllm::cuda
