// Token counts of a decoding row, for its penalties: the slot is cleared by one launch and counted by the next. Whole numbers, so
// the order of the atomic additions does not matter.
#include "cuda/ops/ops_internal.cuh"

namespace redllm::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kCleared = 8;  // counts, a thread

struct HistoryParams {
  int32_t* counts;  // the slot's [2][vocabulary]
  HistoryArgs a;
};

__global__ void __launch_bounds__(kThreads) clear_kernel(const HistoryParams p) {
  await_earlier_launches();
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads * kCleared) + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kCleared; ++i)
    if (first + i * kThreads < int64_t{2} * p.a.vocabulary) p.counts[first + i * kThreads] = 0;
}

__global__ void __launch_bounds__(kThreads) count_kernel(const HistoryParams p) {
  await_earlier_launches();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= p.a.count) return;
  atomic_add(p.counts + (i < p.a.prompt ? 0 : p.a.vocabulary) + p.a.tokens[i], 1);
}

}  // namespace

void set_history(Context* context, const HistoryArgs& a) {
  const HistoryParams p = {a.history + int64_t{2} * a.slot * a.vocabulary, a};
  launch(context, "set_history", clear_kernel, dim3(divided_up(int64_t{2} * a.vocabulary, kThreads * kCleared)),
         kThreads, 0, p);
  launch(context, "set_history", count_kernel, dim3(divided_up(a.count, kThreads)), kThreads, 0, p);
}

}  // namespace redllm::cuda
