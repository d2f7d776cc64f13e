// 8 lanes of AVX2 with FMA. Included by simd.h, which says what each function does.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/isa.h"

namespace REDLLM_ISA_NAMESPACE {

constexpr int32_t kLanes = 8;
using vf = __m256;

inline __m256i lane_below(int32_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline vf splat(float x) {
  return _mm256_set1_ps(x);
}
inline vf load(const float* p) {
  return _mm256_loadu_ps(p);
}
inline void store(float* p, vf x) {
  _mm256_storeu_ps(p, x);
}
inline vf load_first(const float* p, int32_t n) {
  return _mm256_maskload_ps(p, lane_below(n));
}
inline void store_first(float* p, vf x, int32_t n) {
  _mm256_maskstore_ps(p, lane_below(n), x);
}

inline vf load(const bf16* p) {
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
inline __m128i round_to_bf16(vf x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i high = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
}
inline void store(bf16* p, vf x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), round_to_bf16(x));
}
inline void store_first(bf16* p, vf x, int32_t n) {
  alignas(16) bf16 lanes[kLanes];
  store(lanes, x);
  for (int32_t i = 0; i < n; ++i) p[i] = lanes[i];
}

inline vf add(vf a, vf b) {
  return _mm256_add_ps(a, b);
}
inline vf sub(vf a, vf b) {
  return _mm256_sub_ps(a, b);
}
inline vf mul(vf a, vf b) {
  return _mm256_mul_ps(a, b);
}
inline vf div(vf a, vf b) {
  return _mm256_div_ps(a, b);
}
inline vf fma(vf a, vf b, vf c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline vf max(vf a, vf b) {
  return _mm256_max_ps(a, b);
}
inline vf min(vf a, vf b) {
  return _mm256_min_ps(a, b);
}
inline vf absolute(vf x) {
  return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}
inline vf with_sign_of(vf x, vf sign) {
  return _mm256_or_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), x), _mm256_and_ps(sign, _mm256_set1_ps(-0.0f)));
}
inline vf power_of_2(vf biased) {
  return _mm256_castsi256_ps(
      _mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(biased), 23), _mm256_set1_epi32(0x3f800000)));
}

inline vf if_less(vf a, vf b, vf yes, vf no) {
  return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
inline vf if_nan(vf x, vf yes) {
  return _mm256_blendv_ps(x, yes, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}
inline int32_t count_greater(vf a, vf b) {
  return __builtin_popcount(static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ))));
}
inline int32_t store_not_less(float* p, vf x, vf least) {
  uint32_t keep = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(x, least, _CMP_GE_OQ)));
  alignas(32) float lanes[kLanes];
  _mm256_store_ps(lanes, x);
  int32_t count = 0;
  for (; keep != 0; keep &= keep - 1) p[count++] = lanes[__builtin_ctz(keep)];
  return count;
}
inline vf keep_range(vf x, vf fill, int32_t first, int32_t last) {
  const __m256i keep = _mm256_andnot_si256(lane_below(first), lane_below(last));
  return _mm256_blendv_ps(fill, x, _mm256_castsi256_ps(keep));
}

inline float reduce_add(vf x) {
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
inline float reduce_max(vf x) {
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

}  // namespace REDLLM_ISA_NAMESPACE
