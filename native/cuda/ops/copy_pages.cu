// Whole pages, as bytes: all of them in one launch, 16 KiB a block. A page is a multiple of 512 bytes.
#include "cuda/ops/ops_internal.cuh"

namespace redllm::cuda {

uint64_t page_bytes(DType type, int32_t layers, int32_t kv_heads, int32_t head_dim) {
  const PagePool pool = {nullptr, type, 1, layers, kv_heads, head_dim};
  return static_cast<uint64_t>(page_layout(pool, 0).page) * size_of(type);
}

namespace {

constexpr int kThreads = 256;
constexpr int kPieces = 4;  // of 16 bytes, a thread
constexpr int64_t kBlockPieces = kThreads * kPieces;

struct CopyParams {
  char* data;
  const int32_t* from;
  const int32_t* to;
  int64_t page;  // pieces
};

__global__ void __launch_bounds__(kThreads) copy_pages_kernel(const CopyParams p) {
  await_earlier_launches();
  const int64_t from = p.from[blockIdx.x], to = p.to[blockIdx.x];
  if (from == to) return;
  const int64_t first = static_cast<int64_t>(blockIdx.y) * kBlockPieces + threadIdx.x;
  const uint4* source = reinterpret_cast<const uint4*>(p.data) + from * p.page;
  uint4* target = reinterpret_cast<uint4*>(p.data) + to * p.page;
  uint4 piece[kPieces];
#pragma unroll
  for (int i = 0; i < kPieces; ++i)
    if (first + i * kThreads < p.page) piece[i] = source[first + i * kThreads];
#pragma unroll
  for (int i = 0; i < kPieces; ++i)
    if (first + i * kThreads < p.page) target[first + i * kThreads] = piece[i];
}

}  // namespace

void copy_pages(Context* context, const CopyPagesArgs& a) {
  const uint64_t bytes = page_bytes(a.pool.type, a.pool.layers, a.pool.kv_heads, a.pool.head_dim);
  const CopyParams p = {static_cast<char*>(a.pool.data), a.from, a.to, static_cast<int64_t>(bytes / sizeof(uint4))};
  launch(context, "copy_pages", copy_pages_kernel,
         dim3(static_cast<uint32_t>(a.count), divided_up(p.page, kBlockPieces)), kThreads, 0, p);
}

}  // namespace redllm::cuda
