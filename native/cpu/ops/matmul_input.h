// The left side of a product, interleaved for the micro-kernels: tiles of up to kTileRows rows, each [step][element][row], so that
// a step's values lie side by side whatever the stride of a row (rows a power of two apart would fight for few cache sets).
// An element has four bytes: an f32, or a pair of bf16 where the kernels take pairs (else a step of bf16 is two f32 elements).
#pragma once

#include "cpu/bf16.h"
#include "cpu/ops/ops_internal.h"
#include "cpu/packed_layout.h"

namespace REDLLM_ISA_NAMESPACE {
namespace {

inline int64_t elements_per_step(DType type) {
  return type == DType::bf16 && !kPairs ? 2 : 1;
}

inline void interleave_f32(const float* x, int64_t k, int64_t rows, float* to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t s = 0; s < k; ++s) to[s * rows + r] = x[r * k + s];
}

inline void interleave_pairs(const uint16_t* x, int64_t k, int64_t rows, float* to) {
  for (int64_t r = 0; r < rows; ++r) {
    const uint16_t* from = x + r * k;
    for (int64_t s = 0; s < k / 2; ++s) __builtin_memcpy(to + s * rows + r, from + s * 2, 4);
    if (k % 2 != 0) to[k / 2 * rows + r] = float_of_bits(from[k - 1]);
  }
}

inline void interleave_expanded(const uint16_t* x, int64_t k, int64_t rows, float* to) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t s = 0; s < k; ++s) to[s * rows + r] = float_from_bf16(x[r * k + s]);
    if (k % 2 != 0) to[k * rows + r] = 0;
  }
}

// `rows` rows of x from `first` on.
inline void interleave(const Tensor& x, int64_t first, int64_t rows, float* to) {
  if (x.type == DType::f32)
    interleave_f32(x.as<float>() + first * x.cols, x.cols, rows, to);
  else if (kPairs)
    interleave_pairs(x.as<uint16_t>() + first * x.cols, x.cols, rows, to);
  else
    interleave_expanded(x.as<uint16_t>() + first * x.cols, x.cols, rows, to);
}

}  // namespace
}  // namespace REDLLM_ISA_NAMESPACE
