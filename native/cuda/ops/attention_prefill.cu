// Fused attention for ragged batches over pages (FlashAttention-2, arXiv 2307.08691): a block takes 128 queries of one head and one
// sequence, keeps their softmax and outputs in registers, and walks over the keys that any of them sees, a tile at a time.
//
// Tiles of K and V are fetched one ahead, where two fit; blocks of one multiprocessor cover what is left.
//
// A weight of exactly 0 times a V that is not finite is not 0. Keys that no query of the block sees are zeros in shared memory; where
// one query sees such a V and its neighbour does not, the neighbour's output is spoilt, and the block computes each such row once
// more with nothing but its own keys in shared memory.
#include "cuda/ops/attention_prefill.cuh"

#include "cuda/ops/attention_copy.cuh"
#include "cuda/ops/attention_place.cuh"
#include "cuda/ops/attention_softmax.cuh"

namespace redllm::cuda {

namespace {

// 32 rows a warp halve the shared memory that an mma reads; at 256 elements a head, their outputs no longer fit the registers.
template <int D, int kWarps>
struct PrefillShape {
  static constexpr int kRowTiles = D <= 128 ? 2 : 1;  // of 16 rows, a warp
  static constexpr int kWarpRows = 16 * kRowTiles;
  static constexpr int kRows = kWarps * kWarpRows;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kBlocks = D == 32 ? 3 : D <= 128 ? 2 : 1;  // of a multiprocessor
  static constexpr int kQueryBytes = kRows * D * 2;
  static constexpr int kTileBytes = kTileKeys * D * 2;  // of K, or of V
  using State = QueryState<kRows, kWarps>;

  static constexpr int shared_bytes(int stages) {
    return static_cast<int>(sizeof(State)) + kQueryBytes + stages * 2 * kTileBytes;
  }
};

// The block's queries to shared memory, rounded to bf16; zeros where there is none.
template <int D, int kRows, int kThreads>
__device__ __forceinline__ void load_queries(const AttentionParams& p, char* to, const QueryTile& tile) {
  constexpr int kChunks = D / 8;
  const int64_t width = int64_t{p.heads} * p.head_dim;
  const float* from = p.q + tile.first_token * width + int64_t{tile.head} * p.head_dim;
#pragma unroll 4
  for (int i = threadIdx.x; i < kRows * kChunks; i += kThreads) {
    const int row = i / kChunks, chunk = i % kChunks;
    uint4 packed = make_uint4(0, 0, 0, 0);
    if (row < tile.rows && chunk * 8 < p.head_dim) {
      const float4* at = reinterpret_cast<const float4*>(from + row * width + chunk * 8);
      const float4 a = at[0], b = at[1];
      packed.x = pack_bf16(a.x * p.q_sign, a.y * p.q_sign);
      packed.y = pack_bf16(a.z * p.q_sign, a.w * p.q_sign);
      packed.z = pack_bf16(b.x * p.q_sign, b.y * p.q_sign);
      packed.w = pack_bf16(b.z * p.q_sign, b.w * p.q_sign);
    }
    *reinterpret_cast<uint4*>(to + tile_offset<D>(row, chunk)) = packed;
  }
}

// Of a row, from the lane's own elements: all four lanes get the sum over the row.
__device__ __forceinline__ float sum_lanes(float x) {
  x += shuffle_xor(x, 1);
  return x + shuffle_xor(x, 2);
}

// Sums to outputs: the division, and the norm over the head.
template <int D, int T, typename State>
__device__ __forceinline__ void finish_rows(const AttentionParams& p, float (&out)[T][D / 8][4],
                                            const RunningSoftmax<T>& softmax, int warp_row, State& state) {
  const int lane = opaque(threadIdx.x % kWarp);
#pragma unroll
  for (int t = 0; t < T; ++t)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = sum_lanes(softmax.sum[t][half]);
      const float inverse = sum == 0 ? 0.0f : __fdividef(1.0f, sum);
      float spoilt = 0, squares = 0;
#pragma unroll
      for (int n = 0; n < D / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& x = out[t][n][2 * half + e];
          spoilt = fmaf(x, 0.0f, spoilt);  // 0 where x is finite
          x *= inverse;
          squares = fmaf(x, x, squares);
        }
      // Where the sum is no number either, the row's own keys are to blame.
      if (state.selected < 0 && spoilt != 0 && sum - sum == 0)
        state.spoilt[warp_row + 16 * t + 8 * half + lane / 4] = state.any_spoilt = 1;
      if (!p.out_norm.on) continue;
      const float mean = __fdividef(sum_lanes(squares), static_cast<float>(p.head_dim));
      const float factor = sum == 0 ? 0.0f : rsqrtf(mean + p.out_norm.eps);
#pragma unroll
      for (int n = 0; n < D / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) out[t][n][2 * half + e] *= factor;
    }
  if (!p.out_norm.on || p.out_norm.gain == nullptr) return;
  const float* gain = p.out_norm.gain + lane % 4 * 2;
#pragma unroll
  for (int n = 0; n < D / 8; ++n) {
    if (8 * n >= p.head_dim) break;
    const float2 factor = *reinterpret_cast<const float2*>(gain + 8 * n);
#pragma unroll
    for (int t = 0; t < T; ++t)
#pragma unroll
      for (int e = 0; e < 4; ++e) out[t][n][e] *= e % 2 == 0 ? factor.x : factor.y;
  }
}

// Those that exist, or the selected one alone.
template <int D, int T, typename State>
__device__ __forceinline__ void store_rows(const AttentionParams& p, const float (&out)[T][D / 8][4], int warp_row,
                                           const State& state) {
  const int lane = opaque(threadIdx.x % kWarp);
#pragma unroll
  for (int t = 0; t < T; ++t)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int32_t row = warp_row + 16 * t + 8 * half + lane / 4;
      if (row >= state.rows || (state.selected >= 0 && row != state.selected)) continue;
      const int64_t token = state.first_token + row;
      const int64_t at = (token * p.heads + state.head) * p.head_dim + lane % 4 * 2;
      if (p.half_out) {
        uint16_t* to = static_cast<uint16_t*>(p.out) + at;
#pragma unroll
        for (int n = 0; n < D / 8; ++n) {
          if (8 * n >= p.head_dim) break;
          *reinterpret_cast<uint32_t*>(to + 8 * n) = pack_bf16(out[t][n][2 * half], out[t][n][2 * half + 1]);
        }
      } else {
        float* to = static_cast<float*>(p.out) + at;
#pragma unroll
        for (int n = 0; n < D / 8; ++n) {
          if (8 * n >= p.head_dim) break;
          *reinterpret_cast<float2*>(to + 8 * n) = make_float2(out[t][n][2 * half], out[t][n][2 * half + 1]);
        }
      }
    }
}

// The warp's rows against a tile of segment s, which V lies behind.
template <int D, int T, typename State>
__device__ __forceinline__ void attend_tile(const AttentionParams& p, int32_t s, int32_t first_key, const char* q_tile,
                                            const char* k_tile, const State& state, RunningSoftmax<T>& softmax,
                                            float (&out)[T][D / 8][4]) {
  const int warp = opaque(threadIdx.x / kWarp), warp_row = warp * (16 * T);
  const int32_t end_key = first_key + kTileKeys;
  const WarpLimits limits = state.limits[s][warp];
  if (first_key >= limits.right || end_key <= limits.left) return;
  Scores<T> scores;
  clear(scores);
  multiply_keys<D, T>(scores, q_tile + warp_row * (2 * D), k_tile);
  float scale = p.exponent_scale;
  if (p.tanh_scale != 0) cap_scores<T>(scores, p.tanh_scale);
  if (p.bias != nullptr && s == 0) {
    add_bias<T>(scores, scale, p.bias + int64_t{state.head} * (2 * p.reach + 1), p.reach, first_key,
                state.index + warp_row, state.positions[warp]);
    scale = 1;
  }
  if (first_key < limits.common_left || end_key > limits.common_right)
    mask_scores<T>(scores, state.left[s] + warp_row, state.right[s] + warp_row, first_key);
  if (!p.bounded) {
    float factor[T][2];
    if (raise_maximum<T>(softmax, scores, scale, factor)) {
#pragma unroll
      for (int t = 0; t < T; ++t)
#pragma unroll
        for (int n = 0; n < D / 8; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e) out[t][n][e] *= factor[t][e / 2];
    }
  }
  float shift[T][2];
  find_shift<T>(softmax, shift);
#pragma unroll
  for (int k = 0; k < kTileKeys / 16; ++k) {
    uint32_t weights[T][4];
    weigh_scores<T>(softmax, scores, scale, shift, k, weights);
    multiply_values<D, T>(out, weights, k_tile + kTileKeys * (2 * D), k);
  }
}

template <int D, int kWarps>
__global__ void __launch_bounds__(PrefillShape<D, kWarps>::kThreads, PrefillShape<D, kWarps>::kBlocks)
    prefill_kernel(const AttentionParams p) {
  await_earlier_launches();
  using Shape = PrefillShape<D, kWarps>;
  constexpr int T = Shape::kRowTiles, kThreads = Shape::kThreads, kWarpRows = Shape::kWarpRows, kRows = Shape::kRows;
  const QueryTile tile = find_tile<kRows>(p);
  if (tile.rows <= 0) return;

  auto& state = *reinterpret_cast<typename Shape::State*>(shared_memory());
  char* const q_tile = shared_memory() + sizeof(state);
  char* const tiles = q_tile + Shape::kQueryBytes;  // [stages] of K, V
  // What is waited for is asked for first.
  const RowLimits limits = read_limits<kWarpRows>(p, tile.first_token, tile.rows);
  if (threadIdx.x == 0) {
    state.head = tile.head;
    state.first_token = tile.first_token;
    state.rows = tile.rows;
    state.selected = -1;
    state.any_spoilt = 0;
    for (int s = 0; s < p.segments; ++s) {
      const AttentionSegment& from = p.segment[s];
      state.keys[s].head = from.data + int64_t{tile.head / p.shared} * from.head_bytes;
      state.keys[s].pages = from.pages + from.page_start[tile.sequence];
      state.keys[s].page_bytes = from.page_bytes;
    }
  }
  load_queries<D, kRows, kThreads>(p, q_tile, tile);
  note_limits(p, limits, state);

  while (true) {
    sync_block();
    if (threadIdx.x == 0) note_range(state, p.segments);
    sync_block();
    float out[T][D / 8][4];
    RunningSoftmax<T> softmax;
    clear(out);
#pragma unroll
    for (int t = 0; t < T; ++t)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        softmax.maximum[t][half] = p.bounded ? 0 : -INFINITY;
        softmax.sum[t][half] = 0;
      }

    int stage = 0;  // of the tile at hand
#pragma unroll 1
    for (int32_t s = 0; s < p.segments; ++s) {
      const KeyRange& keys = state.keys[s];
      if (keys.low >= keys.high) continue;
      int32_t first_key = keys.low / kTileKeys * kTileKeys;
      int32_t pages = find_pages(keys, first_key);
      if (p.stages == 1) sync_block();
      copy_tile<D, kThreads>(tiles + stage * 2 * Shape::kTileBytes, keys, pages, first_key, p.head_dim);
      pages = find_pages(keys, first_key + kTileKeys);

#pragma unroll 1
      for (; first_key < keys.high; first_key += kTileKeys) {
        copy_async_wait<0>();
        sync_block();  // the tile is here, and no one needs the one before
        const char* const k_tile = tiles + stage * 2 * Shape::kTileBytes;
        const int32_t next_key = first_key + kTileKeys;
        if (p.stages == 2) {
          stage ^= 1;
          if (next_key < keys.high)
            copy_tile<D, kThreads>(tiles + stage * 2 * Shape::kTileBytes, keys, pages, next_key, p.head_dim);
          pages = find_pages(keys, next_key + kTileKeys);
        }
        attend_tile<D, T>(p, s, first_key, q_tile, k_tile, state, softmax, out);
        if (p.stages == 1 && next_key < keys.high) {
          sync_block();
          copy_tile<D, kThreads>(tiles, keys, pages, next_key, p.head_dim);
          pages = find_pages(keys, next_key + kTileKeys);
        }
      }
    }

    const int warp_row = threadIdx.x / kWarp * kWarpRows;
    finish_rows<D, T>(p, out, softmax, warp_row, state);
    store_rows<D, T>(p, out, warp_row, state);
    sync_block();
    if (state.any_spoilt == 0) return;
    int32_t next = state.selected + 1;
    while (next < state.rows && state.spoilt[next] == 0) ++next;
    if (next == state.rows) return;
    sync_block();
    if (threadIdx.x == 0) state.selected = next;
  }
}

template <int D, int kWarps = D <= 128 ? 4 : 8>
void launch_prefill(Context* context, AttentionParams& p, int64_t tokens) {
  using Shape = PrefillShape<D, kWarps>;
  // Two stages where all blocks that the registers allow have room for them.
  p.stages = Shape::shared_bytes(2) * Shape::kBlocks <= context->shared_bytes ? 2 : 1;
  const dim3 grid(query_tiles(tokens, p.sequences, Shape::kRows) * static_cast<uint32_t>(p.heads));
  launch(context, "launching attention of prompts", prefill_kernel<D, kWarps>, grid, Shape::kThreads,
         Shape::shared_bytes(p.stages), p);
}

}  // namespace

void attention_prefill(Context* context, AttentionParams p, int64_t tokens) {
  if (p.head_dim <= 32) {
    launch_prefill<32>(context, p, tokens);
  } else if (p.head_dim <= 64) {
    launch_prefill<64>(context, p, tokens);
  } else if (p.head_dim <= 128) {
    launch_prefill<128>(context, p, tokens);
  } else if (PrefillShape<256, 8>::shared_bytes(1) <= context->shared_bytes) {
    launch_prefill<256>(context, p, tokens);
  } else {
    launch_prefill<256, 4>(context, p, tokens);  // devices of graphics cards
  }
}

}  // namespace redllm::cuda
