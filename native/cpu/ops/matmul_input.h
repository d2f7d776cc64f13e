// The left side of a product, interleaved for the micro-kernels: tiles of up to kTileRows rows, each [step][element][row],
// so that a step's values lie side by side whatever the stride of a row (rows a power of two apart would fight for few
// cache sets). An element has four bytes: an f32, or a pair of bf16 where the kernels take pairs (else a step of bf16 is
// two f32 elements).
#pragma once

#include "cpu/bf16.h"
#include "cpu/ops/ops_internal.h"
#include "cpu/packed_layout.h"

namespace REDLLM_ISA_NAMESPACE {
namespace {

inline int64_t elements_per_step(DType type) {
  return type == DType::bf16 && !kPairs ? 2 : 1;
}

// `steps` steps of `rows` rows, `k` apart in x.
inline void interleave_f32(const float* x, int64_t k, int64_t rows, int64_t steps, float* to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t s = 0; s < steps; ++s) to[s * rows + r] = x[r * k + s];
}

inline void interleave_pairs(const uint16_t* x, int64_t k, int64_t rows, int64_t steps, float* to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t s = 0; s < steps; ++s) __builtin_memcpy(to + s * rows + r, x + r * k + s * 2, 4);
}

inline void interleave_expanded(const uint16_t* x, int64_t k, int64_t rows, int64_t steps, float* to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t s = 0; s < steps * 2; ++s) to[s * rows + r] = float_from_bf16(x[r * k + s]);
}

// `rows` rows of x from `first` on. An odd k leaves the second half of the last step zero.
inline void interleave(const Tensor& x, int64_t first, int64_t rows, float* to) {
  constexpr int64_t kBlock =
      64;  // steps whose interleaved form stays in the first-level cache while row after row is dealt out
  const int64_t k = x.cols;
  if (x.type == DType::f32) {
    const float* from = x.as<float>() + first * k;
    for (int64_t s = 0; s < k; s += kBlock)
      interleave_f32(from + s, k, rows, s + kBlock < k ? kBlock : k - s, to + s * rows);
    return;
  }
  const uint16_t* from = x.as<uint16_t>() + first * k;
  const int64_t pairs = k / 2, elements = elements_per_step(x.type);
  for (int64_t s = 0; s < pairs; s += kBlock) {
    const int64_t steps = s + kBlock < pairs ? kBlock : pairs - s;
    if (kPairs)
      interleave_pairs(from + s * 2, k, rows, steps, to + s * rows);
    else
      interleave_expanded(from + s * 2, k, rows, steps, to + s * elements * rows);
  }
  if (k % 2 == 0) return;
  float* last = to + pairs * elements * rows;
  for (int64_t r = 0; r < rows; ++r) {
    const uint16_t value = from[r * k + k - 1];
    last[r] = kPairs ? float_of_bits(value) : float_from_bf16(value);
    if (!kPairs) last[rows + r] = 0;
  }
}

}  // namespace
}  // namespace REDLLM_ISA_NAMESPACE
