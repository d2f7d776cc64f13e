// How the sampler reads a row of logits and adds probabilities up. A probability relative to the most probable token's is a whole number
// of 2^-44 (a vocabulary of 2^19 fits 64 bits), so a sum has one value whatever the order, and atomics may make it.
#pragma once

#include <cfloat>

#include "cuda/ops/four.cuh"
#include "cuda/ops/warp.cuh"

namespace redllm::cuda {

constexpr float kLogitMax = FLT_MAX;
constexpr uint32_t kInfiniteBits = 0x7f800000;
constexpr double kMassUnit = 0x1p-44;
constexpr int32_t kChunk = 4 * kWarp;  // tokens that a warp reads at once

// A NaN counts as -infinity, +infinity as the greatest finite number, so that differences are never NaN; -0 as 0.
__device__ __forceinline__ float cleaned(float x) {
  return x != x ? -float_of_bits(kInfiniteBits) : min(x, kLogitMax) + 0.0f;
}
__device__ __forceinline__ bool is_banned(float x) {
  return x == -float_of_bits(kInfiniteBits);
}

// Whole numbers in the order of the (cleaned) floats.
__device__ __forceinline__ uint32_t ordered(float x) {
  const uint32_t bits = bits_of_float(x);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float unordered(uint32_t order) {
  return float_of_bits(order >> 31 ? order & 0x7fffffffu : ~order);
}

// How far a logit lies below the greatest, as the bits of a float >= 0: whole numbers in the order of the floats, and fine where it is
// near. kInfiniteBits: banned.
__device__ __forceinline__ uint32_t key_of(float top, float x) {
  return bits_of_float(top - x);
}

// 2^(-distance * scale) in units of kMassUnit, rounded down; by 12 and 32 bits, since conversions to 64 bits are slow.
__device__ __forceinline__ uint64_t mass_of(uint32_t key, float scale) {
  const float p = 4096.0f * (key == 0 ? 1.0f : exp2_fast(-float_of_bits(key) * scale));
  const uint32_t high = static_cast<uint32_t>(p);
  const uint32_t low = static_cast<uint32_t>((p - static_cast<float>(high)) * 0x1p32f);
  return static_cast<uint64_t>(high) << 32 | low;
}

// Tokens [i, i + 4) of a row, -infinity from `end` on.
__device__ __forceinline__ void load_logits(float (&x)[4], const float* row, int32_t i, int32_t end, bool vector) {
  if (vector) {
    const float banned = -float_of_bits(kInfiniteBits);
    float4 v = make_float4(banned, banned, banned, banned);
    if (i < end) v = *reinterpret_cast<const float4*>(row + i);
    x[0] = cleaned(v.x), x[1] = cleaned(v.y), x[2] = cleaned(v.z), x[3] = cleaned(v.w);
    return;
  }
  for (int j = 0; j < 4; ++j) x[j] = i + j < end ? cleaned(row[i + j]) : -float_of_bits(kInfiniteBits);
}

// ---- what is asked of a row -------------------------------------------------------------------------------------------------

__device__ __forceinline__ bool penalised(const SampleArgs& a, int64_t row) {
  return a.forced[row] < 0 && a.slot[row] >= 0 &&
         (a.repetition[row] != 1 || a.presence[row] != 0 || a.frequency[row] != 0);
}
__device__ __forceinline__ bool biased(const SampleArgs& a, int64_t row) {
  return a.bias_start[row] < a.bias_start[row + 1];
}
__device__ __forceinline__ bool listed(const SampleArgs& a, int64_t row) {
  return a.allow_start[row] < a.allow_start[row + 1];
}
// Whether a row's logits are written anew.
__device__ __forceinline__ bool altered(const SampleArgs& a, int64_t row) {
  return penalised(a, row) || biased(a, row) || listed(a, row);
}

__device__ __forceinline__ bool drawn(const SampleArgs& a, int64_t row) {
  return a.forced[row] < 0 && a.temperature[row] > 0;
}
// Whether top-k or min-p leave tokens out.
__device__ __forceinline__ bool bounded(const SampleArgs& a, int64_t row) {
  return a.min_p[row] > 0 || (a.top_k[row] > 0 && a.top_k[row] < a.logits.cols);
}

// ---- what is read of it ------------------------------------------------------------------------------------------------------

// Logits of a row, and of each chunk of them the greatest: what no token of a chunk can matter for is not read.
struct Row {
  const float* logits;
  const float* tops;  // [chunks]
  int32_t vocabulary;
  int32_t chunks;
  bool vector;  // rows begin at multiples of 16 bytes
};

// By a warp: visit(token, logit) for all tokens of those among chunks begin, begin + step, ... < end whose greatest logit is wanted.
template <typename Wanted, typename Visit>
__device__ __forceinline__ void visit_chunks(const Row& row, int32_t begin, int32_t end, int32_t step,
                                             const Wanted& wanted, const Visit& visit) {
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % kWarp;
  for (int32_t base = begin; base < end; base += kWarp * step) {
    const int32_t mine = base + lane * step;
    uint32_t left = ballot(mine < end && wanted(row.tops[mine]));
    while (left != 0) {
      int32_t i[2];
      float x[2][4];
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int32_t chunk = base + (__ffs(static_cast<int>(left)) - 1) * step;
        i[j] = left != 0 ? chunk * kChunk + 4 * lane : row.vocabulary;
        left &= left - 1;
        load_logits(x[j], row.logits, i[j], row.vocabulary, row.vector);
      }
#pragma unroll
      for (int j = 0; j < 2; ++j) {
#pragma unroll
        for (int k = 0; k < 4; ++k)
          if (i[j] + k < row.vocabulary) visit(i[j] + k, x[j][k]);
      }
    }
  }
}
// By a block, over the whole row.
template <typename Wanted, typename Visit>
__device__ __forceinline__ void visit_row(const Row& row, const Wanted& wanted, const Visit& visit) {
  visit_chunks(row, static_cast<int32_t>(threadIdx.x) / kWarp, row.chunks, static_cast<int32_t>(blockDim.x) / kWarp,
               wanted, visit);
}

}  // namespace redllm::cuda
