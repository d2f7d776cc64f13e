// Products of rows that are decoded, in bf16: bound by the weights, which stream from memory once. Weights are the 16-row side of
// mma.sync and tokens the 8-column side. A lane's 16 bytes of a row are 8 consecutive k: elements 0..3 are its slots of one mma,
// 4..7 of the next, for weights and tokens alike, so that fragments are loaded as they lie and nothing is permuted.
#include "cuda/ops/matmul_internal.cuh"

namespace redllm::cuda {

namespace {

constexpr int kMostSlices = 16;
constexpr int kStretch = 32;                         // k of one load by a quad: 4 lanes of 8 elements
constexpr int kUnitStretches = kWeightK / kStretch;  // 2
constexpr int kSumPitch = kWeightRows + 4;  // floats from token to token: a quad row's stores meet no bank twice

struct FewParams {
  Product product;
  Slices slices;
};

// What a warp has under way: a ring of units of K of its 16 rows of weights and of the tokens, as many as registers allow.
template <int kTiles>
constexpr int kRing = kTiles == 1 ? 4 : 3;

template <int kTiles>
struct Unit {
  uint4 low[kUnitStretches];   // row g of the weights
  uint4 high[kUnitStretches];  // row g + 8
  uint4 tokens[kUnitStretches][kTiles];
};

// A lane's rows of the weights and its token of the first tile, at the first unit of the ring.
template <int kTiles>
struct Place {
  const uint16_t* low;
  const uint16_t* high;
  const uint16_t* x;
  // Elements from there to the end of the token of each tile; none where there is no such token.
  int32_t left_k[kTiles];
};

template <int kTiles>
__device__ __forceinline__ void load_weights(Unit<kTiles>& unit, const Place<kTiles>& at, int index) {
#pragma unroll
  for (int s = 0; s < kUnitStretches; ++s) {
    unit.low[s] = load_stream(at.low + index * kWeightK + s * kStretch);
    unit.high[s] = load_stream(at.high + index * kWeightK + s * kStretch);
  }
}

// Tokens and elements that do not exist count as zeros.
template <int kTiles>
__device__ __forceinline__ void load_tokens(Unit<kTiles>& unit, const Place<kTiles>& at, int index, int64_t pitch) {
#pragma unroll
  for (int s = 0; s < kUnitStretches; ++s)
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      const int k = index * kWeightK + s * kStretch;
      unit.tokens[s][j] = make_uint4(0, 0, 0, 0);
      if (k < at.left_k[j]) unit.tokens[s][j] = *reinterpret_cast<const uint4*>(at.x + j * 8 * pitch + k);
    }
}

// sums += the unit's weights times its tokens.
template <int kTiles>
__device__ __forceinline__ void multiply_unit(float (&sums)[kTiles][4], const Unit<kTiles>& unit) {
#pragma unroll
  for (int s = 0; s < kUnitStretches; ++s) {
    const uint32_t first[4] = {unit.low[s].x, unit.high[s].x, unit.low[s].y, unit.high[s].y};
    const uint32_t second[4] = {unit.low[s].z, unit.high[s].z, unit.low[s].w, unit.high[s].w};
#pragma unroll
    for (int j = 0; j < kTiles; ++j) multiply_add(sums[j], first, unit.tokens[s][j].x, unit.tokens[s][j].y);
#pragma unroll
    for (int j = 0; j < kTiles; ++j) multiply_add(sums[j], second, unit.tokens[s][j].z, unit.tokens[s][j].w);
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

// A block computes 16 physical rows for 8 kTiles tokens, each warp one slice of K.
template <int kTiles>
__global__ void __launch_bounds__(kMostSlices* kWarp) decode_few_kernel(FewParams params) {
  const Product& p = params.product;
  const Slices& slices = params.slices;
  constexpr int kTokens = kTiles * 8, kUnits = kRing<kTiles>;
  // By a shuffle the compiler knows that a warp agrees on it, and on what its branches below depend on.
  const int warp = shuffle(static_cast<int>(threadIdx.x) / kWarp, 0);
  const int lane = threadIdx.x % kWarp, quad_row = lane / 4, quad_column = lane % 4;
  const int64_t row0 = static_cast<int64_t>(blockIdx.x) * kWeightRows;
  const int64_t token0 = static_cast<int64_t>(blockIdx.y) * kTokens;

  Place<kTiles> at;
  const int32_t k0 = slices.start(warp) * kWeightK + quad_column * 8;
  int32_t units = slices.start(warp + 1) - slices.start(warp);
  at.low = static_cast<const uint16_t*>(p.w) + (row0 + quad_row) * p.weight_k + k0;
  at.high = at.low + 8 * p.weight_k;
  at.x = static_cast<const uint16_t*>(p.x) + (token0 + quad_row) * p.k + k0;
#pragma unroll
  for (int j = 0; j < kTiles; ++j)
    at.left_k[j] = token0 + j * 8 + quad_row < p.rows ? static_cast<int32_t>(p.k) - k0 : 0;

  Unit<kTiles> ring[kUnits];
#pragma unroll
  for (int i = 0; i < kUnits; ++i)
    if (i < units) load_weights(ring[i], at, i);
  await_earlier_launches();  // for the tokens: weights depend on no other launch
#pragma unroll
  for (int i = 0; i < kUnits; ++i)
    if (i < units) load_tokens(ring[i], at, i, p.k);

  float sums[kTiles][4] = {};
  for (; units >= 2 * kUnits; units -= kUnits) {
#pragma unroll
    for (int i = 0; i < kUnits; ++i) {
      multiply_unit(sums, ring[i]);
      load_weights(ring[i], at, kUnits + i);
      load_tokens(ring[i], at, kUnits + i, p.k);
    }
    at.low += kUnits * kWeightK;
    at.high += kUnits * kWeightK;
    at.x += kUnits * kWeightK;
#pragma unroll
    for (int j = 0; j < kTiles; ++j) at.left_k[j] -= kUnits * kWeightK;
  }
  // Less than two rings are left.
#pragma unroll
  for (int i = 0; i < kUnits; ++i) {
    if (i < units) multiply_unit(sums, ring[i]);
    if (kUnits + i >= units) continue;
    load_weights(ring[i], at, kUnits + i);
    load_tokens(ring[i], at, kUnits + i, p.k);
  }
#pragma unroll
  for (int i = 0; i < kUnits; ++i)
    if (kUnits + i < units) multiply_unit(sums, ring[i]);

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
  const dim3 grid(static_cast<unsigned>(product.weight_rows / kWeightRows), divided_up(product.rows, kTokens));
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
