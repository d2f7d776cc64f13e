// Activations, as branch-free scalar code over plain loops: the compiler vectorises them for each instruction set, and without
// contraction every lane does the same operations, so a row's bits do not depend on its place in a tile.
// Relative errors are near 1e-6 over the whole range, also in the tails where 1 + erf or 1 + tanh would cancel.
#pragma once

#include "cpu/bf16.h"
#include "cpu/ops/ops_internal.h"

namespace REDLLM_ISA_NAMESPACE {
namespace {

// exp(high + low), |low| small: the sum is never rounded to one float. Clamped to the range of normal floats; NaN stays NaN.
inline float exp_sum(float high, float low) {
  float sum = high + low;
  sum = sum < -87.0f ? -87.0f : sum;
  sum = sum > 88.0f ? 88.0f : sum;
  const float shifted = sum * 1.44269504089f + 12582912.0f;  // 1.5 * 2^23: the integer lands in the low bits
  const float n = shifted - 12582912.0f;
  // The parts of ln 2: the first is short, so that n times it is exact.
  float r = ((high - n * 0.693359375f) - n * -2.12194440e-4f) + low;
  // Where the sum was clamped, r is far outside; what it gives must only stay finite and of the right size.
  r = r < -0.35f ? -0.35f : r;
  r = r > 0.35f ? 0.35f : r;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  return p * float_of_bits((bits_of_float(shifted) << 23) + 0x3f800000);  // 2^n, n in [-126, 127]
}

inline float gelu_erf(float x) {
  // x * Phi(x), Phi(-m) = erfc(m / sqrt(2)) / 2 for m = |x|, and erfc(z) = t exp(-z^2 + P(t)), t = 1 / (1 + z / 2)
  // (Numerical Recipes 6.2: relative error below 1.2e-7 everywhere).
  float m = x < 0 ? -x : x;
  m = m > 30.0f ? 30.0f : m;  // an infinity would cancel against itself below
  const float t = 1.0f / (1.0f + 0.35355339059f * m);
  float p = 0.17087277f;
  p = p * t - 0.82215223f;
  p = p * t + 1.48851587f;
  p = p * t - 1.13520398f;
  p = p * t + 0.27886807f;
  p = p * t - 0.18628806f;
  p = p * t + 0.09678418f;
  p = p * t + 0.37409196f;
  p = p * t + 1.00002368f;
  p = p * t - 1.26551223f;
  // z^2 = m^2 / 2 in two parts: the square of m's upper 12 bits is exact.
  const float upper = float_of_bits(bits_of_float(m) & 0xfffff000);
  const float half = 0.5f * (t * exp_sum(-0.5f * (upper * upper), p - 0.5f * ((m - upper) * (m + upper))));
  return x * (x < 0 ? half : 1.0f - half);
}

inline float gelu_by_tanh(float x) {
  // (1 + tanh u) / 2 = 1 / (1 + exp(-2 u))
  const float u = 0.79788456080f * (x + 0.044715f * (x * x * x));
  return x / (1.0f + exp_sum(-2.0f * u, 0.0f));
}

inline float activated(Activation activation, float x) {
  switch (activation) {
    case Activation::relu:
      return x < 0 ? 0 : x;
    case Activation::gelu:
      return gelu_erf(x);
    case Activation::gelu_tanh:
      return gelu_by_tanh(x);
    case Activation::silu:
      return x / (1.0f + exp_sum(-x, 0.0f));
    case Activation::none:
      break;
  }
  return x;
}

}  // namespace
}  // namespace REDLLM_ISA_NAMESPACE
