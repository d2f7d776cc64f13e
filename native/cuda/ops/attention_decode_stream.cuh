// One warp's pages of a chunk: keys and values on their way through shared memory.
//
// Every lane copies just those 16-byte pieces that it will multiply itself, to places that no other lane reads. So the
// pipeline needs no barrier: a lane waits for its own copies. With g = lane / 4, t = lane % 4:
//  - Keys are the columns of q K^T. Column g is key g (or 8 + g), and a lane holds pieces t, 4 + t, ... of its key. The
//    order of a sum over head_dim is free as long as q follows it: a piece's eight elements are four k of one
//    multiply_add and four of the next.
//  - Values: a lane holds keys 2t, 2t + 1, 2t + 8 and 2t + 9, the k that it must supply, and pieces g, 8 + g, ... of
//    them. Column g of product i is element i of piece g. A lane's outputs are then elements 16t .. 16t + 15 of rows g
//    and g + 8.
// Padding of head_dim up to D and keys that no row sees are filled with zeros: their bytes are not read.
#pragma once

#include "cuda/ops/attention_decode_softmax.cuh"

namespace redllm::cuda::decode {

// The pipeline of a warp: so many halves (the K or the V of a page) are on their way or being read. It is as deep as
// shared memory allows; results do not depend on it.
template <int D, int kDepth>
struct Ring {
  static constexpr int kHalves = kDepth;
  static constexpr int kHalfBytes = kPageTokens * D * 2;
  static constexpr int kBytes = kHalves * kHalfBytes;
};

// All threads: the queries of a tile to shared memory as the left sides of multiply_add, [D / 16][lane], zeros beyond
// its rows and head_dim.
template <int D>
__device__ __forceinline__ void load_queries(const AttentionArgs& a, const Plan& plan, Piece* to) {
  for (int i = threadIdx.x; i < kTileRows * (D / 8); i += kThreads) {
    const int row = i / (D / 8), piece = i % (D / 8);
    float4 low = {0, 0, 0, 0}, high = {0, 0, 0, 0};
    if (row < plan.rows && piece * 8 < a.head_dim) {
      const int64_t at = plan.token[row] * a.q.cols + int64_t{plan.head[row]} * a.head_dim + piece * 8;
      const float4* from = reinterpret_cast<const float4*>(static_cast<const float*>(a.q.data) + at);
      low = from[0];
      high = from[1];
    }
    Piece* const step = to + piece / 4 * 2 * kWarp + row % 8 * 4 + piece % 4;
    step[0].pair[row / 8] = pack_bf16(low.x, low.y);
    step[0].pair[2 + row / 8] = pack_bf16(low.z, low.w);
    step[kWarp].pair[row / 8] = pack_bf16(high.x, high.y);
    step[kWarp].pair[2 + row / 8] = pack_bf16(high.z, high.w);
  }
}

// The lane's pieces of K of a page. seen: bit k where some row sees key k.
template <int D>
__device__ __forceinline__ void copy_keys(Piece* half, const uint16_t* keys, int head_dim, uint32_t seen) {
  const int lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    const uint16_t* from = keys + (n * 8 + g) * head_dim + t * 8;
#pragma unroll
    for (int j = 0; j < D / 32; ++j)
      copy_async(half + (n * (D / 32) + j) * kWarp + lane, from + j * 32,
                 (seen >> (n * 8 + g) & 1) != 0 && (j * 4 + t) * 8 < head_dim);
  }
}

template <int D>
__device__ __forceinline__ void copy_values(Piece* half, const uint16_t* values, int head_dim, uint32_t seen) {
  const int lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const int key = t * 2 + k % 2 + k / 2 * 8;
    const uint16_t* from = values + key * head_dim + g * 8;
#pragma unroll
    for (int j = 0; j < D / 64; ++j)
      copy_async(half + (j * 4 + k) * kWarp + lane, from + j * 64,
                 (seen >> key & 1) != 0 && (j * 8 + g) * 8 < head_dim);
  }
}

template <int D>
__device__ __forceinline__ void multiply_keys(const Piece* half, const Piece* queries, float (&s)[2][4]) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int n = 0; n < 2; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) s[n][e] = 0;
#pragma unroll
  for (int j = 0; j < D / 32; ++j) {
    const Piece even = queries[j * 2 * kWarp + lane], odd = queries[(j * 2 + 1) * kWarp + lane];
    const Piece low = half[j * kWarp + lane], high = half[(D / 32 + j) * kWarp + lane];
    multiply_add(s[0], even.pair, low.pair[0], low.pair[1]);
    multiply_add(s[1], even.pair, high.pair[0], high.pair[1]);
    multiply_add(s[0], odd.pair, low.pair[2], low.pair[3]);
    multiply_add(s[1], odd.pair, high.pair[2], high.pair[3]);
  }
}

// A warp on its way through its pages of an item.
template <int D, int kDepth>
struct Stream {
  using R = Ring<D, kDepth>;
  Piece* ring;           // the warp's
  const uint16_t* base;  // of the head in the pool's first page
  int64_t page, value;   // elements from a page to the next, from K to V
  int head_dim;
  int at, end;  // page
  int slot;     // half of the ring

  // The K or V of the warp's page i on its way to `slot`.
  __device__ __forceinline__ void copy(const Plan& plan, int i, bool values) const {
    if (i < end) {
      const PlannedPage planned = plan.pages[i * kWarps + threadIdx.x / kWarp];
      const uint16_t* from = base + planned.page * page;
      Piece* half = ring + slot * (R::kHalfBytes / 16);
      if (values) {
        copy_values<D>(half, from + value, head_dim, planned.seen);
      } else {
        copy_keys<D>(half, from, head_dim, planned.seen);
      }
    }
    copy_async_commit();
  }

  __device__ __forceinline__ void begin(const AttentionArgs& a, const Plan& plan) {
    const bool second = plan.segment == 1;
    const PagePool& pool = second ? a.segment[1].pool : a.segment[0].pool;
    const PageLayout layout = page_layout(pool, second ? a.segment[1].layer : a.segment[0].layer);
    base = static_cast<const uint16_t*>(pool.data) + layout.layer + plan.kv_head * layout.head;
    page = layout.page;
    value = layout.value;
    head_dim = a.head_dim;
    at = plan.first[threadIdx.x / kWarp];
    end = plan.end[threadIdx.x / kWarp];
#pragma unroll 1
    for (slot = 0; slot < R::kHalves; ++slot) copy(plan, at + slot / 2, slot % 2 == 1);
    slot = 0;
  }

  __device__ __forceinline__ void run(const AttentionArgs& a, const Plan& plan, const Piece* queries,
                                      Softmax<D>& softmax) {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    LaneRows rows;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = lane / 4 + r * 8;
      rows.left[r] = plan.left[row];
      rows.keys[r] = plan.keys[row];
      rows.query_index[r] = plan.query_index[row];
      rows.bias[r] = plan.head[row] * (2 * a.reach + 1) + a.reach;
    }
    const LogitRule rule = logit_rule(a, plan.segment);
    const int32_t first = (plan.chunk * chunk_pages(D) + warp) * kPageTokens;
    softmax.start();
#pragma unroll 1
    for (; at < end; ++at) {
      float s[2][4];
      uint32_t weights[4];
      copy_async_wait<R::kHalves - 1>();
      multiply_keys<D>(ring + slot * (R::kHalfBytes / 16), queries, s);
      copy(plan, at + R::kHalves / 2, R::kHalves % 2 == 1);
      slot = slot + 1 < R::kHalves ? slot + 1 : 0;
      softmax.weigh(a, rule, rows, first + at * kWarps * kPageTokens, s, weights);
      copy_async_wait<R::kHalves - 1>();
      softmax.add_values(ring + slot * (R::kHalfBytes / 16), weights);
      copy(plan, at + (R::kHalves + 1) / 2, R::kHalves % 2 == 0);
      slot = slot + 1 < R::kHalves ? slot + 1 : 0;
    }
  }
};

}  // namespace redllm::cuda::decode
