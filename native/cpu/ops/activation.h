// Activations of a vector of lanes. Relative errors are near 1e-6 over the whole range, also in the tails, where 1 + erf or
// 1 + tanh would cancel.
#pragma once

#include "cpu/ops/ops_internal.h"
#include "cpu/ops/simd.h"

namespace REDLLM_ISA_NAMESPACE {
namespace {

// exp(high + low) without rounding the sum to one float first. At least exp(-87): no subnormals. NaN stays NaN.
inline vf exp_sum(vf high, vf low) {
  const vf magic = splat(12582912.0f);  // 1.5 * 2^23: adding it leaves the nearest whole number in the low bits
  const vf bounded = min(splat(88.0f), max(splat(-87.0f), add(high, low)));
  const vf biased = fma(bounded, splat(1.44269504088896341f), magic);
  const vf n = sub(biased, magic);
  vf r = add(fma(n, splat(2.12194440e-4f), fma(n, splat(-0.693359375f), high)), low);
  // Far outside only where the sum was bounded: there the result need only stay finite.
  r = min(splat(0.35f), max(splat(-0.35f), r));
  return mul(exp_reduced(r), power_of_2(biased));
}

// x Phi(x), Phi(-m) = erfc(m / sqrt(2)) / 2 for m = |x|, and erfc(z) = t exp(-z^2 + P(t)), t = 1 / (1 + z / 2)
// (Numerical Recipes 6.2: relative error below 1.2e-7 everywhere).
inline vf gelu_erf(vf x) {
  const vf m = min(splat(30.0f), absolute(x));  // an infinity would cancel against itself below
  const vf t = div(splat(1.0f), fma(splat(0.35355339059f), m, splat(1.0f)));
  vf p = splat(0.17087277f);
  p = fma(p, t, splat(-0.82215223f));
  p = fma(p, t, splat(1.48851587f));
  p = fma(p, t, splat(-1.13520398f));
  p = fma(p, t, splat(0.27886807f));
  p = fma(p, t, splat(-0.18628806f));
  p = fma(p, t, splat(0.09678418f));
  p = fma(p, t, splat(0.37409196f));
  p = fma(p, t, splat(1.00002368f));
  p = fma(p, t, splat(-1.26551223f));
  // z^2 = m^2 / 2 in two parts: the square of m rounded to 12 bits is exact.
  const vf shift = mul(m, splat(4097.0f));
  const vf upper = sub(shift, sub(shift, m));
  const vf low = fma(mul(splat(-0.5f), sub(m, upper)), add(m, upper), p);
  const vf half = mul(mul(splat(0.5f), t), exp_sum(mul(splat(-0.5f), mul(upper, upper)), low));
  return mul(x, if_less(x, splat(0), half, sub(splat(1.0f), half)));
}

// (1 + tanh u) / 2 = 1 / (1 + exp(-2 u))
inline vf gelu_by_tanh(vf x) {
  const vf cubed = mul(mul(x, x), x);
  const vf u = mul(splat(0.79788456080f), fma(splat(0.044715f), cubed, x));
  return div(x, add(splat(1.0f), exp(mul(splat(-2.0f), u))));
}

template <Activation kActivation>
inline vf activate(vf x) {
  switch (kActivation) {
    case Activation::relu:
      return max(splat(0), x);  // in this order a NaN stays one
    case Activation::gelu:
      return gelu_erf(x);
    case Activation::gelu_tanh:
      return gelu_by_tanh(x);
    case Activation::silu:
      return div(x, add(splat(1.0f), exp(sub(splat(0), x))));
    case Activation::none:
      break;
  }
  return x;
}

}  // namespace
}  // namespace REDLLM_ISA_NAMESPACE
