// What the machine could do at most, measured beside the kernels: multiply-adds on registers alone, and reads of memory alone.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace redllm::bench {

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Seconds from when all threads have started body(thread) to when the last has ended.
inline double time_threads(int32_t threads, const std::function<void(int32_t)>& body) {
  std::atomic<int32_t> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> others;
  for (int32_t t = 1; t < threads; ++t)
    others.emplace_back([&, t] {
      ++ready;
      while (!go) {
      }
      body(t);
    });
  while (ready < threads - 1) {
  }
  const double start = now();
  go = true;
  body(0);
  for (std::thread& other : others) other.join();
  return now() - start;
}

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

// Reads `bytes` from `data`, a multiple of 256, and returns something that depends on all of it.
#if defined(__x86_64__)
__attribute__((target("avx2")))
#endif
inline uint64_t read_all(const char* data, int64_t bytes) {
  typedef uint64_t Words __attribute__((vector_size(32)));
  Words sum[8] = {};
  for (int64_t i = 0; i < bytes; i += 256)
    for (int j = 0; j < 8; ++j) sum[j] ^= *reinterpret_cast<const Words*>(data + i + j * 32);
  for (int j = 1; j < 8; ++j) sum[0] ^= sum[j];
  return sum[0][0] ^ sum[0][1] ^ sum[0][2] ^ sum[0][3];
}

}  // namespace redllm::bench
