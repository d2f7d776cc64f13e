// Products in f32, without rounding to anything less.
#include "cuda/ops/matmul_internal.cuh"

namespace redllm::cuda {

namespace {

// ---- decode: weights stream once for 8 rows --------------------------------------------------------------------------------

constexpr int kTokens = 8;
// Of weights, a warp: two neighbours and the two 8 rows below them, which are their values where gated.
constexpr int kOwnRows = 4;
constexpr int kStreamThreads = 128;  // 16 rows
constexpr int kStep = kWarp * 4;     // k of a load by a warp

__device__ __forceinline__ float dot(float sum, const float4& a, const float4& b) {
  return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

// Lane l sums k = 4 l .. 4 l + 3 of every 128, and the lanes' sums are added up pair by pair.
__global__ void __launch_bounds__(kStreamThreads) float_decode_kernel(Product p) {
  await_earlier_launches();
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int64_t row0 = static_cast<int64_t>(blockIdx.x) * kWeightRows + warp * 2;
  const int64_t token0 = static_cast<int64_t>(blockIdx.y) * kTokens;
  const float* w = static_cast<const float*>(p.w) + row0 * p.weight_k + lane * 4;
  const float* x = static_cast<const float*>(p.x) + token0 * p.k + lane * 4;
  const int tokens = p.rows - token0 < kTokens ? static_cast<int>(p.rows - token0) : kTokens;
  float sums[kOwnRows][kTokens] = {};
  for (int64_t k = lane * 4; k < p.k; k += kStep, w += kStep, x += kStep) {
    float4 weights[kOwnRows];
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i)
      weights[i] = *reinterpret_cast<const float4*>(w + (i % 2 + i / 2 * 8) * p.weight_k);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      if (t >= tokens) continue;
      const float4 token = *reinterpret_cast<const float4*>(x + t * p.k);
#pragma unroll
      for (int i = 0; i < kOwnRows; ++i) sums[i][t] = dot(sums[i][t], weights[i], token);
    }
  }
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i)
#pragma unroll
    for (int t = 0; t < kTokens; ++t)
#pragma unroll
      for (int mask = kWarp / 2; mask > 0; mask /= 2) sums[i][t] = __fadd_rn(sums[i][t], shuffle_xor(sums[i][t], mask));

  // Every lane has every sum: lane t finishes token t.
  float own[kOwnRows] = {};
#pragma unroll
  for (int t = 0; t < kTokens; ++t)
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) own[i] = lane == t ? sums[i][t] : own[i];
  if (lane >= tokens) return;
  const Epilogue& e = p.epilogue;
  if (e.gated) {
    finish_gated_pair(e, token0 + lane, row0 / kWeightRows * kGateRows + row0 % kWeightRows, own[0], own[1], own[2],
                      own[3]);
  } else {
    finish_pair(e, token0 + lane, row0, own[0], own[1]);
    finish_pair(e, token0 + lane, row0 + 8, own[2], own[3]);
  }
}

// ---- prefill: tiles of 64 x 64, each output one accumulator over ascending k ------------------------------------------------

constexpr int kTile = 64;
constexpr int kDepth = 16;  // k of a tile in shared memory
constexpr int kTileThreads = 256;
constexpr int kPitch = kTile + 4;  // floats; [k][row], so that a thread reads four rows at once

// Rows [first, first + 64) at [k, k + 16), turned over; zeros beyond.
__device__ __forceinline__ void copy_tile(float* to, const float* from, int64_t first, int64_t rows, int64_t pitch,
                                          int64_t k, int64_t end_k) {
  const int row = static_cast<int>(threadIdx.x) / 4, piece = static_cast<int>(threadIdx.x) % 4 * 4;
  float4 four = make_float4(0, 0, 0, 0);
  if (first + row < rows && k + piece < end_k)
    four = *reinterpret_cast<const float4*>(from + (first + row) * pitch + k + piece);
  to[(piece + 0) * kPitch + row] = four.x;
  to[(piece + 1) * kPitch + row] = four.y;
  to[(piece + 2) * kPitch + row] = four.z;
  to[(piece + 3) * kPitch + row] = four.w;
}

// A thread computes 4 tokens by 4 rows of weights: two neighbours, and the two 8 rows below them.
__global__ void __launch_bounds__(kTileThreads) float_prefill_kernel(Product p) {
  await_earlier_launches();
  const int64_t token0 = static_cast<int64_t>(blockIdx.y) * kTile, row0 = static_cast<int64_t>(blockIdx.x) * kTile;
  float* tokens = reinterpret_cast<float*>(shared_memory());
  float* weights = tokens + kDepth * kPitch;
  const int own_token = static_cast<int>(threadIdx.x) / 16 * 4, across = static_cast<int>(threadIdx.x) % 16;
  const int own_row = across / 4 * kWeightRows + across % 4 * 2;
  float sums[4][4] = {};
  for (int64_t k = 0; k < p.k; k += kDepth) {
    sync_block();
    copy_tile(tokens, static_cast<const float*>(p.x), token0, p.rows, p.k, k, p.k);
    copy_tile(weights, static_cast<const float*>(p.w), row0, p.weight_rows, p.weight_k, k, p.weight_k);
    sync_block();
#pragma unroll
    for (int i = 0; i < kDepth; ++i) {
      const float4 a = *reinterpret_cast<const float4*>(tokens + i * kPitch + own_token);
      const float2 low = *reinterpret_cast<const float2*>(weights + i * kPitch + own_row);
      const float2 high = *reinterpret_cast<const float2*>(weights + i * kPitch + own_row + 8);
      const float left[4] = {a.x, a.y, a.z, a.w}, right[4] = {low.x, low.y, high.x, high.y};
#pragma unroll
      for (int t = 0; t < 4; ++t)
#pragma unroll
        for (int c = 0; c < 4; ++c) sums[t][c] = fmaf(left[t], right[c], sums[t][c]);
    }
  }
  const Epilogue& e = p.epilogue;
  const int64_t row = row0 + own_row;
#pragma unroll
  for (int t = 0; t < 4; ++t) {
    const int64_t token = token0 + own_token + t;
    if (token >= p.rows) continue;
    if (e.gated) {
      finish_gated_pair(e, token, row / kWeightRows * kGateRows + row % kWeightRows, sums[t][0], sums[t][1], sums[t][2],
                        sums[t][3]);
    } else {
      finish_pair(e, token, row, sums[t][0], sums[t][1]);
      finish_pair(e, token, row + 8, sums[t][2], sums[t][3]);
    }
  }
}

}  // namespace

void float_decode(Context* context, const Product& product) {
  launch(context, "a product in f32", float_decode_kernel,
         dim3(divided_up(product.weight_rows, kWeightRows), divided_up(product.rows, kTokens)), kStreamThreads, 0,
         product);
}

void float_prefill(Context* context, const Product& product) {
  launch(context, "a product in f32", float_prefill_kernel,
         dim3(divided_up(product.weight_rows, kTile), divided_up(product.rows, kTile)), kTileThreads,
         size_t{2} * kDepth * kPitch * sizeof(float), product);
}

}  // namespace redllm::cuda
