// One token a row: the numbered steps of ops.h, in two kernels. prepare_kernel (sample_prepare.cuh) takes all rows in slices of 4096
// tokens on the whole device, at the speed of memory. choose_kernel has one block a row, and of that row it reads
//
//   greedy, nothing reported   nothing: the slices know the greatest
//   plain sampling             one slice: the slices know their sums
//   top-k, top-p               three times the chunks of 128 tokens that hold one which may be kept; where the distribution is flat,
//                              once more, and then all chunks
//   alternatives               twice the chunks that hold one; the rank of an improbable choice is counted as they are gathered
//
// What is read of a whole row costs one multiprocessor 16 exp2 and about 64 bytes a clock from the second-level cache: 1.2 us for 32768
// tokens, 10 us for 262144. A barrier costs some 30 ns, and a digit four of them. Expected, with two launches of about 2 us: greedy and
// plain 5 us; top-p, and 20 alternatives, 7 us at 32768 tokens and 10 us at 262144; a flat top-p 10 us and 35 us.
#include "cuda/ops/philox.cuh"
#include "cuda/ops/sample_draw.cuh"
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
    const uint64_t factor = mass_of(key_of(all.top, slice[i].top), kLog2E);
    all.mass += static_cast<uint64_t>(static_cast<double>(slice[i].mass) * (static_cast<double>(factor) * kMassUnit));
  }
  all.mass = warp_sum(all.mass);
  return all;
}

__device__ __forceinline__ Row model_row(const SampleParams& p, int64_t row) {
  const int32_t vocabulary = static_cast<int32_t>(p.a.logits.cols);
  return {static_cast<const float*>(p.a.logits.data) + row * vocabulary, p.tops + 2 * (row - p.first) * p.chunks,
          vocabulary, p.chunks, p.vector};
}
__device__ __forceinline__ Row altered_row(const SampleParams& p, int64_t row) {
  const int32_t vocabulary = static_cast<int32_t>(p.a.logits.cols);
  return {p.altered + (row - p.first) * vocabulary, p.tops + (2 * (row - p.first) + 1) * p.chunks, vocabulary, p.chunks,
          p.vector};
}

__device__ __forceinline__ int32_t choose(Board& board, const SampleParams& p, int64_t row, uint64_t best) {
  const SampleArgs& a = p.a;
  if (a.forced[row] >= 0) return a.forced[row];
  const float top = unordered(static_cast<uint32_t>(best >> 32)), temperature = a.temperature[row];
  if (is_banned(top)) return listed(a, row) ? a.allow_token[a.allow_start[row]] : 0;
  if (!(temperature > 0)) return static_cast<int32_t>(~static_cast<uint32_t>(best));
  const uint32_t word = philox_word(a.seed[2 * row], a.seed[2 * row + 1], static_cast<uint32_t>(a.step[row]));
  return draw(board, p, row, altered(a, row) ? altered_row(p, row) : model_row(p, row), top, word);
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
  report(board, p, row, model_row(p, row), token, all.top, all.mass);
}

}  // namespace

void sample(Context* context, const SampleArgs& a) {
  const int64_t rows = a.logits.rows, vocabulary = a.logits.cols;
  SampleParams p = {};
  p.a = a;
  p.slices = static_cast<int32_t>(divided_up(vocabulary, kSlice));
  p.vector = vocabulary % 4 == 0 && is_aligned(a.logits.data);
  p.chunks = static_cast<int32_t>(divided_up(vocabulary, kChunk));
  const int64_t slice_bytes = p.slices * int64_t{sizeof(Slice)}, altered_bytes = vocabulary * int64_t{sizeof(float)};
  const int64_t tops_bytes = 2 * p.chunks * int64_t{sizeof(float)};
  const int64_t room = (context->workspace_bytes - 16) / (slice_bytes + altered_bytes + tops_bytes);
  const int64_t step = rows < room ? rows : room;
  char* at = context->workspace;
  p.altered = reinterpret_cast<float*>(at);
  at += (step * altered_bytes + 7) / 8 * 8;
  p.slice = reinterpret_cast<Slice*>(at);
  at += step * slice_bytes;
  p.tops = reinterpret_cast<float*>(at);
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
