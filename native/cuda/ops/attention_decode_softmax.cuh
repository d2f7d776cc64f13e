// The running softmax (arXiv 1805.02867) of a tile's 16 rows over a warp's pages: dots to weights, and the weighted
// values so far. With g = lane / 4, t = lane % 4, a lane holds rows g and g + 8; attention_decode_stream.cuh says which
// keys and elements.
#pragma once

#include <math.h>

#include "cuda/ops/attention_decode_plan.cuh"
#include "cuda/ops/attention_decode_rows.cuh"

namespace redllm::cuda::decode {

struct alignas(16) Piece {
  uint32_t pair[4];
};

// Of rows g and g + 8 of the tile.
struct LaneRows {
  int32_t left[2];
  uint32_t keys[2];  // seen from `left` on
  int32_t bias[2];   // where distance 0 is in its head's biases
  int32_t query_index[2];
};

// What follows q K^T. Logits are to base 2: unit * logit.
struct LogitRule {
  bool plain;   // nothing but `unit`
  float unit;   // positive
  float scale;  // before the cap
  float cap;    // 0: none
  bool biased;
};

__device__ __forceinline__ LogitRule logit_rule(const AttentionArgs& a, int segment) {
  const bool biased = segment == 0 && a.bias != nullptr;
  if (a.softcap == 0 && !biased && a.scale > 0) return {true, a.scale * kLog2E, 1, 0, false};
  return {false, 1, a.softcap != 0 ? a.scale / a.softcap : a.scale * kLog2E, a.softcap * kLog2E, biased};
}

// The running softmax of rows g and g + 8, maxima to base 2.
template <int D>
struct Softmax {
  float maximum[2];
  float sum[4];  // as multiply_add leaves it, of weights times one
  float value[D / 64][8][4];

  __device__ __forceinline__ void start() {
    maximum[0] = maximum[1] = -INFINITY;
#pragma unroll
    for (int e = 0; e < 4; ++e) sum[e] = 0;
#pragma unroll
    for (int j = 0; j < D / 64; ++j)
#pragma unroll
      for (int i = 0; i < 8; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) value[j][i][e] = 0;
  }

  // Dots of the page whose first key is `first` to weights, in the layout of multiply_add's left side.
  __device__ __forceinline__ void weigh(const AttentionArgs& a, const LogitRule& rule, const LaneRows& rows,
                                        int32_t first, float (&s)[2][4], uint32_t (&weights)[4]) {
    const int32_t lane_first = first + threadIdx.x % 4 * 2;
    if (!rule.plain) {
#pragma unroll
      for (int n = 0; n < 2; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          float x = s[n][e] * rule.scale;
          if (rule.cap != 0) x = rule.cap * tanh_fast(x);
          if (rule.biased) {
            const int32_t distance = lane_first + n * 8 + e % 2 - rows.query_index[e / 2];
            x = fmaf(a.bias[rows.bias[e / 2] + max(-a.reach, min(distance, a.reach))], kLog2E, x);
          }
          s[n][e] = x;
        }
    }
    bool whole = true;  // all rows see the whole page
#pragma unroll
    for (int r = 0; r < 2; ++r)
      whole = whole && static_cast<uint32_t>(first - rows.left[r]) < rows.keys[r] &&
              static_cast<uint32_t>(first + kPageTokens - 1 - rows.left[r]) < rows.keys[r];
    if (!all_lanes(whole)) {
#pragma unroll
      for (int n = 0; n < 2; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (static_cast<uint32_t>(lane_first + n * 8 + e % 2 - rows.left[e / 2]) >= rows.keys[e / 2])
            s[n][e] = -INFINITY;
    }
    float shift[2], factor[2];
    bool risen = false;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float top = fmaxf(fmaxf(s[0][r * 2], s[0][r * 2 + 1]), fmaxf(s[1][r * 2], s[1][r * 2 + 1]));
      for (int mask = 1; mask < 4; mask *= 2) top = fmaxf(top, shuffle_xor(top, mask));
      top = fmaxf(top * rule.unit, maximum[r]);
      shift[r] = top == -INFINITY ? 0.0f : top;
      factor[r] = exp2_fast(maximum[r] - shift[r]);
      risen = risen || top != maximum[r];
      maximum[r] = top;
    }
    // Multiplying by one changes nothing: a row that has not risen cannot tell whether another of its warp has.
    if (any_lane(risen)) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sum[e] *= factor[e / 2];
#pragma unroll
      for (int j = 0; j < D / 64; ++j)
#pragma unroll
        for (int i = 0; i < 8; ++i)
#pragma unroll
          for (int e = 0; e < 4; ++e) value[j][i][e] *= factor[e / 2];
    }
#pragma unroll
    for (int n = 0; n < 2; ++n)
#pragma unroll
      for (int r = 0; r < 2; ++r)
        weights[n * 2 + r] = pack_bf16(exp2_fast(fmaf(s[n][r * 2], rule.unit, -shift[r])),
                                       exp2_fast(fmaf(s[n][r * 2 + 1], rule.unit, -shift[r])));
    // The sum is of the rounded weights: what is divided by is what the values were multiplied by.
    constexpr uint32_t kOnes = 0x3f803f80;
    multiply_add(sum, weights, kOnes, kOnes);
  }

  __device__ __forceinline__ void add_values(const Piece* half, const uint32_t (&weights)[4]) {
    const Piece* from = half + threadIdx.x % kWarp;
#pragma unroll
    for (int j = 0; j < D / 64; ++j) {
      const Piece a = from[j * 4 * kWarp], b = from[(j * 4 + 1) * kWarp], c = from[(j * 4 + 2) * kWarp],
                  d = from[(j * 4 + 3) * kWarp];
#pragma unroll
      for (int w = 0; w < 4; ++w) {
        multiply_add(value[j][w * 2], weights, low_halves(a.pair[w], b.pair[w]), low_halves(c.pair[w], d.pair[w]));
        multiply_add(value[j][w * 2 + 1], weights, high_halves(a.pair[w], b.pair[w]),
                     high_halves(c.pair[w], d.pair[w]));
      }
    }
  }

  // To shared memory: [row][D], in pieces at value_place(), maxima and sums by row. All lanes have read what was there.
  __device__ __forceinline__ void store(float4* values, float* maxima, float* sums, int rows) const {
    const int lane = threadIdx.x % kWarp, t = lane % 4;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = lane / 4 + r * 8;
      if (row >= rows) continue;
      if (t == 0) maxima[row] = maximum[r], sums[row] = sum[r * 2];
#pragma unroll
      for (int j = 0; j < D / 64; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e)
#pragma unroll
          for (int i = 0; i < 8; i += 4) {
            const int of = r * 2 + e;
            values[value_place<D>(row, j * 16 + t * 4 + e * 2 + i / 4)] = {value[j][i][of], value[j][i + 1][of],
                                                                           value[j][i + 2][of], value[j][i + 3][of]};
          }
    }
  }
};

}  // namespace redllm::cuda::decode
