// Products of rows that are decoded, in bf16: bound by the weights, which stream from memory once. Weights are the 16-row side of
// mma.sync and tokens the 8-column side. A lane's 16 bytes of a row are 8 consecutive k: elements 0..3 are its slots of one mma,
// 4..7 of the next, for weights and tokens alike, so that fragments are loaded as they lie and nothing is permuted.
#include "cuda/ops/matmul_internal.cuh"

namespace redllm::cuda {

namespace {

constexpr int kMostSlices = 16;
constexpr int kStretch = 32;                         // k of one load by a quad: 4 lanes of 8 elements
constexpr int kUnitStretches = kWeightK / kStretch;  // 2
constexpr int kChunkStretches = 2 * kUnitStretches;  // 256 bytes of each of 16 rows: 128 bytes a lane under way
constexpr int kSumPitch = kWeightRows + 4;  // floats from token to token: a quad row's stores meet no bank twice

struct FewParams {
  Product product;
  Slices slices;
};

// Weights of a warp's 16 rows by `count` stretches.
struct Chunk {
  uint4 low[kChunkStretches];   // row g
  uint4 high[kChunkStretches];  // row g + 8
};

__device__ __forceinline__ void load_chunk(Chunk& chunk, const uint16_t* low, const uint16_t* high, int32_t count) {
#pragma unroll
  for (int s = 0; s < kChunkStretches; ++s) {
    if (s >= count) continue;
    chunk.low[s] = load_stream(low + s * kStretch);
    chunk.high[s] = load_stream(high + s * kStretch);
  }
}

// sums += chunk times tokens. x: of this lane's token of the first tile, at its k; k: of that place, for the end of the row.
template <int kTiles>
__device__ __forceinline__ void multiply_chunk(float (&sums)[kTiles][4], const Chunk& chunk, const Product& p,
                                               const uint16_t* x, int64_t k, int64_t token, int32_t count) {
#pragma unroll
  for (int s = 0; s < kChunkStretches; ++s) {
    if (s >= count) continue;
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      uint4 b = make_uint4(0, 0, 0, 0);
      if (token + j * 8 < p.rows && k + s * kStretch < p.k)
        b = *reinterpret_cast<const uint4*>(x + j * 8 * p.k + s * kStretch);
      const uint32_t first[4] = {chunk.low[s].x, chunk.high[s].x, chunk.low[s].y, chunk.high[s].y};
      const uint32_t second[4] = {chunk.low[s].z, chunk.high[s].z, chunk.low[s].w, chunk.high[s].w};
      multiply_add(sums[j], first, b.x, b.y);
      multiply_add(sums[j], second, b.z, b.w);
    }
  }
}

// Slices of one output, [slice][token][kSumPitch] from `at` on, in the order that Slices says.
__device__ __forceinline__ float add_slices(const float* at, int32_t stride, const Slices& slices) {
  const int32_t each = slices.slices / slices.groups;  // a power of 2, as both are
  float part[kMostSlices];
#pragma unroll
  for (int s = 0; s < kMostSlices; ++s) part[s] = s < slices.slices ? at[s * stride] : 0.0f;
  float total = 0, sum = 0;
#pragma unroll
  for (int s = 0; s < kMostSlices; ++s) {
    if (s >= slices.slices) break;
    sum = __fadd_rn(sum, part[s]);
    if (((s + 1) & (each - 1)) != 0) continue;
    total = __fadd_rn(total, sum);
    sum = 0;
  }
  return total;
}

// A block computes 16 physical rows for 8 kTiles tokens, each warp one slice of K. Two chunks a warp are always under way.
template <int kTiles>
__global__ void __launch_bounds__(kMostSlices* kWarp) decode_few_kernel(FewParams params) {
  const Product& p = params.product;
  const Slices& slices = params.slices;
  constexpr int kTokens = kTiles * 8;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, quad_row = lane / 4, quad_column = lane % 4;
  const int64_t row0 = static_cast<int64_t>(blockIdx.x) * kWeightRows,
                token0 = static_cast<int64_t>(blockIdx.y) * kTokens;

  int32_t left = (slices.start(warp + 1) - slices.start(warp)) * kUnitStretches;
  int64_t k = static_cast<int64_t>(slices.start(warp)) * kWeightK + quad_column * 8;
  const uint16_t* low = static_cast<const uint16_t*>(p.w) + (row0 + quad_row) * p.weight_k + k;
  const uint16_t* high = low + 8 * p.weight_k;
  Chunk chunks[2];
  load_chunk(chunks[0], low, high, left);
  load_chunk(chunks[1], low + kChunkStretches * kStretch, high + kChunkStretches * kStretch, left - kChunkStretches);
  await_earlier_launches();  // for the tokens: weights depend on no other launch
  const int64_t token = token0 + quad_row;
  const uint16_t* x = static_cast<const uint16_t*>(p.x) + token * p.k + k;
  float sums[kTiles][4] = {};
  while (left > 0) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      multiply_chunk(sums, chunks[i], p, x, k, token, left);
      low += kChunkStretches * kStretch;
      high += kChunkStretches * kStretch;
      x += kChunkStretches * kStretch;
      k += kChunkStretches * kStretch;
      left -= kChunkStretches;
      load_chunk(chunks[i], low + kChunkStretches * kStretch, high + kChunkStretches * kStretch,
                 left - kChunkStretches);
    }
  }

  float* shared = reinterpret_cast<float*>(shared_memory());
  float* own = shared + warp * kTokens * kSumPitch + quad_row;
#pragma unroll
  for (int j = 0; j < kTiles; ++j)
#pragma unroll
    for (int i = 0; i < 4; ++i) own[(j * 8 + quad_column * 2 + i % 2) * kSumPitch + i / 2 * 8] = sums[j][i];
  sync_block();
  const Epilogue& e = p.epilogue;
  const int width = e.gated ? kGateRows : kWeightRows;
  const int64_t column0 = static_cast<int64_t>(blockIdx.x) * width;
  for (int i = threadIdx.x; i < kTokens * width; i += blockDim.x) {
    const int64_t row = token0 + i / width, column = column0 + i % width;
    if (row >= p.rows || column >= e.columns) continue;
    const float* at = shared + i / width * kSumPitch + i % width;
    const float sum = add_slices(at, kTokens * kSumPitch, slices);
    put(e, row, column,
        e.gated ? finished_gated(e, sum, add_slices(at + kGateRows, kTokens * kSumPitch, slices), column)
                : finished(e, sum, column));
  }
}

template <int kTiles>
void launch_few(Context* context, const Product& product, const Slices& slices) {
  constexpr int64_t kTokens = kTiles * 8;
  const dim3 grid(static_cast<unsigned>(product.weight_rows / kWeightRows),
                  static_cast<unsigned>((product.rows + kTokens - 1) / kTokens));
  launch(context, "a product of few rows", decode_few_kernel<kTiles>, grid, slices.slices * kWarp,
         static_cast<size_t>(slices.slices * kTokens * kSumPitch) * sizeof(float), FewParams{product, slices});
}

int32_t power_of_2_upto(int64_t most) {
  int32_t power = 1;
  while (power * 2 <= most) power *= 2;
  return power;
}

}  // namespace

// Slices: 8, the warps of a block of decode_few, two or three of which share a multiprocessor; 16 where there are so few blocks that
// each has one for itself. Groups: as many as decode_many, which gives each to a block with 64 rows of weights, needs for about one
// block on each multiprocessor of a large card; but no group of less than 4 units.
Slices decode_slices(int64_t weight_rows, int64_t weight_k) {
  constexpr int64_t kBlocks = 120;
  const int64_t units = weight_k / kWeightK, tiles = weight_rows / kWeightRows;
  const int32_t slices = power_of_2_upto(units >= 32 && tiles <= 132 ? kMostSlices : units < 8 ? units : 8);
  int32_t groups = 1;
  while (groups < slices && groups * 8 <= units && (tiles + 3) / 4 * groups < kBlocks) groups *= 2;
  return {static_cast<int32_t>(units), slices, groups};
}

void decode_few(Context* context, const Product& product, const Slices& slices) {
  product.rows <= 8 ? launch_few<1>(context, product, slices) : launch_few<2>(context, product, slices);
}

}  // namespace redllm::cuda
