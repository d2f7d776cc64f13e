// What the machine could do at most, measured beside the kernels: multiply-adds on registers alone, and reads of memory alone.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace redllm::bench {

// One short run of multiply-adds into 24 registers: FLOP. `type`: of the factors; the sums are f32.
enum class Peak { f32_avx2, f32_avx512, bf16_avx512 };

#if defined(__x86_64__)
constexpr int64_t kPeakSteps = 200000;

__attribute__((target("avx2,fma"))) inline double peak_f32_avx2() {
  __m256 c[12];
  for (__m256& v : c) v = _mm256_setzero_ps();
  const __m256 a = _mm256_set1_ps(1e-3f);
  for (int64_t i = 0; i < kPeakSteps; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; ++j) c[j] = _mm256_fmadd_ps(a, a, c[j]);
  }
  for (const __m256& v : c) asm volatile("" ::"x"(v));
  return double(kPeakSteps) * 12 * 16;
}

__attribute__((target("avx512f"))) inline double peak_f32_avx512() {
  __m512 c[24];
  for (__m512& v : c) v = _mm512_setzero_ps();
  const __m512 a = _mm512_set1_ps(1e-3f);
  for (int64_t i = 0; i < kPeakSteps; ++i) {
#pragma GCC unroll 24
    for (int j = 0; j < 24; ++j) c[j] = _mm512_fmadd_ps(a, a, c[j]);
  }
  for (const __m512& v : c) asm volatile("" ::"v"(v));
  return double(kPeakSteps) * 24 * 32;
}

__attribute__((target("avx512f,avx512bf16"))) inline double peak_bf16_avx512() {
  __m512 c[24];
  for (__m512& v : c) v = _mm512_setzero_ps();
  const __m512bh a = (__m512bh)_mm512_set1_epi32(0x3a833a83);
  for (int64_t i = 0; i < kPeakSteps; ++i) {
#pragma GCC unroll 24
    for (int j = 0; j < 24; ++j) c[j] = _mm512_dpbf16_ps(c[j], a, a);
  }
  for (const __m512& v : c) asm volatile("" ::"v"(v));
  return double(kPeakSteps) * 24 * 64;
}

inline double run_peak(Peak peak) {
  switch (peak) {
    case Peak::f32_avx2:
      return peak_f32_avx2();
    case Peak::f32_avx512:
      return peak_f32_avx512();
    case Peak::bf16_avx512:
      return peak_bf16_avx512();
  }
  return 0;
}
#else
inline double run_peak(Peak) {
  return 0;
}
#endif

}  // namespace redllm::bench
