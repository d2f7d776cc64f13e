// Micro-kernels of the packed product for AVX2 with FMA. The contract is in matmul_plain.h.
#pragma once

#include <immintrin.h>

#include "cpu/isa.h"
#include "cpu/ops/matmul_ahead.h"
#include "cpu/packed_layout.h"

namespace REDLLM_ISA_NAMESPACE {
namespace {

constexpr int kTileRows = 6;
constexpr bool kPairs = false;  // bf16 rows are expanded to f32 when they are interleaved: two elements a step

// c += x w, in c's own register: left to itself GCC 12 lets the sum take the broadcast's, runs out and spills accumulators
// in the loop.
inline void multiply_add(__m256& c, __m256 x, __m256 w) {
  asm("vfmadd231ps %2, %1, %0" : "+x"(c) : "x"(x), "x"(w));
}

// V vectors of eight columns. 6 x 2 accumulators leave four of the 16 registers for the panel and a broadcast.
template <int R, int V, bool kBf16, bool kFetch>
inline void strip(const float* a, const char* b, int64_t steps, float* acc, bool carry, Ahead& ahead) {
  __m256 c[R][V];
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v)
      c[r][v] = carry ? _mm256_loadu_ps(acc + r * kPanelColumns + v * 8) : _mm256_setzero_ps();
  const __m256 upper = _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(0xffff0000u)));
  for (int64_t s = 0; s < steps; ++s) {
    if (kFetch) ahead.fetch();
    __m256 w[V];
    if constexpr (kBf16) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v)
        w[v] = _mm256_castsi256_ps(
            _mm256_slli_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + v * 32)), 16));
#pragma GCC unroll 6
      for (int r = 0; r < R; ++r) {
        const __m256 x = _mm256_broadcast_ss(a + r);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) multiply_add(c[r][v], x, w[v]);
      }
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v)
        w[v] = _mm256_and_ps(_mm256_loadu_ps(reinterpret_cast<const float*>(b + v * 32)), upper);
      a += R;
    } else {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) w[v] = _mm256_loadu_ps(reinterpret_cast<const float*>(b + v * 32));
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const __m256 x = _mm256_broadcast_ss(a + r);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) multiply_add(c[r][v], x, w[v]);
    }
    a += R;
    b += kStepBytes;
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) _mm256_storeu_ps(acc + r * kPanelColumns + v * 8, c[r][v]);
}

template <int R, bool kBf16>
void tile(const float* a, const char* b, int64_t steps, float* acc, bool carry, Ahead ahead) {
  constexpr int kVectors = R <= 2 ? 4 : 2;
  constexpr int64_t kPassSteps =
      64;  // the strips take turns while these 8 KB of the panel are in the first-level cache
  for (int64_t s = 0; s < steps; s += kPassSteps) {
    const int64_t count = steps - s < kPassSteps ? steps - s : kPassSteps;
    strip<R, kVectors, kBf16, true>(a, b, count, acc, carry || s > 0, ahead);
    for (int v = kVectors; v < 4; v += kVectors)
      strip<R, kVectors, kBf16, false>(a, b + v * 32, count, acc + v * 8, carry || s > 0, ahead);
    a += count * R * (kBf16 ? 2 : 1);
    b += count * kStepBytes;
  }
}

}  // namespace
}  // namespace REDLLM_ISA_NAMESPACE
