// What nvcc gives every .cu file without a header: function qualifiers, vector types, thread indices, and the arithmetic that kernels
// call by its CUDA name. `__shared__` is left out on purpose (kernels take shared_memory()), as is `__noinline__`, which the standard
// library spells the same way for itself.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

struct alignas(8) uint2 {
  uint32_t x, y;
};
struct uint3 {
  uint32_t x, y, z;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct dim3 {
  uint32_t x, y, z;
  constexpr dim3(uint32_t x = 1, uint32_t y = 1, uint32_t z = 1) : x(x), y(y), z(z) {}
};

inline uint2 make_uint2(uint32_t x, uint32_t y) {
  return {x, y};
}
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) {
  return {x, y, z, w};
}
inline float2 make_float2(float x, float y) {
  return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}

// The scheduler sets them before it lets a thread go on.
#pragma GCC visibility push(hidden)
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
#pragma GCC visibility pop

inline float __uint_as_float(uint32_t bits) {
  return std::bit_cast<float>(bits);
}
inline uint32_t __float_as_uint(float x) {
  return std::bit_cast<uint32_t>(x);
}
inline int __popc(uint32_t x) {
  return std::popcount(x);
}
inline int __clz(uint32_t x) {
  return std::countl_zero(x);
}
inline int __clzll(uint64_t x) {
  return std::countl_zero(x);
}
// One more than the place of the lowest bit; 0 where there is none.
inline int __ffs(uint32_t x) {
  return x == 0 ? 0 : std::countr_zero(x) + 1;
}

inline float rsqrtf(float x) {
  return 1.0f / std::sqrt(x);
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}

#define REDLLM_EMU_LEAST_AND_GREATEST(T) \
  constexpr T min(T a, T b) {            \
    return b < a ? b : a;                \
  }                                      \
  constexpr T max(T a, T b) {            \
    return a < b ? b : a;                \
  }
REDLLM_EMU_LEAST_AND_GREATEST(int)
REDLLM_EMU_LEAST_AND_GREATEST(unsigned)
REDLLM_EMU_LEAST_AND_GREATEST(long)
REDLLM_EMU_LEAST_AND_GREATEST(unsigned long)
REDLLM_EMU_LEAST_AND_GREATEST(long long)
REDLLM_EMU_LEAST_AND_GREATEST(unsigned long long)
#undef REDLLM_EMU_LEAST_AND_GREATEST
// Of a number and a NaN, the number.
inline float min(float a, float b) {
  return std::fmin(a, b);
}
inline float max(float a, float b) {
  return std::fmax(a, b);
}
inline double min(double a, double b) {
  return std::fmin(a, b);
}
inline double max(double a, double b) {
  return std::fmax(a, b);
}
