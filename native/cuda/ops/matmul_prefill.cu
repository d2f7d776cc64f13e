// Products of rows of prompts, in bf16, where no library serves: tokens are the 16-row side of mma.sync, weights the 8-column side. Each
// output is one accumulator over ascending k, whatever the tile, so that tiles may follow the number of rows.
#include "cuda/ops/matmul_tile.cuh"

namespace redllm::cuda {

namespace {

constexpr int kRingBytes = 96 << 10;  // two blocks share a multiprocessor's 227 KB
constexpr int kGroupTiles = 8;        // tiles of tokens whose blocks run side by side with the same weights

// Pieces of 8 consecutive rows lie in different banks, for the copies and for load_matrices.
__device__ __forceinline__ int place(int row, int piece) {
  return row * kRowBytes + (piece ^ (row & 7)) * 16;
}

// A tile: kDown x kAcross warps, each of kM 16-row tiles of tokens by kN 8-row tiles of weights.
template <int kM, int kN, int kDown, int kAcross>
struct Shape {
  static constexpr int kTokens = kDown * kM * 16;
  static constexpr int kWeights = kAcross * kN * 8;
  static constexpr int kThreads = kDown * kAcross * kWarp;
  static constexpr int kStageBytes = (kTokens + kWeights) * kRowBytes;
  static constexpr int kStages = kRingBytes / kStageBytes;
  // Finished sums, from token to token, so that stores of pairs by half a warp meet no bank twice.
  static constexpr int kSumPitch = kWeights + 8;
  static_assert(kTokens * kSumPitch * int{sizeof(float)} <= kStages * kStageBytes);
};

// One unit of K: sums += x w^T.
template <int kM, int kN>
__device__ __forceinline__ void multiply_unit(float (&sums)[kM][kN][4], const char* tokens, const char* weights) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int step = 0; step < kWeightK / 16; ++step) {
    uint32_t a[kM][4], b[kN / 2][4];
#pragma unroll
    for (int i = 0; i < kM; ++i) load_matrices(a[i], tokens + place(i * 16 + lane % 16, step * 2 + lane / 16));
#pragma unroll
    for (int j = 0; j < kN / 2; ++j)
      load_matrices(b[j], weights + place(j * 16 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int j = 0; j < kN; ++j) multiply_add(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
  }
}

template <int kM, int kN, int kDown, int kAcross>
__global__ void __launch_bounds__(kDown * kAcross * kWarp) prefill_kernel(Product p) {
  using Tile = Shape<kM, kN, kDown, kAcross>;
  const int64_t down = (p.rows + Tile::kTokens - 1) / Tile::kTokens;
  const int64_t across = (p.weight_rows + Tile::kWeights - 1) / Tile::kWeights;
  // Blocks go down kGroupTiles tiles of tokens, then to the next tile of weights: neighbours find both in the second-level cache.
  const int64_t group = blockIdx.x / (kGroupTiles * across), in_group = blockIdx.x % (kGroupTiles * across);
  const int64_t height = down - group * kGroupTiles < kGroupTiles ? down - group * kGroupTiles : kGroupTiles;
  const int64_t token0 = (group * kGroupTiles + in_group % height) * Tile::kTokens;
  const int64_t row0 = in_group / height * Tile::kWeights;

  char* shared = shared_memory();
  const int units = static_cast<int>(p.weight_k / kWeightK);
  const auto copy_weights = [&](int unit, int stage) {
    copy_tile<Tile::kWeights, Tile::kThreads, place>(shared + stage * Tile::kStageBytes + Tile::kTokens * kRowBytes,
                                                     static_cast<const uint16_t*>(p.w), row0, p.weight_rows, p.weight_k,
                                                     p.weight_k, unit);
  };
  const auto copy_tokens = [&](int unit, int stage) {
    copy_tile<Tile::kTokens, Tile::kThreads, place>(shared + stage * Tile::kStageBytes,
                                                    static_cast<const uint16_t*>(p.x), token0, p.rows, p.k, p.k, unit);
  };
  // All but one stage are filled: with weights while earlier launches may still run, then with tokens.
  for (int i = 0; i < Tile::kStages - 1 && i < units; ++i) copy_weights(i, i);
  await_earlier_launches();
  for (int i = 0; i < Tile::kStages - 1; ++i) {
    if (i < units) copy_tokens(i, i);
    copy_async_commit();
  }

  const int warp = threadIdx.x / kWarp, warp_token = warp / kAcross * kM * 16, warp_row = warp % kAcross * kN * 8;
  float sums[kM][kN][4] = {};
  for (int unit = 0; unit < units; ++unit) {
    copy_async_wait<Tile::kStages - 2>();
    sync_block();
    if (const int next = unit + Tile::kStages - 1; next < units) {
      copy_weights(next, next % Tile::kStages);
      copy_tokens(next, next % Tile::kStages);
    }
    copy_async_commit();
    const char* tokens = shared + unit % Tile::kStages * Tile::kStageBytes;
    // Rows of a warp start at multiples of 8, so that place() is the same counted from there.
    multiply_unit<kM, kN>(sums, tokens + warp_token * kRowBytes, tokens + (Tile::kTokens + warp_row) * kRowBytes);
  }

  sync_block();  // the ring's memory is used again
  float* finished = reinterpret_cast<float*>(shared);
  const int lane = threadIdx.x % kWarp, quad_row = lane / 4, quad_column = lane % 4;
#pragma unroll
  for (int i = 0; i < kM; ++i)
#pragma unroll
    for (int j = 0; j < kN; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int token = warp_token + i * 16 + half * 8 + quad_row, row = warp_row + j * 8 + quad_column * 2;
        *reinterpret_cast<float2*>(finished + token * Tile::kSumPitch + row) =
            make_float2(sums[i][j][half * 2], sums[i][j][half * 2 + 1]);
      }
  sync_block();
  const int64_t tokens = p.rows - token0 < Tile::kTokens ? p.rows - token0 : Tile::kTokens;
  finish_tile<Tile::kWeights, Tile::kSumPitch>(p.epilogue, finished, token0, tokens, row0);
}

template <int kM, int kN, int kDown, int kAcross>
int64_t tiles(const Product& p) {
  using Tile = Shape<kM, kN, kDown, kAcross>;
  return int64_t{divided_up(p.rows, Tile::kTokens)} * divided_up(p.weight_rows, Tile::kWeights);
}

template <int kM, int kN, int kDown, int kAcross>
void launch_prefill(Context* context, const Product& product) {
  using Tile = Shape<kM, kN, kDown, kAcross>;
  launch(context, "a product of prompts", prefill_kernel<kM, kN, kDown, kAcross>,
         dim3(static_cast<unsigned>(tiles<kM, kN, kDown, kAcross>(product))), Tile::kThreads,
         size_t{Tile::kStages} * Tile::kStageBytes, product);
}

}  // namespace

void prefill_tiles(Context* context, const Product& product) {
  // 128 x 128, or 64 x 64 where that would leave multiprocessors idle.
  tiles<4, 8, 2, 2>(product) >= context->multiprocessors ? launch_prefill<4, 8, 2, 2>(context, product)
                                                         : launch_prefill<2, 4, 2, 2>(context, product);
}

}  // namespace redllm::cuda
