// The packed product, for many rows and for few: blocks of rows are interleaved once, then groups of panels are multiplied.
//
// Whatever the blocking, an element of the output is one accumulator over ascending k: K is cut only to keep a block of the weights in the
// second-level cache, and the accumulators are carried from one block to the next.
#if defined(REDLLM_ISA_avx512)
#include "cpu/ops/matmul_avx512.h"
#elif defined(REDLLM_ISA_avx2)
#include "cpu/ops/matmul_avx2.h"
#else
#include "cpu/ops/matmul_plain.h"
#endif
#include "cpu/ops/matmul_epilogue.h"
#include "cpu/ops/matmul_input.h"

namespace REDLLM_ISA_NAMESPACE {

namespace {

// Scratch: the first thread's holds the interleaved rows, which all threads read, and every thread's ends in accumulators.
constexpr int64_t kInputBytes = kScratchBytes * 5 / 8;
constexpr int64_t kSumBytes = kScratchBytes - kInputBytes;

constexpr int64_t kGroupPanels = 4;          // panels that several tiles of rows share, cache block by cache block
constexpr int64_t kBlockSteps = 512;         // a cache block: 64 KB of a panel
constexpr int64_t kStreamBytes = 128 << 10;  // weights of one task where a single tile streams them
constexpr int64_t kTasksPerThread = 4;       // so that a thread that the system descheduled does not hold up the others
constexpr int64_t kPackAlone = 16 << 10;     // elements below which interleaving is not worth waking other threads

using TileKernel = void (*)(const float* a, const char* b, int64_t steps, float* acc, bool carry);

template <bool kBf16>
TileKernel tile_of(int64_t rows) {
  switch (rows) {
    case 1:
      return tile<1, kBf16>;
    case 2:
      return tile<2, kBf16>;
    case 3:
      return tile<3, kBf16>;
    case 4:
      return tile<4, kBf16>;
#if !defined(REDLLM_ISA_plain)
    case 5:
      return tile<5, kBf16>;
    case 6:
      return tile<6, kBf16>;
#endif
#if defined(REDLLM_ISA_avx512)
    case 7:
      return tile<7, kBf16>;
    case 8:
      return tile<8, kBf16>;
    case 9:
      return tile<9, kBf16>;
    case 10:
      return tile<10, kBf16>;
    case 11:
      return tile<11, kBf16>;
    case 12:
      return tile<12, kBf16>;
#endif
  }
  return nullptr;
}

// A block of rows against all panels.
struct Block {
  const MatmulArgs* args;
  const float* input;  // interleaved
  int64_t first;       // row of the output
  int64_t rows;
  int64_t tiles;
  int64_t steps;     // over K
  int64_t elements;  // of the input, a step

  // Rows are dealt out evenly: 13 are 7 + 6, not 12 + 1.
  int64_t tile_start(int64_t t) const { return rows * t / tiles; }
};

void multiply(const Block& block, int64_t t, int64_t panel, int64_t s0, int64_t s1, float* acc) {
  const int64_t start = block.tile_start(t);
  const int64_t rows = block.tile_start(t + 1) - start;
  const float* a = block.input + (start * block.steps + s0 * rows) * block.elements;
  const Weight& w = block.args->w;
  const char* b = static_cast<const char*>(w.data) + (panel * block.steps + s0) * kStepBytes;
  const TileKernel kernel = w.type == DType::bf16 ? tile_of<true>(rows) : tile_of<false>(rows);
  kernel(a, b, s1 - s0, acc, s0 > 0);
}

// Tiles [t0, t1) times panels [p0, p1). sums: kSumBytes of the thread's own.
void multiply_group(const Block& block, int64_t t0, int64_t t1, int64_t p0, int64_t p1, float* sums) {
  constexpr int64_t kTileSums = kTileRows * kPanelColumns;
  const int64_t block_steps = t1 - t0 == 1 ? block.steps : kBlockSteps;
  const bool whole = block.steps <= block_steps;
  for (int64_t s0 = 0; s0 < block.steps; s0 += block_steps) {
    const int64_t s1 = s0 + block_steps < block.steps ? s0 + block_steps : block.steps;
    for (int64_t t = t0; t < t1; ++t) {
      for (int64_t p = p0; p < p1; ++p) {
        float* acc = whole ? sums : sums + ((t - t0) * (p1 - p0) + (p - p0)) * kTileSums;
        multiply(block, t, p, s0, s1, acc);
        if (s1 == block.steps)
          finish(*block.args, p, acc, block.first + block.tile_start(t), block.tile_start(t + 1) - block.tile_start(t));
      }
    }
  }
}

void multiply_block(Context* context, const Block& block, float* input) {
  const auto interleave_tile = [&](int64_t t, int32_t) {
    const int64_t start = block.tile_start(t);
    interleave(block.args->x, block.first + start, block.tile_start(t + 1) - start,
               input + start * block.steps * block.elements);
  };
  if (block.rows * block.steps <= kPackAlone) {
    for (int64_t t = 0; t < block.tiles; ++t) interleave_tile(t, 0);
  } else {
    parallel_for(context, block.tiles, interleave_tile);
  }

  const Weight& w = block.args->w;
  const int64_t panels = packed_panels(w.n, w.gated);
  const int64_t wanted = context->pool->threads() == 1 ? 1 : context->pool->threads() * kTasksPerThread;
  int64_t group = block.tiles > 1 ? kGroupPanels : kStreamBytes / (block.steps * kStepBytes);
  if (group > panels / wanted) group = panels / wanted;
  if (group < 1) group = 1;
  const int64_t groups = (panels + group - 1) / group;
  // Few panels and many rows: the rows are divided too.
  int64_t parts = (wanted + groups - 1) / groups;
  if (parts > block.tiles) parts = block.tiles;
  parallel_for(context, groups * parts, [&](int64_t task, int32_t thread) {
    const int64_t p0 = task / parts * group;
    const int64_t p1 = p0 + group < panels ? p0 + group : panels;
    const int64_t part = task % parts;
    float* sums = reinterpret_cast<float*>(context->scratch + thread * context->scratch_bytes + kInputBytes);
    multiply_group(block, block.tiles * part / parts, block.tiles * (part + 1) / parts, p0, p1, sums);
  });
}

}  // namespace

void matmul(Context* context, const MatmulArgs& args) {
  const int64_t rows = args.x.rows;
  const int64_t steps = packed_steps(args.w.type, args.w.k);
  const int64_t elements = elements_per_step(args.w.type);
  float* input = reinterpret_cast<float*>(context->scratch);
  // Rows whose interleaved form fits, and whose sums do for one group of panels (a tile's are padded to kTileRows).
  const int64_t by_input = kInputBytes / (steps * elements * 4);
  const int64_t by_sums = kSumBytes / (kGroupPanels * kPanelColumns * 4) / 2;
  int64_t most = by_input < by_sums ? by_input : by_sums;
  if (most < 1) most = 1;
  const int64_t blocks = (rows + most - 1) / most;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t first = rows * i / blocks;
    const int64_t count = rows * (i + 1) / blocks - first;
    multiply_block(context, {&args, input, first, count, (count + kTileRows - 1) / kTileRows, steps, elements}, input);
  }
}

}  // namespace REDLLM_ISA_NAMESPACE
