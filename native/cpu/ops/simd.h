// A vector of kLanes floats of the instruction set being compiled, under one set of names:
//
//   splat(x)                      x in every lane
//   load(p), store(p, x)          kLanes elements, any alignment, float or bf16; bf16 is rounded to nearest, ties to even, and a
//                                 NaN stays one
//   load_first(p, n)              n < kLanes elements, zero beyond; reads no further
//   store_first(p, x, n)          the first n < kLanes lanes (plain: <=)
//   fma(a, b, c)                  a b + c, rounded once where the set has it
//   max(a, b), min(a, b)          b where either is NaN
//   if_less(a, b, yes, no)        a < b ? yes : no, lane by lane
//   if_nan(x, yes)                x != x ? yes : x
//   count_greater(a, b)           lanes where a > b
//   store_not_less(p, x, least)   the lanes x >= least to p, together and in order; returns how many. May write kLanes elements
//   keep_range(x, fill, f, l)     x in lanes f <= i < l, fill elsewhere
//   reduce_add(x), reduce_max(x)  over the lanes, in one fixed order
//   power_of_2(n + 1.5 * 2^23)    2^n for whole -126 <= n <= 127
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace REDLLM_ISA_NAMESPACE {

struct bf16 {
  uint16_t bits;
};

}  // namespace REDLLM_ISA_NAMESPACE

#if defined(REDLLM_ISA_avx512)
#include "cpu/ops/simd_avx512.h"
#elif defined(REDLLM_ISA_avx2)
#include "cpu/ops/simd_avx2.h"
#else
#include "cpu/ops/simd_plain.h"
#endif

namespace REDLLM_ISA_NAMESPACE {

constexpr float kInfinity = __builtin_inff();

// exp(r) for |r| <= ln(2) / 2 (Cephes' expf): error below one unit in the last place.
inline vf exp_reduced(vf r) {
  vf p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  return add(fma(p, mul(r, r), r), splat(1.0f));
}

// e^x to 2 ulp: x = n ln 2 + r, |r| <= ln 2 / 2, and Cephes' polynomial (expf.c) for e^r. 0 below -87.33, where the result would be
// subnormal, -infinity included; infinity above 88.37; exactly 1 at 0.
inline vf exp(vf x) {
  const vf magic = splat(12582912.0f);  // 1.5 * 2^23: adding it leaves the nearest whole number in the low bits
  const vf bounded = min(splat(88.3762626f), max(splat(-87.3365448f), x));
  const vf biased = fma(bounded, splat(1.44269504088896341f), magic);
  const vf n = sub(biased, magic);
  const vf r = fma(n, splat(2.12194440e-4f), fma(n, splat(-0.693359375f), bounded));
  const vf y = mul(exp_reduced(r), power_of_2(biased));
  return if_less(x, splat(-87.3365448f), splat(0), if_less(splat(88.3762626f), x, splat(kInfinity), y));
}

// tanh x to 2 ulp: Cephes' odd polynomial (tanhf.c) where |x| < 0.625, else 1 - 2 / (e^2|x| + 1).
inline vf tanh(vf x) {
  const vf a = absolute(x), z = mul(x, x);
  vf p = splat(-5.70498872745e-3f);
  p = fma(p, z, splat(2.06390887954e-2f));
  p = fma(p, z, splat(-5.37397155531e-2f));
  p = fma(p, z, splat(1.33314422036e-1f));
  p = fma(p, z, splat(-3.33332819422e-1f));
  const vf small = fma(mul(p, z), x, x);
  const vf large = sub(splat(1), div(splat(2), add(exp(add(a, a)), splat(1))));
  return if_less(a, splat(0.625f), small, with_sign_of(large, x));
}

// body(i, n) for i = 0, kLanes, 2 kLanes, ... below `count`, with n = kLanes, or less at the end.
template <typename Body>
inline void for_lanes(int32_t count, const Body& body) {
  int32_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, kLanes);
  if (i < count) body(i, count - i);
}

// The first n <= kLanes elements.
inline vf load_upto(const float* p, int32_t n) {
  return n == kLanes ? load(p) : load_first(p, n);
}
template <typename T>
inline void store_upto(T* p, vf x, int32_t n) {
  n == kLanes ? store(p, x) : store_first(p, x, n);
}

}  // namespace REDLLM_ISA_NAMESPACE
