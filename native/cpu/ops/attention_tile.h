// The inner products of attention: a tile of R queries against pages of keys and of values.
//
// The bits of a query's result do not depend on R, nor on how many pages a call takes: a score is one accumulator over head_dim, an
// output element one accumulator over keys, both ascending. R and the number of vectors only fill the registers: enough
// accumulators to hide the latency of an fma, each loaded operand used several times.
#pragma once

#include "cpu/ops/simd.h"
#include "cpu/page_layout.h"
#include "ops.h"

namespace REDLLM_ISA_NAMESPACE {

constexpr int32_t kBlockPages = 8;  // pages that share one update of a query's running maximum
constexpr int32_t kBlockKeys = kBlockPages * kPageTokens;
constexpr int32_t kPageVectors = kPageTokens / kLanes;
constexpr int32_t kAccumulators = kLanes == 16 ? 16 : 8;  // of 32 or 16 registers
constexpr int32_t kTileRows = kLanes == 16 ? 8 : kLanes == 8 ? 4 : 2;

// Few rows wait for memory, and a page is too short for the processor to foresee the next: the scores of a block fetch its values,
// and its values the keys of the block after it.
template <int R>
constexpr bool fetches_ahead() {
  return R <= 4;
}

constexpr int32_t kLine = 64;  // bytes of a cache line

// While row d of K is read, [kPageTokens] elements a page: the line at the same place of V, each line once.
template <int P, typename T>
inline void fetch_values(const T* const* values, int32_t d) {
  constexpr int32_t line = kLine / sizeof(T), rows = line / kPageTokens;  // rows that share a line
  constexpr int32_t pages = P < rows ? 1 : P / rows;
  for (int32_t n = 0; n < pages; ++n) __builtin_prefetch(values[P < rows ? 0 : n * rows + d % rows] + d / rows * line);
}

// s[r][key] = q_r . k_key for the keys of P pages. q: [head_dim][R]. keys: K of each page. s: [R][kBlockKeys].
template <int R, int P, typename T>
inline void score_pages(const float* q, int32_t head_dim, const T* const* keys, const T* const* values, float* s) {
  constexpr int N = P * kPageVectors;
  vf sum[R][N];
  for (int r = 0; r < R; ++r)
    for (int n = 0; n < N; ++n) sum[r][n] = splat(0);
  for (int32_t d = 0; d < head_dim; ++d) {
    if constexpr (fetches_ahead<R>()) fetch_values<P>(values, d);
    vf k[N];
    for (int n = 0; n < N; ++n) k[n] = load(keys[n / kPageVectors] + d * kPageTokens + n % kPageVectors * kLanes);
    for (int r = 0; r < R; ++r) {
      const vf factor = splat(q[d * R + r]);
      for (int n = 0; n < N; ++n) sum[r][n] = fma(factor, k[n], sum[r][n]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int n = 0; n < N; ++n) store(s + r * kBlockKeys + n * kLanes, sum[r][n]);
}

// The same for pages [first, last) of a block, as many at a time as the registers hold.
template <int R, int P, typename T>
inline void score_block(const float* q, int32_t head_dim, const T* const* keys, const T* const* values, int32_t first,
                        int32_t last, float* s) {
  for (; first + P <= last; first += P)
    score_pages<R, P>(q, head_dim, keys + first, values + first, s + first * kPageTokens);
  if constexpr (P > 1) score_block<R, P / 2>(q, head_dim, keys, values, first, last, s);
}

template <int R>
constexpr int score_width() {
  constexpr int pages = kAccumulators / (R * kPageVectors);
  return pages < 1 ? 1 : pages > kBlockPages ? kBlockPages : pages;
}

// o[r][d] += sum over keys first <= j < last of p[r][j] v[j][d], for N vectors of d. values: V of each page of the block.
// next: what will be read after it, as much as its values.
template <int R, int N, typename T>
inline void weigh_vectors(const float* p, const T* const* values, const T* const* next, int32_t first, int32_t last,
                          int64_t width, float* o) {
  vf sum[R][N];
  for (int r = 0; r < R; ++r)
    for (int n = 0; n < N; ++n) sum[r][n] = load(o + r * width + n * kLanes);
  while (first < last) {
    const int32_t page = first / kPageTokens, end = (page + 1) * kPageTokens;
    const int32_t stop = end < last ? end : last;
    int64_t at = (first - page * kPageTokens) * width;
    for (; first < stop; ++first, at += width) {
      if constexpr (fetches_ahead<R>())
        for (int n = 0; n < N; n += kLine / sizeof(T) / kLanes) __builtin_prefetch(next[page] + at + n * kLanes);
      vf row[N];
      for (int n = 0; n < N; ++n) row[n] = load(values[page] + at + n * kLanes);
      for (int r = 0; r < R; ++r) {
        const vf weight = splat(p[r * kBlockKeys + first]);
        for (int n = 0; n < N; ++n) sum[r][n] = fma(weight, row[n], sum[r][n]);
      }
    }
  }
  for (int r = 0; r < R; ++r)
    for (int n = 0; n < N; ++n) store(o + r * width + n * kLanes, sum[r][n]);
}

// The same over the whole width, from element `d` on.
template <int R, int N, typename T>
inline void weigh_from(const float* p, const T* const* values, const T* const* next, int32_t first, int32_t last,
                       int64_t width, int64_t d, float* o) {
  for (; d + N * kLanes <= width; d += N * kLanes) {
    const T *moved[kBlockPages], *moved_next[kBlockPages];
    for (int32_t page = first / kPageTokens; page * kPageTokens < last; ++page) {
      moved[page] = values[page] + d;
      moved_next[page] = next[page] + d;
    }
    weigh_vectors<R, N>(p, moved, moved_next, first, last, width, o + d);
  }
  if constexpr (N > 1) weigh_from<R, N / 2>(p, values, next, first, last, width, d, o);
}

template <int R, typename T>
inline void weigh_block(const float* p, const T* const* values, const T* const* next, int32_t first, int32_t last,
                        int64_t width, float* o) {
  constexpr int N = kAccumulators / R > 8 ? 8 : kAccumulators / R;
  if (first < last) weigh_from<R, N>(p, values, next, first, last, width, 0, o);
}

}  // namespace REDLLM_ISA_NAMESPACE
