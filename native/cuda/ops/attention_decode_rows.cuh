// One row's softmax in parts: joined over the warps of a block, over the chunks of a span and over spans, always in
// ascending order, and written as the row's output. A part that saw nothing weighs nothing, and a part joined alone
// keeps its bits: whether a row's neighbours had more chunks than itself cannot be told from its result.
//
// A partial result in the workspace: the maximum, the sum, and from element kPartialHead on the weighted values,
// head_dim of them. A row's slots: the chunks of the first segment, of the second, the spans of the first, of the
// second.
#pragma once

#include <math.h>

#include "cuda/ops/attention_decode_work.cuh"

namespace redllm::cuda::decode {

constexpr int kPartialHead = 8;  // a whole sector, so that the values start with one

// Held by a warp: element d = lane + 32 i of the row. Logarithms are to base 2.
template <int D>
struct RowPart {
  float maximum;
  float sum;
  float value[D / kWarp];
};

// 2^(maximum - top): what a part's sums are multiplied by where the greatest of all parts is `top`.
__device__ __forceinline__ float part_weight(float maximum, float top) {
  return maximum == -INFINITY ? 0.0f : exp2_fast(maximum - top);
}

// Zeros lose their sign here, since adding them to zero, as joining more parts does, takes it.
template <int D>
__device__ __forceinline__ void settle(RowPart<D>& row) {
  for (int i = 0; i < D / kWarp; ++i) row.value[i] += 0.0f;
}

// Where 16-byte piece `piece` of a row of a warp's values lies in its shared memory, in pieces: spread so that neither
// the fragments' owners nor the readers of a row meet in a bank.
template <int D>
__device__ __forceinline__ int value_place(int row, int piece) {
  return row * (D / 4) + (piece ^ ((piece >> 3 & 1) | (row & 1) << 1));
}

// values: of the block's first warp; from a warp's to the next, `stride` bytes. maxima, sums: [kWarps][kTileRows].
template <int D>
__device__ __forceinline__ RowPart<D> join_warps(const char* values, int stride, const float* maxima, const float* sums,
                                                 int row) {
  RowPart<D> joined = {-INFINITY, 0, {}};
  for (int w = 0; w < kWarps; ++w) joined.maximum = fmaxf(joined.maximum, maxima[w * kTileRows + row]);
  const int lane = threadIdx.x % kWarp;
  for (int w = 0; w < kWarps; ++w) {
    const float weight = part_weight(maxima[w * kTileRows + row], joined.maximum);
    joined.sum = fmaf(weight, sums[w * kTileRows + row], joined.sum);
    const float* from = reinterpret_cast<const float*>(values + w * stride);
#pragma unroll
    for (int i = 0; i < D / kWarp; ++i) {
      const int d = lane + i * kWarp;
      joined.value[i] = fmaf(weight, from[value_place<D>(row, d / 4) * 4 + d % 4], joined.value[i]);
    }
  }
  settle(joined);
  return joined;
}

template <int D>
__device__ __forceinline__ void store_part(const RowPart<D>& row, float* to, int head_dim) {
  const int lane = threadIdx.x % kWarp;
  if (lane == 0) to[0] = row.maximum, to[1] = row.sum;
#pragma unroll
  for (int i = 0; i < D / kWarp; ++i) {
    const int d = lane + i * kWarp;
    if (d < head_dim) to[kPartialHead + d] = row.value[i];
  }
}

// Consecutive slots of a row, and from the `leap`-th of them on, slots further by `jump`: the second segment's.
struct Slots {
  const float* first;
  int64_t stride;
  int32_t count;
  int32_t leap;
  int64_t jump;

  __device__ __forceinline__ const float* at(int32_t i) const { return first + i * stride + (i >= leap ? jump : 0); }
};

// Parts that other blocks have left.
template <int D>
__device__ __forceinline__ RowPart<D> join_slots(const Slots& slots, int head_dim) {
  constexpr int kAhead = 8;  // parts read at a time
  const int lane = threadIdx.x % kWarp;
  RowPart<D> joined = {-INFINITY, 0, {}};
#pragma unroll 1
  for (int32_t base = 0; base < slots.count; base += kAhead) {
    float maximum[kAhead], sum[kAhead], value[kAhead][D / kWarp];
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      const bool there = base + k < slots.count;
      const float* from = slots.at(there ? base + k : 0);
      maximum[k] = there ? load_fresh(from) : -INFINITY;
      sum[k] = there ? load_fresh(from + 1) : 0.0f;
#pragma unroll
      for (int i = 0; i < D / kWarp; ++i) {
        const int d = lane + i * kWarp;
        value[k][i] = there && d < head_dim ? load_fresh(from + kPartialHead + d) : 0.0f;
      }
    }
    if (base == 0) {
      // The greatest of all, while the first parts are on their way.
#pragma unroll 1
      for (int32_t i = lane; i < slots.count; i += kWarp)
        joined.maximum = fmaxf(joined.maximum, load_fresh(slots.at(i)));
      for (int mask = 1; mask < kWarp; mask *= 2)
        joined.maximum = fmaxf(joined.maximum, shuffle_xor(joined.maximum, mask));
    }
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      const float weight = part_weight(maximum[k], joined.maximum);
      joined.sum = fmaf(weight, sum[k], joined.sum);
#pragma unroll
      for (int i = 0; i < D / kWarp; ++i) joined.value[i] = fmaf(weight, value[k][i], joined.value[i]);
    }
  }
  settle(joined);
  return joined;
}

// Divides by the sum, norms and writes; zeros where the row saw nothing.
template <int D>
__device__ __forceinline__ void write_row(const AttentionArgs& a, RowPart<D>& row, int32_t token, int32_t head) {
  const int lane = threadIdx.x % kWarp;
  const float inverse = row.sum == 0 ? 0.0f : 1.0f / row.sum;
  float squares = 0;
#pragma unroll
  for (int i = 0; i < D / kWarp; ++i) {
    row.value[i] *= inverse;
    if (lane + i * kWarp < a.head_dim) squares = fmaf(row.value[i], row.value[i], squares);
  }
  float factor = 1;
  if (a.out_norm.on) {
    for (int mask = 1; mask < kWarp; mask *= 2) squares += shuffle_xor(squares, mask);
    factor = 1.0f / sqrtf(squares / static_cast<float>(a.head_dim) + a.out_norm.eps);
  }
  const int64_t at = token * a.out.cols + static_cast<int64_t>(head) * a.head_dim;
#pragma unroll
  for (int i = 0; i < D / kWarp; ++i) {
    const int d = lane + i * kWarp;
    if (d >= a.head_dim) continue;
    float y = row.value[i];
    if (a.out_norm.on) y *= a.out_norm.gain == nullptr ? factor : factor * a.out_norm.gain[d];
    if (a.out.type == DType::bf16) {
      static_cast<uint16_t*>(a.out.data)[at + d] = to_bf16(y);
    } else {
      static_cast<float*>(a.out.data)[at + d] = y;
    }
  }
}

}  // namespace redllm::cuda::decode
