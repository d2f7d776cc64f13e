// One warp's pages of a chunk: keys and values on their way through shared memory, and the running softmax of 16 rows over them.
//
// Every lane copies just those 16-byte pieces that it will multiply itself, to places that no other lane reads. So the pipeline
// needs no barrier: a lane waits for its own copies. With g = lane / 4, t = lane % 4:
//  - Keys are the columns of q K^T. Column g is key g (or 8 + g), and a lane holds pieces t, 4 + t, ... of its key. The order of a sum
//    over head_dim is free as long as q follows it: the eight elements of a piece are four k of one multiply_add and four of the next.
//  - Values: a lane holds keys 2t, 2t + 1, 2t + 8 and 2t + 9, the k that it must supply, and pieces g, 8 + g, ... of them. Column g of
//    product i is element i of piece g. A lane's outputs are then elements 16t .. 16t + 15 of rows g and g + 8.
// Padding of head_dim up to D and keys that no row sees are filled with zeros: their bytes are not read.
#pragma once

#include <math.h>

#include "cuda/ops/attention_decode_rows.cuh"

namespace redllm::cuda::decode {

constexpr float kLog2E = 1.4426950408889634f;

template <int D>
struct Shape {
  static constexpr int kChunkPages = D == 256 ? 8 : 16;
  static constexpr int kChunkKeys = kChunkPages * kPageTokens;
  // A half is the K or the V of a page. So many are under way, or being read, a warp.
  static constexpr int kHalves = D == 64 ? 6 : D == 128 ? 4 : 3;
  static constexpr int kHalfBytes = kPageTokens * D * 2;
  static constexpr int kRingBytes = kHalves * kHalfBytes;
  static constexpr int kResident = D == 64 ? 4 : D == 128 ? 3 : 2;  // blocks of a multiprocessor
  static constexpr int kPieces = D / 8;                             // of a token's K
};

struct alignas(16) Piece16 {
  uint32_t pair[4];
};

// Queries as multiply_add wants them: [piece / 4][row / 8][(row % 8) * 4 + piece % 4].
__device__ __forceinline__ int query_place(int row, int piece) {
  return (piece / 4 * 2 + row / 8) * kWarp + row % 8 * 4 + piece % 4;
}

// All threads: the tile's queries to shared memory, zeros beyond its rows and head_dim.
template <int D>
__device__ __forceinline__ void load_queries(const AttentionArgs& a, const Tile& tile, Piece16* to) {
  const int32_t shared = a.heads / a.segment[0].pool.kv_heads;
  for (int i = threadIdx.x; i < kTileRows * Shape<D>::kPieces; i += kThreads) {
    const int row = i / Shape<D>::kPieces, piece = i % Shape<D>::kPieces;
    Piece16 packed = {};
    if (row < tile.rows && piece * 8 < a.head_dim) {
      const int32_t token = tile.token + (tile.row + row) / shared,
                    head = tile.kv_head * shared + (tile.row + row) % shared;
      const float4* from = reinterpret_cast<const float4*>(static_cast<const float*>(a.q.data) + token * a.q.cols +
                                                           static_cast<int64_t>(head) * a.head_dim + piece * 8);
      const float4 low = from[0], high = from[1];
      packed = {
          {pack_bf16(low.x, low.y), pack_bf16(low.z, low.w), pack_bf16(high.x, high.y), pack_bf16(high.z, high.w)}};
    }
    to[query_place(row, piece)] = packed;
  }
}

// The lane's pieces of K of a page. seen: bit k where some row sees key k.
template <int D>
__device__ __forceinline__ void copy_keys(char* half, const uint16_t* keys, int head_dim, uint32_t seen) {
  const int lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    const uint16_t* from = keys + (n * 8 + g) * head_dim + t * 8;
#pragma unroll
    for (int j = 0; j < D / 32; ++j)
      copy_async(half + ((n * (D / 32) + j) * kWarp + lane) * 16, from + j * 32,
                 (seen >> (n * 8 + g) & 1) != 0 && (j * 4 + t) * 8 < head_dim);
  }
}

template <int D>
__device__ __forceinline__ void copy_values(char* half, const uint16_t* values, int head_dim, uint32_t seen) {
  const int lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const int key = t * 2 + k % 2 + k / 2 * 8;
    const uint16_t* from = values + key * head_dim + g * 8;
#pragma unroll
    for (int j = 0; j < D / 64; ++j)
      copy_async(half + ((j * 4 + k) * kWarp + lane) * 16, from + j * 64,
                 (seen >> key & 1) != 0 && (j * 8 + g) * 8 < head_dim);
  }
}

// Of rows g and g + 8 of the tile.
struct LaneRows {
  int32_t left[2];
  uint32_t keys[2];  // seen from `left` on
  int32_t bias[2];   // where distance 0 is in its head's biases
  int32_t query_index[2];
};

// Logits to base 2: what follows q K^T.
struct LogitRule {
  float scale;  // before the cap
  float cap;    // 0: none
  const float* bias;
  int32_t reach;
};

// The running softmax of rows g and g + 8. `sum` is of the lane's own keys.
template <int D>
struct Softmax {
  float maximum[2];
  float sum[2];
  float value[D / 64][8][4];

  __device__ __forceinline__ void start() {
    maximum[0] = maximum[1] = -INFINITY;
    sum[0] = sum[1] = 0;
#pragma unroll
    for (int j = 0; j < D / 64; ++j)
#pragma unroll
      for (int i = 0; i < 8; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) value[j][i][e] = 0;
  }

  // Dots of the page whose first key is `first` to weights in the layout of multiply_add's left side.
  __device__ __forceinline__ void weigh(float (&s)[2][4], const LaneRows& rows, const LogitRule& rule, int32_t first,
                                        uint32_t (&weights)[4]) {
    const int t = threadIdx.x % 4;
    float shift[2], factor[2];
    bool risen = false;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float top = maximum[r];
#pragma unroll
      for (int n = 0; n < 2; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int32_t key = first + n * 8 + t * 2 + e;
          float x = s[n][r * 2 + e] * rule.scale;
          if (rule.cap != 0) x = rule.cap * tanh_fast(x);
          if (rule.bias != nullptr) {
            const int32_t distance = most(-rule.reach, least(key - rows.query_index[r], rule.reach));
            x = fmaf(rule.bias[rows.bias[r] + distance], kLog2E, x);
          }
          if (static_cast<uint32_t>(key - rows.left[r]) >= rows.keys[r]) x = -INFINITY;
          s[n][r * 2 + e] = x;
          top = x > top ? x : top;
        }
      for (int mask = 1; mask < 4; mask *= 2) {
        const float other = shuffle_xor(top, mask);
        top = other > top ? other : top;
      }
      shift[r] = top == -INFINITY ? 0.0f : top;
      factor[r] = exp2_fast(maximum[r] - shift[r]);
      risen = risen || top != maximum[r];
      maximum[r] = top;
    }
    // Multiplying by one changes nothing, so rows that have not risen do not care whether another of the warp has.
    if (any_lane(risen)) {
#pragma unroll
      for (int r = 0; r < 2; ++r) sum[r] *= factor[r];
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
      for (int r = 0; r < 2; ++r) {
        const uint32_t pair = pack_bf16(exp2_fast(s[n][r * 2] - shift[r]), exp2_fast(s[n][r * 2 + 1] - shift[r]));
        weights[n * 2 + r] = pair;
        // The rounded weights are summed: what is divided by is what the values were multiplied by.
        sum[r] += low_bf16(pair) + high_bf16(pair);
      }
  }

  __device__ __forceinline__ void add_values(const char* half, const uint32_t (&weights)[4]) {
    const Piece16* from = reinterpret_cast<const Piece16*>(half) + threadIdx.x % kWarp;
#pragma unroll
    for (int j = 0; j < D / 64; ++j) {
      const Piece16 a = from[j * 4 * kWarp], b = from[(j * 4 + 1) * kWarp], c = from[(j * 4 + 2) * kWarp],
                    d = from[(j * 4 + 3) * kWarp];
#pragma unroll
      for (int w = 0; w < 4; ++w) {
        multiply_add(value[j][w * 2], weights, (a.pair[w] & 0xffff) | b.pair[w] << 16,
                     (c.pair[w] & 0xffff) | d.pair[w] << 16);
        multiply_add(value[j][w * 2 + 1], weights, a.pair[w] >> 16 | (b.pair[w] & 0xffff0000u),
                     c.pair[w] >> 16 | (d.pair[w] & 0xffff0000u));
      }
    }
  }

  // To shared memory: [row][D], in pieces at value_place(), maxima and sums by row. All lanes have read what was there.
  __device__ __forceinline__ void store(float* values, float* maxima, float* sums, int rows) {
    const int lane = threadIdx.x % kWarp, t = lane % 4;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = lane / 4 + r * 8;
      float total = sum[r];
      for (int mask = 1; mask < 4; mask *= 2) total += shuffle_xor(total, mask);
      if (row < rows) {
        if (t == 0) maxima[row] = maximum[r], sums[row] = total;
#pragma unroll
        for (int j = 0; j < D / 64; ++j)
#pragma unroll
          for (int e = 0; e < 2; ++e)
#pragma unroll
            for (int i = 0; i < 8; i += 4) {
              const int piece = j * 16 + t * 4 + e * 2 + i / 4, of = r * 2 + e;
              reinterpret_cast<float4*>(values)[value_place<D>(row, piece)] = {
                  value[j][i][of], value[j][i + 1][of], value[j][i + 2][of], value[j][i + 3][of]};
            }
      }
    }
  }
};

template <int D>
__device__ __forceinline__ void multiply_keys(const char* half, const Piece16* queries, float (&s)[2][4]) {
  const int lane = threadIdx.x % kWarp;
  const Piece16* keys = reinterpret_cast<const Piece16*>(half) + lane;
#pragma unroll
  for (int n = 0; n < 2; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) s[n][e] = 0;
#pragma unroll
  for (int j = 0; j < D / 32; ++j) {
    const Piece16 a = queries[j * 2 * kWarp + lane], b = queries[(j * 2 + 1) * kWarp + lane];
    const uint32_t even[4] = {a.pair[0], b.pair[0], a.pair[1], b.pair[1]},
                   odd[4] = {a.pair[2], b.pair[2], a.pair[3], b.pair[3]};
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const Piece16 k = keys[(n * (D / 32) + j) * kWarp];
      multiply_add(s[n], even, k.pair[0], k.pair[1]);
      multiply_add(s[n], odd, k.pair[2], k.pair[3]);
    }
  }
}

}  // namespace redllm::cuda::decode
