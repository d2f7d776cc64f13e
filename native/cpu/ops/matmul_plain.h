// Micro-kernels of the packed product without any instruction set assumed: vectors of four, multiply and add.
//
// Contract of every tile kernel (this file and its siblings): acc[r][0..32) (+)= the products of R rows and one panel over
// `steps` steps. Each element of acc is one accumulator that takes k in ascending order, so cutting K into calls (`carry`:
// go on from acc, else from zero), R, and the place of a row change no bit. a: the rows interleaved, [step][kElements][R];
// b: the panel at its first step.
#pragma once

#include "cpu/isa.h"
#include "cpu/ops/matmul_ahead.h"
#include "cpu/packed_layout.h"

namespace REDLLM_ISA_NAMESPACE {
namespace {

constexpr int kTileRows = 4;
constexpr bool kPairs = false;  // bf16 rows are expanded to f32 when they are interleaved: two elements a step

typedef float Float4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint32_t Word4 __attribute__((vector_size(16), aligned(4), may_alias));

// The columns [column, column + 4 V) of the panel, all of whose accumulators fit into 16 registers.
template <int R, int V, bool kBf16, bool kFetch>
inline void strip(const float* a, const char* b, int64_t steps, float* acc, bool carry, Ahead& ahead) {
  Float4 c[R][V];
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v)
      c[r][v] = carry ? *reinterpret_cast<const Float4*>(acc + r * kPanelColumns + v * 4) : Float4{0, 0, 0, 0};
  for (int64_t s = 0; s < steps; ++s) {
    if (kFetch) ahead.fetch();
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      if constexpr (kBf16) {
        const Word4 pair = *reinterpret_cast<const Word4*>(b + v * 16);
        const Float4 even = reinterpret_cast<Float4>(pair << 16);
        const Float4 odd = reinterpret_cast<Float4>(pair & 0xffff0000u);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
          c[r][v] = c[r][v] + even * a[r];
          c[r][v] = c[r][v] + odd * a[R + r];
        }
      } else {
        const Float4 w = *reinterpret_cast<const Float4*>(b + v * 16);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) c[r][v] = c[r][v] + w * a[r];
      }
    }
    a += kBf16 ? 2 * R : R;
    b += kStepBytes;
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) *reinterpret_cast<Float4*>(acc + r * kPanelColumns + v * 4) = c[r][v];
}

template <int R, bool kBf16>
void tile(const float* a, const char* b, int64_t steps, float* acc, bool carry, Ahead ahead) {
  constexpr int kVectors = R == 1 ? 8 : R == 2 ? 4 : 2;
  constexpr int64_t kPassSteps =
      64;  // the strips take turns while these 8 KB of the panel are in the first-level cache
  for (int64_t s = 0; s < steps; s += kPassSteps) {
    const int64_t count = steps - s < kPassSteps ? steps - s : kPassSteps;
    strip<R, kVectors, kBf16, true>(a, b, count, acc, carry || s > 0, ahead);
    for (int v = kVectors; v < 8; v += kVectors)
      strip<R, kVectors, kBf16, false>(a, b + v * 16, count, acc + v * 4, carry || s > 0, ahead);
    a += count * R * (kBf16 ? 2 : 1);
    b += count * kStepBytes;
  }
}

}  // namespace
}  // namespace REDLLM_ISA_NAMESPACE
