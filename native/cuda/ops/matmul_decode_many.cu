// Products of 17 rows and more that are decoded, in bf16, with the order of sums and the fragments of matmul_decode.cu. A warp computes
// 32 rows of weights for all of a block's tokens, one slice after the other, from tiles that a ring of asynchronous copies brings.
#include "cuda/ops/matmul_internal.cuh"

namespace redllm::cuda {

namespace {

constexpr int kStages = 4;
constexpr int kMostWarps = 4;
constexpr int kWarpRows = 2 * kWeightRows;
constexpr int kPieces = kWeightK / 8;  // 16-byte pieces of a row of a tile
constexpr int kRowBytes = kPieces * 16;

struct ManyParams {
  Product product;
  Slices slices;
  float* partial;    // [tile of outputs][group][registers of a thread][threads], where there are several groups
  int32_t* arrived;  // [tile of outputs] groups whose sums are there
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

// One unit of K of all tokens: sums += w x^T.
template <int kTiles>
__device__ __forceinline__ void multiply_unit(Sums<kTiles>& sums, const char* weights, const char* tokens) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, quad_row = lane / 4, quad_column = lane % 4;
#pragma unroll
  for (int piece = quad_column; piece < kPieces; piece += 4) {
    uint32_t first[2][4], second[2][4];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = warp * kWarpRows + i * kWeightRows + quad_row;
      const uint4 low = *reinterpret_cast<const uint4*>(weights + place(row, piece));
      const uint4 high = *reinterpret_cast<const uint4*>(weights + place(row + 8, piece));
      first[i][0] = low.x, first[i][1] = high.x, first[i][2] = low.y, first[i][3] = high.y;
      second[i][0] = low.z, second[i][1] = high.z, second[i][2] = low.w, second[i][3] = high.w;
    }
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      const uint4 b = *reinterpret_cast<const uint4*>(tokens + place(j * 8 + quad_row, piece));
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        multiply_add(sums.at[i][j], first[i], b.x, b.y);
        multiply_add(sums.at[i][j], second[i], b.z, b.w);
      }
    }
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

// Lanes of a quad column hold 8 neighbouring columns of the output.
template <int kTiles>
__device__ __forceinline__ void finish_tile(const Product& p, const Sums<kTiles>& total, int64_t row0, int64_t token0) {
  const Epilogue& e = p.epilogue;
  const int lane = threadIdx.x % kWarp, quad_row = lane / 4, quad_column = lane % 4;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int64_t first = row0 + i * kWeightRows, column = (e.gated ? first / 2 : first) + quad_row;
#pragma unroll
    for (int j = 0; j < kTiles; ++j)
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int64_t token = token0 + j * 8 + quad_column * 2 + c;
        if (token >= p.rows) continue;
        const float low = total.at[i][j][c], high = total.at[i][j][2 + c];
        if (e.gated) {
          if (column < e.columns) put(e, token, column, finished_gated(e, low, high, column));
        } else {
          if (column < e.columns) put(e, token, column, finished(e, low, column));
          if (column + 8 < e.columns) put(e, token, column + 8, finished(e, high, column + 8));
        }
      }
  }
}

// Grid: tiles of 32 rows of weights a warp, tiles of 8 kTiles tokens, groups.
template <int kTiles>
__global__ void __launch_bounds__(kMostWarps* kWarp) decode_many_kernel(ManyParams params) {
  await_earlier_launches();
  const Product& p = params.product;
  const Slices& slices = params.slices;
  constexpr int kTokens = kTiles * 8;
  const int threads = static_cast<int>(blockDim.x), tile_rows = threads / kWarp * kWarpRows;
  const int64_t row0 = static_cast<int64_t>(blockIdx.x) * tile_rows,
                token0 = static_cast<int64_t>(blockIdx.y) * kTokens;
  const int32_t each = slices.slices / slices.groups;
  int32_t slice = static_cast<int32_t>(blockIdx.z) * each;
  const int32_t begin = slices.start(slice), end = slices.start(slice + each);

  // A thread copies one piece of every `step`-th row of weights and of tokens.
  char* shared = shared_memory();
  const int stage_bytes = (tile_rows + kTokens) * kRowBytes, step = threads / kPieces;
  const int copied_row = static_cast<int>(threadIdx.x) / kPieces, piece = static_cast<int>(threadIdx.x) % kPieces;
  const uint16_t* const w = static_cast<const uint16_t*>(p.w);
  const uint16_t* const x = static_cast<const uint16_t*>(p.x);
  const auto copy = [&](int32_t unit) {
    if (unit < end) {
      char* weights = shared + (unit - begin) % kStages * stage_bytes;
      char* tokens = weights + tile_rows * kRowBytes;
      const int64_t k = static_cast<int64_t>(unit) * kWeightK + piece * 8;
#pragma unroll 4
      for (int r = copied_row; r < tile_rows; r += step) {
        const bool valid = row0 + r < p.weight_rows;
        copy_async(weights + place(r, piece), valid ? w + (row0 + r) * p.weight_k + k : w, valid);
      }
#pragma unroll 4
      for (int r = copied_row; r < kTokens; r += step) {
        const bool valid = token0 + r < p.rows && k < p.k;
        copy_async(tokens + place(r, piece), valid ? x + (token0 + r) * p.k + k : x, valid);
      }
    }
    copy_async_commit();
  };
  for (int32_t i = 0; i < kStages - 1; ++i) copy(begin + i);

  Sums<kTiles> sums = {}, total = {};
  int32_t slice_end = slices.start(slice + 1);
  for (int32_t unit = begin; unit < end; ++unit) {
    copy_async_wait<kStages - 2>();
    sync_block();
    copy(unit + kStages - 1);
    const char* weights = shared + (unit - begin) % kStages * stage_bytes;
    multiply_unit(sums, weights, weights + tile_rows * kRowBytes);
    if (unit + 1 < slice_end) continue;
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < kTiles; ++j)
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          total.at[i][j][c] = __fadd_rn(total.at[i][j][c], sums.at[i][j][c]);
          sums.at[i][j][c] = 0;
        }
    ++slice;
    slice_end = slices.start(slice + 1);
  }
  if (slices.groups > 1) {
    sync_block();  // the ring's memory is used again
    if (!merge_groups(params, total)) return;
  }
  finish_tile(p, total, row0 + threadIdx.x / kWarp * kWarpRows, token0);
}

template <int kTiles>
void launch_many(Context* context, const Product& product, const Slices& slices, char* workspace) {
  constexpr int64_t kTokens = kTiles * 8;
  const int64_t quarters = (product.weight_rows + kWarpRows - 1) / kWarpRows;
  // Blocks of 128 rows of weights, of 64 where those would be too few.
  const int64_t warps = slices.groups > 1 || quarters < 480 ? 2 : kMostWarps;
  const dim3 grid(static_cast<unsigned>((quarters + warps - 1) / warps),
                  static_cast<unsigned>((product.rows + kTokens - 1) / kTokens), static_cast<unsigned>(slices.groups));
  const size_t shared = static_cast<size_t>(kStages * (warps * kWarpRows + kTokens) * kRowBytes);
  launch(context, "a product of many rows", decode_many_kernel<kTiles>, grid, static_cast<int>(warps) * kWarp, shared,
         ManyParams{product, slices, reinterpret_cast<float*>(workspace), context->counters});
}

}  // namespace

void decode_many(Context* context, const Product& product, const Slices& slices, char* workspace) {
  product.rows <= 32 ? launch_many<4>(context, product, slices, workspace)
                     : launch_many<8>(context, product, slices, workspace);
}

}  // namespace redllm::cuda
