// 4 lanes by the vector extension of GCC and Clang: SSE2, NEON or scalar code, whatever the target has. A product and a sum round
// separately here: a true fma would be a library call on most of these machines. Included by simd.h, which says what each
// function does.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace REDLLM_ISA_NAMESPACE {

constexpr int32_t kLanes = 4;
using vf = float __attribute__((vector_size(16)));
using vi = int32_t __attribute__((vector_size(16)));

inline vf as_float(vi x) {
  return reinterpret_cast<vf>(x);
}
inline vi as_int(vf x) {
  return reinterpret_cast<vi>(x);
}
inline vf blend(vi mask, vf yes, vf no) {
  return as_float((mask & as_int(yes)) | (~mask & as_int(no)));
}

inline vf splat(float x) {
  return vf{x, x, x, x};
}
inline vf load(const float* p) {
  vf x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
inline void store(float* p, vf x) {
  __builtin_memcpy(p, &x, sizeof x);
}
inline vf load_first(const float* p, int32_t n) {
  vf x = splat(0);
  for (int32_t i = 0; i < n; ++i) x[i] = p[i];
  return x;
}
inline void store_first(float* p, vf x, int32_t n) {
  for (int32_t i = 0; i < n; ++i) p[i] = x[i];
}

inline vf load(const bf16* p) {
  const vi bits = {p[0].bits, p[1].bits, p[2].bits, p[3].bits};
  return as_float(bits << 16);
}
inline void store_first(bf16* p, vf x, int32_t n) {
  const vi bits = as_int(x);
  // Unsigned, since a negative zero plus the rounding term would overflow a signed lane.
  using vu = uint32_t __attribute__((vector_size(16)));
  const vu u = reinterpret_cast<vu>(bits);
  const vu rounded = u + 0x7fffu + ((u >> 16) & 1u);
  const vf picked = blend(x != x, as_float(bits | 0x400000), reinterpret_cast<vf>(rounded));
  for (int32_t i = 0; i < n; ++i) p[i].bits = static_cast<uint16_t>(reinterpret_cast<vu>(picked)[i] >> 16);
}
inline void store(bf16* p, vf x) {
  store_first(p, x, kLanes);
}

inline vf add(vf a, vf b) {
  return a + b;
}
inline vf sub(vf a, vf b) {
  return a - b;
}
inline vf mul(vf a, vf b) {
  return a * b;
}
inline vf div(vf a, vf b) {
  return a / b;
}
inline vf fma(vf a, vf b, vf c) {
  return a * b + c;
}
inline vf max(vf a, vf b) {
  return blend(a > b, a, b);
}
inline vf min(vf a, vf b) {
  return blend(a < b, a, b);
}
inline vf absolute(vf x) {
  return as_float(as_int(x) & 0x7fffffff);
}
inline vf with_sign_of(vf x, vf sign) {
  return as_float((as_int(x) & 0x7fffffff) | (as_int(sign) & INT32_MIN));
}
inline vf power_of_2(vf biased) {
  return as_float((as_int(biased) << 23) + 0x3f800000);
}

inline vf if_less(vf a, vf b, vf yes, vf no) {
  return blend(a < b, yes, no);
}
inline vf if_nan(vf x, vf yes) {
  return blend(x != x, yes, x);
}
inline int32_t count_greater(vf a, vf b) {
  const vi greater = a > b;
  return -(greater[0] + greater[1] + greater[2] + greater[3]);
}
inline int32_t store_not_less(float* p, vf x, vf least) {
  const vi keep = x >= least;
  int32_t count = 0;
  for (int32_t i = 0; i < kLanes; ++i) {
    p[count] = x[i];
    count -= keep[i];
  }
  return count;
}
inline vf keep_range(vf x, vf fill, int32_t first, int32_t last) {
  const vi lane = {0, 1, 2, 3};
  return blend((lane >= first) & (lane < last), x, fill);
}

inline float reduce_add(vf x) {
  return (x[0] + x[2]) + (x[1] + x[3]);
}
inline float reduce_max(vf x) {
  const float a = x[0] > x[2] ? x[0] : x[2], b = x[1] > x[3] ? x[1] : x[3];
  return a > b ? a : b;
}

}  // namespace REDLLM_ISA_NAMESPACE
