// The packed product, for many rows and for few: blocks of rows are interleaved once, then groups of panels are multiplied.
//
// Whatever the blocking, an element of the output is one accumulator over ascending k: K is cut only to keep a block of the
// weights in the second-level cache, and the accumulators are carried from one block to the next.
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
static_assert(kMaxK * 8 <= kInputBytes);

constexpr int64_t kManyTiles = 4;            // from here on tiles share a group of panels
constexpr int64_t kGroupPanels = 4;          // of 64 KB a cache block
constexpr int64_t kBlockSteps = 512;         // a cache block of a panel
constexpr int64_t kStreamBytes = 256 << 10;  // weights of one task with few tiles: memory sets the time
constexpr int64_t kStreamAhead = 4 << 10;    // how far ahead of its multiplications a single tile fetches
constexpr int64_t kTasksPerThread = 4;       // so that a thread that the system descheduled does not hold up the others
constexpr int64_t kPackAlone = 16 << 10;     // elements below which interleaving is not worth waking other threads

using TileKernel = void (*)(const float* a, const char* b, int64_t steps, float* acc, bool carry, Ahead ahead);

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
    case 13:
      return tile<13, kBf16>;
    case 14:
      return tile<14, kBf16>;
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

  const char* weights(int64_t panel, int64_t step) const {
    return static_cast<const char*>(args->w.data) + (panel * steps + step) * kStepBytes;
  }
  // Rows are dealt out evenly: 15 are 8 + 7, not 14 + 1.
  int64_t tile_start(int64_t t) const { return rows * t / tiles; }
};

// acc (+)= tile t of the rows times one panel, over steps [s0, s1).
void multiply(const Block& block, int64_t t, int64_t panel, int64_t s0, int64_t s1, float* acc, Ahead ahead) {
  const int64_t start = block.tile_start(t);
  const int64_t rows = block.tile_start(t + 1) - start;
  const float* a = block.input + (start * block.steps + s0 * rows) * block.elements;
  const TileKernel kernel = block.args->w.type == DType::bf16 ? tile_of<true>(rows) : tile_of<false>(rows);
  kernel(a, block.weights(panel, s0), s1 - s0, acc, s0 > 0, ahead);
}

// One tile, alone: every panel streams through once.
void stream(const Block& block, int64_t t, int64_t p0, int64_t p1) {
  alignas(64) float acc[kTileRows * kPanelColumns];
  for (int64_t p = p0; p < p1; ++p) {
    multiply(block, t, p, 0, block.steps, acc, {block.weights(p, 0) + kStreamAhead, kStepBytes});
    finish(*block.args, p, acc, block.first + block.tile_start(t), block.tile_start(t + 1) - block.tile_start(t));
  }
}

// Tiles [t0, t1) times panels [p0, p1), a group of panels and a block of K at a time: the tiles read it from the second-level
// cache, and each fetches a part of the block that comes next. sums: kSumBytes of the thread's own.
void reuse(const Block& block, int64_t t0, int64_t t1, int64_t p0, int64_t p1, int64_t group, float* sums) {
  constexpr int64_t kTileSums = kTileRows * kPanelColumns;
  const int64_t tiles = t1 - t0;
  const int64_t stride = (kStepBytes + tiles - 1) / tiles;
  for (int64_t g0 = p0; g0 < p1; g0 += group) {
    const int64_t g1 = g0 + group < p1 ? g0 + group : p1;
    for (int64_t s0 = 0; s0 < block.steps; s0 += kBlockSteps) {
      const int64_t s1 = s0 + kBlockSteps < block.steps ? s0 + kBlockSteps : block.steps;
      const bool last = s1 == block.steps;
      for (int64_t t = t0; t < t1; ++t) {
        const int64_t row = block.first + block.tile_start(t), rows = block.tile_start(t + 1) - block.tile_start(t);
        for (int64_t p = g0; p < g1; ++p) {
          float* acc = sums + ((t - t0) * group + (p - g0)) * kTileSums;
          const char* next = !last ? block.weights(p, s1) : p + group < p1 ? block.weights(p + group, 0) : nullptr;
          const Ahead ahead =
              next == nullptr ? Ahead{block.weights(p, s0), 0} : Ahead{next + (t - t0) * (s1 - s0) * stride, stride};
          if (last) fetch_output(*block.args, p, row, rows);
          multiply(block, t, p, s0, s1, acc, ahead);
          if (last) finish(*block.args, p, acc, row, rows);
        }
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
  const int64_t panel_bytes = block.steps * kStepBytes;
  // Many tiles share several panels, so that a tile is read less often; few of them must not wait for more than one.
  const int64_t group = block.tiles < kManyTiles ? 1 : kGroupPanels;
  int64_t panels_per_task = block.tiles < kManyTiles ? kStreamBytes / panel_bytes : kGroupPanels;
  if (panels_per_task > panels / wanted) panels_per_task = panels / wanted;
  if (panels_per_task < 1) panels_per_task = 1;
  const int64_t ranges = (panels + panels_per_task - 1) / panels_per_task;
  // Few panels and many rows: the rows are divided too.
  int64_t parts = (wanted + ranges - 1) / ranges;
  if (parts > block.tiles) parts = block.tiles;
  parallel_for(context, ranges * parts, [&](int64_t task, int32_t thread) {
    const int64_t p0 = task / parts * panels_per_task;
    const int64_t p1 = p0 + panels_per_task < panels ? p0 + panels_per_task : panels;
    const int64_t t0 = block.tiles * (task % parts) / parts, t1 = block.tiles * (task % parts + 1) / parts;
    if (t1 - t0 == 1) return stream(block, t0, p0, p1);
    char* scratch = context->scratch + thread * context->scratch_bytes;
    reuse(block, t0, t1, p0, p1, group, reinterpret_cast<float*>(scratch + kInputBytes));
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
  const int64_t most = by_input < by_sums ? by_input : by_sums;
  const int64_t blocks = (rows + most - 1) / most;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t first = rows * i / blocks;
    const int64_t count = rows * (i + 1) / blocks - first;
    multiply_block(context, {&args, input, first, count, (count + kTileRows - 1) / kTileRows, steps, elements}, input);
  }
}

}  // namespace REDLLM_ISA_NAMESPACE
