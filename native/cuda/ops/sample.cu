// One token a row: the numbered steps of ops.h, in two kernels. prepare_kernel (sample_prepare.cuh) takes all rows in slices of 4096
// tokens on the whole device; choose_kernel has one block a row, and reads the row only for what was asked:
//
//   greedy, nothing reported   not at all: the slices know the greatest
//   plain sampling             once, for the sum that the draw runs over, and twice a 32nd of it
//   top-k, top-p               twice more each: for the histogram of the first digit, and for the few tokens of its bucket
//   alternatives               twice: for a histogram, and to gather; the rank comes with it
//
// A pass costs one multiprocessor about 64 bytes a clock from the second-level cache (32768 tokens: 1.2 us, 262144: 9 us), half of that
// from the first level, where rows of up to about 49152 tokens stay; one that adds probabilities up is bound by exp2, 16 a clock
// (the same 1.2 us and 9 us). With two launches of about 2 us: greedy 4 us; top-p 8 us at 32768 tokens, 31 us at 262144.
#include "cuda/ops/philox.cuh"
#include "cuda/ops/sample_filter.cuh"
#include "cuda/ops/sample_prepare.cuh"
#include "cuda/ops/sample_report.cuh"

namespace redllm::cuda {
namespace {

constexpr int kMaxThreads = 1024;

// What the slices of a row come to. Every warp adds them up for itself.
struct Total {
  uint64_t best, mass;
  float top;
};

__device__ __forceinline__ Total total_of(const Slice* slice, int32_t slices, bool reported) {
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % kWarp;
  Total all = {0, 0, -float_of_bits(kInfiniteBits)};
  for (int32_t i = lane; i < slices; i += kWarp) {
    all.best = slice[i].best > all.best ? slice[i].best : all.best;
    if (reported) all.top = max(all.top, slice[i].top);
  }
  all.best = warp_max(all.best);
  if (!reported) return all;
  all.top = warp_max(all.top);
  for (int32_t i = lane; i < slices; i += kWarp) {
    if (is_banned(slice[i].top)) continue;
    const float share = exp2_fast((slice[i].top - all.top) * kLog2E);
    all.mass += static_cast<uint64_t>(static_cast<double>(slice[i].mass) * static_cast<double>(share));
  }
  all.mass = warp_sum(all.mass);
  return all;
}

__device__ __forceinline__ int32_t choose(Board& board, const SampleParams& p, int64_t row, uint64_t best) {
  const SampleArgs& a = p.a;
  if (a.forced[row] >= 0) return a.forced[row];
  const float top = unordered(static_cast<uint32_t>(best >> 32)), temperature = a.temperature[row];
  if (is_banned(top)) return listed(a, row) ? a.allow_token[a.allow_start[row]] : 0;
  if (!(temperature > 0)) return static_cast<int32_t>(~static_cast<uint32_t>(best));
  const int32_t vocabulary = static_cast<int32_t>(a.logits.cols);
  const float* logits = altered(a, row) ? p.altered + (row - p.first) * vocabulary
                                        : static_cast<const float*>(a.logits.data) + row * vocabulary;
  const Row from = {logits, vocabulary, p.vector};
  // Distances from the greatest: no overflow however cold it is, and a warm one leaves their order alone.
  const float scale = kLog2E / temperature;
  const uint32_t limit = greatest_kept(board, a, row, from, top, scale);
  const uint32_t word = philox_word(a.seed[2 * row], a.seed[2 * row + 1], static_cast<uint32_t>(a.step[row]));
  return draw(board, from, top, scale, limit, word);
}

__global__ void __launch_bounds__(kMaxThreads) choose_kernel(const SampleParams p) {
  await_earlier_launches();
  Board& board = *reinterpret_cast<Board*>(shared_memory());
  const SampleArgs& a = p.a;
  const int64_t row = p.first + blockIdx.x;
  const bool reported = a.alternatives[row] >= 0;
  const Total all = total_of(p.slice + static_cast<int64_t>(blockIdx.x) * p.slices, p.slices, reported);
  const int32_t token = choose(board, p, row, all.best);
  if (threadIdx.x == 0) {
    a.token[row] = token;
    if (a.slot[row] >= 0) {
      atomic_add(a.history + (a.slot[row] * int64_t{2} + 1) * static_cast<int32_t>(a.logits.cols) + token, 1);
    }
  }
  sync_block();
  report(board, p, row, token, all.top, all.mass);
}

}  // namespace

void sample(Context* context, const SampleArgs& a) {
  const int64_t rows = a.logits.rows, vocabulary = a.logits.cols;
  SampleParams p = {};
  p.a = a;
  p.slices = static_cast<int32_t>((vocabulary + kSlice - 1) / kSlice);
  p.vector = vocabulary % 4 == 0 && reinterpret_cast<uintptr_t>(a.logits.data) % 16 == 0;
  const int64_t row_bytes = vocabulary * static_cast<int64_t>(sizeof(float)) + p.slices * int64_t{sizeof(Slice)};
  const int64_t room = (context->workspace_bytes - 16) / row_bytes, step = rows < room ? rows : room;
  int64_t altered_bytes = step * vocabulary * static_cast<int64_t>(sizeof(float));
  altered_bytes = (altered_bytes + 15) / 16 * 16;
  p.altered = reinterpret_cast<float*>(context->workspace);
  p.slice = reinterpret_cast<Slice*>(context->workspace + altered_bytes);
  int threads = 2 * kWarp;  // of a row; sums do not depend on it
  while (threads < kMaxThreads && threads * 8 < vocabulary) threads *= 2;
  for (p.first = 0; p.first < rows; p.first += step) {
    const uint32_t count = static_cast<uint32_t>(rows - p.first < step ? rows - p.first : step);
    launch(context, "sample", prepare_kernel, dim3(static_cast<uint32_t>(p.slices), count), kPrepareThreads,
           sizeof(PrepareBoard), p);
    launch(context, "sample", choose_kernel, dim3(count), threads, sizeof(Board), p);
  }
}

}  // namespace redllm::cuda
