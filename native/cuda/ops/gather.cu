// Rows picked out of a matrix, or converted to another type. Bound by memory: a thread takes 4 elements, a block 1024 of one row.
#include "cuda/ops/four.cuh"

namespace redllm::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBlockElements = 4 * kThreads;

struct GatherParams {
  GatherArgs a;
  bool vector;  // every access of four elements is aligned
};

__global__ void __launch_bounds__(kThreads) gather_kernel(const GatherParams p) {
  await_earlier_launches();
  const GatherArgs& a = p.a;
  const int64_t row = blockIdx.x, width = a.from.cols;
  const int64_t i = static_cast<int64_t>(blockIdx.y) * kBlockElements + static_cast<int64_t>(threadIdx.x) * 4;
  if (i >= width) return;
  const float* from = static_cast<const float*>(a.from.data) + (a.row ? a.row[row] : row) * width + i;
  const int64_t at = row * width + i;
  const bool round = a.out.type == DType::bf16;
  if (p.vector) {
    float x[4];
    load_four(x, from);
    round ? store_four(static_cast<uint16_t*>(a.out.data) + at, x)
          : store_four(static_cast<float*>(a.out.data) + at, x);
    return;
  }
  for (int j = 0; j < 4 && i + j < width; ++j) {
    if (round) {
      static_cast<uint16_t*>(a.out.data)[at + j] = to_bf16(from[j]);
    } else {
      static_cast<float*>(a.out.data)[at + j] = from[j];
    }
  }
}

}  // namespace

void gather(Context* context, const GatherArgs& a) {
  const int64_t width = a.from.cols;
  const GatherParams p = {a, width % 4 == 0 && is_aligned(a.from.data) && is_aligned(a.out.data)};
  const int threads = width >= kBlockElements ? kThreads : static_cast<int>(divided_up(width, 4 * kWarp)) * kWarp;
  launch(context, "gather", gather_kernel, dim3(static_cast<uint32_t>(a.out.rows), divided_up(width, kBlockElements)),
         threads, 0, p);
}

}  // namespace redllm::cuda
