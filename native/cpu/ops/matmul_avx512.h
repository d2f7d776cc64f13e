// Micro-kernels of the packed product for AVX-512 with BF16. The contract is in matmul_plain.h.
#pragma once

#include <immintrin.h>

#include "cpu/isa.h"
#include "cpu/ops/matmul_ahead.h"
#include "cpu/packed_layout.h"

namespace REDLLM_ISA_NAMESPACE {
namespace {

constexpr int kTileRows = 14;  // 28 accumulators, two vectors of the panel, one broadcast: 31 of 32 registers
constexpr bool kPairs = true;  // a bf16 row's element is a pair, as vdpbf16ps takes it

template <bool kBf16>
inline __m512 multiply_add(__m512 c, __m512 x, __m512 w) {
  if constexpr (kBf16)
    return _mm512_dpbf16_ps(c, (__m512bh)_mm512_castps_si512(x), (__m512bh)_mm512_castps_si512(w));
  else
    return _mm512_fmadd_ps(x, w, c);
}

template <int R, bool kBf16>
void tile(const float* a, const char* b, int64_t steps, float* acc, bool carry, Ahead ahead) {
  __m512 c0[R], c1[R];
#pragma GCC unroll 14
  for (int r = 0; r < R; ++r) {
    c0[r] = carry ? _mm512_loadu_ps(acc + r * kPanelColumns) : _mm512_setzero_ps();
    c1[r] = carry ? _mm512_loadu_ps(acc + r * kPanelColumns + 16) : _mm512_setzero_ps();
  }
  for (int64_t s = 0; s < steps; ++s) {
    const __m512 w0 = _mm512_loadu_ps(b);
    const __m512 w1 = _mm512_loadu_ps(b + 64);
    ahead.fetch();
#pragma GCC unroll 14
    for (int r = 0; r < R; ++r) {
      const __m512 x = _mm512_set1_ps(a[r]);
      c0[r] = multiply_add<kBf16>(c0[r], x, w0);
      c1[r] = multiply_add<kBf16>(c1[r], x, w1);
    }
    a += R;
    b += kStepBytes;
  }
#pragma GCC unroll 14
  for (int r = 0; r < R; ++r) {
    _mm512_storeu_ps(acc + r * kPanelColumns, c0[r]);
    _mm512_storeu_ps(acc + r * kPanelColumns + 16, c1[r]);
  }
}

}  // namespace
}  // namespace REDLLM_ISA_NAMESPACE
