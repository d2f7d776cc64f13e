// Products of 17 rows and more that are decoded, in bf16, with the order of sums and the fragments of matmul_decode.cu. A block computes a
// tile of outputs, one slice of K after the other, from a ring of asynchronous copies; rows of weights are its 16-row side.
//
// All of a tile's tokens pass through the second-level cache once for every tile of weights: with 64 tokens and 64 rows that is as much
// as the weights themselves, which is why tiles are as large as the multiprocessors' number allows.
#include <algorithm>

#include "cuda/ops/matmul_tile.cuh"

namespace redllm::cuda {

namespace {

constexpr int kWarpRows = 2 * kWeightRows;

struct ManyParams {
  Product product;
  Slices slices;
  float* partial;    // [tile of outputs][group][registers of a thread][threads], where there are several groups
  int32_t* arrived;  // [tile of outputs] groups whose sums are there
};

// A tile: kDown warps of 32 rows of weights by kAcross warps of 8 kTiles tokens.
template <int kTiles, int kDown, int kAcross>
struct Shape {
  static constexpr int kRows = kDown * kWarpRows;
  static constexpr int kTokens = kAcross * kTiles * 8;
  static constexpr int kThreads = kDown * kAcross * kWarp;
  static constexpr int kStageBytes = (kRows + kTokens) * kRowBytes;
  // Two blocks of 128 threads share a multiprocessor's 227 KB, and one fits the 99 KB of the smallest; a larger block has more for itself.
  static constexpr int kStages = std::min(8, (kThreads > 128 ? 128 << 10 : 96 << 10) / kStageBytes);
  static constexpr int kSharedBytes = kStages * kStageBytes;
  // Finished sums, from token to token, so that a quad row's stores meet no bank twice.
  static constexpr int kSumPitch = kRows + 4;
  static_assert(kTokens * kSumPitch * int{sizeof(float)} <= kSharedBytes);
};

// Where piece `piece` of row `row` lies in a tile: pieces 0..3 and 4..7 change places in odd rows, so that the two rows of a quarter
// of a warp meet no bank twice.
__device__ __forceinline__ int place(int row, int piece) {
  return row * kRowBytes + (piece ^ ((row & 1) * 4)) * 16;
}

template <int kTiles>
struct Sums {
  float at[2][kTiles][4];  // [16 rows of weights][8 tokens][fragment]
};

// One unit of K: sums += w x^T, for this warp's rows and tokens.
template <int kTiles>
__device__ __forceinline__ void multiply_unit(Sums<kTiles>& sums, const char* weights, const char* tokens) {
  const int lane = threadIdx.x % kWarp, quad_row = lane / 4, quad_column = lane % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int piece = half * 4 + quad_column;
    uint32_t first[2][4], second[2][4];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = i * kWeightRows + quad_row;
      const uint4 low = *reinterpret_cast<const uint4*>(weights + place(row, piece));
      const uint4 high = *reinterpret_cast<const uint4*>(weights + place(row + 8, piece));
      first[i][0] = low.x, first[i][1] = high.x, first[i][2] = low.y, first[i][3] = high.y;
      second[i][0] = low.z, second[i][1] = high.z, second[i][2] = low.w, second[i][3] = high.w;
    }
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      const uint4 b = *reinterpret_cast<const uint4*>(tokens + place(j * 8 + quad_row, piece));
#pragma unroll
      for (int i = 0; i < 2; ++i) multiply_add(sums.at[i][j], first[i], b.x, b.y);
#pragma unroll
      for (int i = 0; i < 2; ++i) multiply_add(sums.at[i][j], second[i], b.z, b.w);
    }
  }
}

// total += sums; sums = 0.
template <int kTiles>
__device__ __forceinline__ void close_slice(Sums<kTiles>& total, Sums<kTiles>& sums) {
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int j = 0; j < kTiles; ++j)
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        total.at[i][j][c] = __fadd_rn(total.at[i][j][c], sums.at[i][j][c]);
        sums.at[i][j][c] = 0;
      }
}

// Adds up the groups of this tile of outputs in the block that comes last; false in the others.
template <int kTiles>
__device__ __forceinline__ bool merge_groups(const ManyParams& params, Sums<kTiles>& total) {
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * gridDim.y + blockIdx.y;
  const int32_t groups = params.slices.groups, threads = static_cast<int32_t>(blockDim.x);
  constexpr int kRegisters = 2 * kTiles * 4;
  float* tiles = params.partial + tile * groups * kRegisters * threads + threadIdx.x;
  float* own = tiles + static_cast<int64_t>(blockIdx.z) * kRegisters * threads;
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) own[i * threads] = total.at[i / 4 / kTiles][i / 4 % kTiles][i % 4];
  fence_device();
  sync_block();
  int32_t* before = reinterpret_cast<int32_t*>(shared_memory());
  if (threadIdx.x == 0) *before = atomic_add(params.arrived + tile, 1);
  sync_block();
  if (*before != groups - 1) return false;
  fence_device();
  if (threadIdx.x == 0) params.arrived[tile] = 0;
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) total.at[i / 4 / kTiles][i / 4 % kTiles][i % 4] = 0;
  for (int32_t group = 0; group < groups; ++group, tiles += kRegisters * threads)
#pragma unroll
    for (int i = 0; i < kRegisters; ++i) {
      float& sum = total.at[i / 4 / kTiles][i / 4 % kTiles][i % 4];
      sum = __fadd_rn(sum, load_fresh(tiles + i * threads));
    }
  return true;
}

// Fragments into [tokens][kPitch] of shared memory: lanes of a quad column hold 8 neighbouring columns of the output.
template <int kTiles, int kPitch>
__device__ __forceinline__ void put_sums(float* to, const Sums<kTiles>& total) {
  const int lane = threadIdx.x % kWarp, quad_row = lane / 4, quad_column = lane % 4;
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int j = 0; j < kTiles; ++j)
#pragma unroll
      for (int c = 0; c < 4; ++c)
        to[(j * 8 + quad_column * 2 + c % 2) * kPitch + i * kWeightRows + c / 2 * 8 + quad_row] = total.at[i][j][c];
}

// Grid: tiles of weights, tiles of tokens, groups.
template <int kTiles, int kDown, int kAcross>
__global__ void __launch_bounds__(kDown * kAcross * kWarp) decode_many_kernel(ManyParams params) {
  using Tile = Shape<kTiles, kDown, kAcross>;
  const Product& p = params.product;
  const Slices& slices = params.slices;
  const int64_t row0 = static_cast<int64_t>(blockIdx.x) * Tile::kRows;
  const int64_t token0 = static_cast<int64_t>(blockIdx.y) * Tile::kTokens;
  const int32_t each = slices.slices / slices.groups;
  int32_t slice = static_cast<int32_t>(blockIdx.z) * each;
  const int32_t end = slices.start(slice + each);
  int32_t unit = slices.start(slice);

  char* shared = shared_memory();
  const auto copy_weights = [&](int32_t unit, int stage) {
    copy_tile<Tile::kRows, Tile::kThreads, place>(shared + stage * Tile::kStageBytes, static_cast<const uint16_t*>(p.w),
                                                  row0, p.weight_rows, p.weight_k, p.weight_k, unit);
  };
  const auto copy_tokens = [&](int32_t unit, int stage) {
    copy_tile<Tile::kTokens, Tile::kThreads, place>(shared + stage * Tile::kStageBytes + Tile::kRows * kRowBytes,
                                                    static_cast<const uint16_t*>(p.x), token0, p.rows, p.k, p.k, unit);
  };
  // All but one stage are filled: with weights while earlier launches may still run, then with tokens.
  for (int i = 0; i < Tile::kStages - 1 && unit + i < end; ++i) copy_weights(unit + i, i);
  await_earlier_launches();
  for (int i = 0; i < Tile::kStages - 1; ++i) {
    if (unit + i < end) copy_tokens(unit + i, i);
    copy_async_commit();
  }

  const int warp = threadIdx.x / kWarp, warp_row = warp / kAcross * kWarpRows, warp_token = warp % kAcross * kTiles * 8;
  Sums<kTiles> sums = {}, total = {};
  int32_t slice_end = slices.start(slice + 1);
  int stage = 0, next_stage = Tile::kStages - 1;
  for (; unit < end; ++unit) {
    copy_async_wait<Tile::kStages - 2>();
    sync_block();
    if (unit + Tile::kStages - 1 < end) {
      copy_weights(unit + Tile::kStages - 1, next_stage);
      copy_tokens(unit + Tile::kStages - 1, next_stage);
    }
    copy_async_commit();
    // Rows and tokens of a warp start at even numbers, so that place() is the same counted from there.
    const char* weights = shared + stage * Tile::kStageBytes;
    multiply_unit(sums, weights + warp_row * kRowBytes, weights + (Tile::kRows + warp_token) * kRowBytes);
    next_stage = stage;
    if (++stage == Tile::kStages) stage = 0;
    if (unit + 1 == slice_end) {
      close_slice(total, sums);
      slice_end = slices.start(++slice + 1);
    }
  }
  sync_block();  // the ring's memory is used again
  if (slices.groups > 1) {
    if (!merge_groups(params, total)) return;
    sync_block();
  }
  float* finished = reinterpret_cast<float*>(shared);
  put_sums<kTiles, Tile::kSumPitch>(finished + warp_token * Tile::kSumPitch + warp_row, total);
  sync_block();
  const int64_t tokens = p.rows - token0 < Tile::kTokens ? p.rows - token0 : Tile::kTokens;
  finish_tile<Tile::kRows, Tile::kSumPitch>(p.epilogue, finished, token0, tokens, row0);
}

template <int kTiles, int kDown, int kAcross>
int64_t blocks(const Product& p, const Slices& slices) {
  using Tile = Shape<kTiles, kDown, kAcross>;
  return int64_t{divided_up(p.weight_rows, Tile::kRows)} * divided_up(p.rows, Tile::kTokens) * slices.groups;
}

template <int kTiles, int kDown, int kAcross>
void launch_many(Context* context, const Product& p, const Slices& slices, char* workspace) {
  using Tile = Shape<kTiles, kDown, kAcross>;
  const dim3 grid(divided_up(p.weight_rows, Tile::kRows), divided_up(p.rows, Tile::kTokens),
                  static_cast<unsigned>(slices.groups));
  launch(context, "a product of many rows", decode_many_kernel<kTiles, kDown, kAcross>, grid, Tile::kThreads,
         Tile::kSharedBytes, ManyParams{p, slices, reinterpret_cast<float*>(workspace), context->counters});
}

}  // namespace

// The largest tile that leaves few multiprocessors without a block.
void decode_many(Context* context, const Product& p, const Slices& slices, char* workspace) {
  const int64_t enough = context->multiprocessors * 4 / 5;
  if (p.rows <= 32)
    return blocks<4, 4, 1>(p, slices) >= enough ? launch_many<4, 4, 1>(context, p, slices, workspace)
                                                : launch_many<2, 2, 2>(context, p, slices, workspace);
  if (p.rows > 64 && blocks<8, 4, 2>(p, slices) >= enough && context->shared_bytes >= Shape<8, 4, 2>::kSharedBytes)
    return launch_many<8, 4, 2>(context, p, slices, workspace);
  blocks<8, 4, 1>(p, slices) >= enough ? launch_many<8, 4, 1>(context, p, slices, workspace)
                                       : launch_many<4, 2, 2>(context, p, slices, workspace);
}

}  // namespace redllm::cuda
