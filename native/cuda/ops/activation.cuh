// Activations of one number. Relative errors are near 1e-6 over the whole range, also in the tails, where 1 + erf or 1 + tanh would
// cancel. Every sum of a product says whether it is fused: a compiler may not choose, or kernels would differ in their last bits.
#pragma once

#include "cuda/ops/ops_internal.cuh"

namespace redllm::cuda {

// x Phi(x), Phi(-m) = erfc(m / sqrt(2)) / 2 for m = |x|, and erfc(z) = t exp(-z^2 + P(t)), t = 1 / (1 + z / 2)
// (Numerical Recipes 6.2: relative error below 1.2e-7 everywhere).
__device__ __forceinline__ float gelu_erf(float x) {
  const float m = fminf(30.0f, fabsf(x));  // an infinity would cancel against itself below
  const float t = 1.0f / fmaf(0.35355339059f, m, 1.0f);
  float p = 0.17087277f;
  p = fmaf(p, t, -0.82215223f);
  p = fmaf(p, t, 1.48851587f);
  p = fmaf(p, t, -1.13520398f);
  p = fmaf(p, t, 0.27886807f);
  p = fmaf(p, t, -0.18628806f);
  p = fmaf(p, t, 0.09678418f);
  p = fmaf(p, t, 0.37409196f);
  p = fmaf(p, t, 1.00002368f);
  p = fmaf(p, t, -1.26551223f);
  // z^2 = m^2 / 2 = (upper^2 + (m - upper)(m + upper)) / 2: the square of m cut to 12 bits is exact. exp(high + low) is then
  // exp of the rounded sum times 1 + what the rounding lost.
  const float upper = float_of_bits(bits_of_float(m) & 0xfffff000u);
  const float high = -0.5f * __fmul_rn(upper, upper);
  const float low = fmaf(-0.5f * __fsub_rn(m, upper), __fadd_rn(m, upper), p);
  const float sum = __fadd_rn(high, low);
  const float lost = __fadd_rn(__fsub_rn(high, sum), low);
  const float power = expf(sum);
  const float half = __fmul_rn(__fmul_rn(0.5f, t), fmaf(power, lost, power));
  return __fmul_rn(x, x < 0 ? half : __fsub_rn(1.0f, half));
}

// (1 + tanh u) / 2 = 1 / (1 + exp(-2 u))
__device__ __forceinline__ float gelu_by_tanh(float x) {
  const float cubed = __fmul_rn(__fmul_rn(x, x), x);
  const float u = __fmul_rn(0.79788456080f, fmaf(0.044715f, cubed, x));
  return x / __fadd_rn(1.0f, expf(__fmul_rn(-2.0f, u)));
}

__device__ __forceinline__ float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::relu:
      return x < 0 ? 0.0f : x;  // a NaN stays one
    case Activation::gelu:
      return gelu_erf(x);
    case Activation::gelu_tanh:
      return gelu_by_tanh(x);
    case Activation::silu:
      return x / __fadd_rn(1.0f, expf(-x));
    case Activation::none:
      break;
  }
  return x;
}

}  // namespace redllm::cuda
