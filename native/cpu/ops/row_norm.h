// The sums of a norm, and the norm of one attention head. Every sum runs in four accumulators of a vector each, in an order that
// depends on the width alone.
#pragma once

#include <math.h>

#include "cpu/ops/simd.h"
#include "ops.h"

namespace REDLLM_ISA_NAMESPACE {

// term(sum, i, n) adds n elements from element i on to the lanes of `sum`; here over 0 <= i < width, then over the lanes.
template <typename Term>
inline float sum_terms(int32_t width, const Term& term) {
  vf a = splat(0), b = splat(0), c = splat(0), d = splat(0);
  int32_t i = 0;
  for (; i + 4 * kLanes <= width; i += 4 * kLanes) {
    a = term(a, i, kLanes);
    b = term(b, i + kLanes, kLanes);
    c = term(c, i + 2 * kLanes, kLanes);
    d = term(d, i + 3 * kLanes, kLanes);
  }
  for (; i + kLanes <= width; i += kLanes) a = term(a, i, kLanes);
  if (i < width) b = term(b, i, width - i);
  return reduce_add(add(add(a, b), add(c, d)));
}

inline float sum_of_squares(const float* x, int32_t width) {
  return sum_terms(width, [x](vf sum, int32_t i, int32_t n) {
    const vf v = load_upto(x + i, n);
    return fma(v, v, sum);
  });
}

// 1 / sqrt(mean(x^2) + eps)
inline float rms_factor(const float* x, int32_t width, float eps) {
  return 1.0f / ::sqrtf(sum_of_squares(x, width) / static_cast<float>(width) + eps);
}

// In place, over one head.
inline void apply(const HeadNorm& norm, float* x, int32_t head_dim) {
  if (!norm.on) return;
  const vf factor = splat(rms_factor(x, head_dim, norm.eps));
  const float* gain = norm.gain;
  for_lanes(head_dim, [=](int32_t i, int32_t n) {
    vf y = mul(load_upto(x + i, n), factor);
    if (gain != nullptr) y = mul(y, load_upto(gain + i, n));
    store_upto(x + i, y, n);
  });
}

}  // namespace REDLLM_ISA_NAMESPACE
