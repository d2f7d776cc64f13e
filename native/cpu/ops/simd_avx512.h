// 16 lanes of AVX-512 (F, BW, VL, DQ). Included by simd.h, which says what each function does.
#pragma once

// GCC 12 takes the undefined lanes inside its own intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <cstdint>

#include "cpu/isa.h"

namespace REDLLM_ISA_NAMESPACE {

constexpr int32_t kLanes = 16;
using vf = __m512;

inline vf splat(float x) {
  return _mm512_set1_ps(x);
}
inline vf load(const float* p) {
  return _mm512_loadu_ps(p);
}
inline void store(float* p, vf x) {
  _mm512_storeu_ps(p, x);
}
inline vf load_first(const float* p, int32_t n) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
}
inline void store_first(float* p, vf x, int32_t n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), x);
}

inline vf load(const bf16* p) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
inline __m256i round_to_bf16(vf x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_blend_epi32(nan, rounded, quiet), 16));
}
inline void store(bf16* p, vf x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), round_to_bf16(x));
}
inline void store_first(bf16* p, vf x, int32_t n) {
  _mm256_mask_storeu_epi16(p, static_cast<__mmask16>((1u << n) - 1), round_to_bf16(x));
}

inline vf add(vf a, vf b) {
  return _mm512_add_ps(a, b);
}
inline vf sub(vf a, vf b) {
  return _mm512_sub_ps(a, b);
}
inline vf mul(vf a, vf b) {
  return _mm512_mul_ps(a, b);
}
inline vf div(vf a, vf b) {
  return _mm512_div_ps(a, b);
}
inline vf fma(vf a, vf b, vf c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline vf max(vf a, vf b) {
  return _mm512_max_ps(a, b);
}
inline vf min(vf a, vf b) {
  return _mm512_min_ps(a, b);
}
inline vf absolute(vf x) {
  return _mm512_abs_ps(x);
}
inline vf with_sign_of(vf x, vf sign) {
  return _mm512_or_ps(_mm512_andnot_ps(_mm512_set1_ps(-0.0f), x), _mm512_and_ps(sign, _mm512_set1_ps(-0.0f)));
}
inline vf power_of_2(vf biased) {
  return _mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(biased), 23), _mm512_set1_epi32(0x3f800000)));
}

inline vf if_less(vf a, vf b, vf yes, vf no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
inline vf if_nan(vf x, vf yes) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x, yes);
}
inline int32_t count_greater(vf a, vf b) {
  return __builtin_popcount(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ));
}
inline int32_t store_not_less(float* p, vf x, vf least) {
  const __mmask16 keep = _mm512_cmp_ps_mask(x, least, _CMP_GE_OQ);
  _mm512_storeu_ps(p, _mm512_maskz_compress_ps(keep, x));
  return __builtin_popcount(keep);
}
inline vf keep_range(vf x, vf fill, int32_t first, int32_t last) {
  const uint32_t below = first <= 0 ? 0u : first >= 16 ? 0xffffu : (1u << first) - 1;
  const uint32_t upto = last <= 0 ? 0u : last >= 16 ? 0xffffu : (1u << last) - 1;
  return _mm512_mask_blend_ps(static_cast<__mmask16>(upto & ~below), fill, x);
}

inline float reduce_add(vf x) {
  const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
inline float reduce_max(vf x) {
  const __m256 a = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

}  // namespace REDLLM_ISA_NAMESPACE
