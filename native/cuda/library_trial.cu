#include "cuda/library_trial.cuh"

#include <algorithm>

namespace redllm::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kOurRows = 7;  // that are compared with our own kernel's

unsigned blocks(int64_t items) {
  return std::min(divided_up(items, kThreads), 1u << 16);
}

__device__ __forceinline__ int64_t first_item() {
  return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}
__device__ __forceinline__ int64_t item_step() {
  return static_cast<int64_t>(gridDim.x) * kThreads;
}

// ---- random rows ------------------------------------------------------------------------------------------------------------

struct FillParams {
  uint16_t* x;
  int64_t count;
};

__global__ void __launch_bounds__(kThreads) fill_kernel(FillParams p) {
  await_earlier_launches();
  for (int64_t i = first_item(); i < p.count; i += item_step()) {
    uint32_t h = static_cast<uint32_t>(i) * 0x9e3779b1u;  // any mixing will do
    h = (h ^ h >> 15) * 0x85ebca77u;
    h = (h ^ h >> 13) * 0xc2b2ae3du;
    p.x[i] = to_bf16(static_cast<float>(static_cast<int32_t>(h ^ h >> 16)) * 0x1p-31f);
  }
}

// ---- comparisons ------------------------------------------------------------------------------------------------------------

struct CompareParams {
  const void* a;
  const void* b;
  int64_t count;
  DType type;
  uint32_t* differing;
};

__global__ void __launch_bounds__(kThreads) compare_bits_kernel(CompareParams p) {
  await_earlier_launches();
  uint32_t differing = 0;
  for (int64_t i = first_item(); i < p.count; i += item_step())
    differing += static_cast<const uint32_t*>(p.a)[i] != static_cast<const uint32_t*>(p.b)[i];
  if (differing > 0) atomic_add(p.differing, differing);
}

__device__ __forceinline__ float element(const void* data, DType type, int64_t i) {
  return type == DType::bf16 ? from_bf16(static_cast<const uint16_t*>(data)[i]) : static_cast<const float*>(data)[i];
}

__global__ void __launch_bounds__(kThreads) compare_values_kernel(CompareParams p) {
  await_earlier_launches();
  uint32_t differing = 0;
  for (int64_t i = first_item(); i < p.count; i += item_step()) {
    const float a = element(p.a, p.type, i), b = element(p.b, p.type, i);
    differing += !(fabsf(a - b) <= 0.02f * fabsf(b));
  }
  if (differing > 0) atomic_add(p.differing + 1, differing);
}

// ---- what follows the sums --------------------------------------------------------------------------------------------------

struct FinishParams {
  const float* sums;  // [rows, pitch]
  int64_t rows;
  int64_t pitch;
  Epilogue epilogue;
};

// A thread finishes two columns of every gridDim.y-th row of the output.
__global__ void __launch_bounds__(kThreads) finish_kernel(FinishParams p) {
  await_earlier_launches();
  const Epilogue& e = p.epilogue;
  const int64_t column = first_item() * 2;
  if (column >= e.columns) return;
  const float* sums = p.sums + (e.gated ? column / kGateRows * kWeightRows + column % kGateRows : column);
  for (int64_t row = blockIdx.y; row < p.rows; row += gridDim.y) {
    const float2 y = *reinterpret_cast<const float2*>(sums + row * p.pitch);
    if (e.gated) {
      const float2 value = *reinterpret_cast<const float2*>(sums + row * p.pitch + kGateRows);
      finish_gated_pair(e, row, column, y.x, y.y, value.x, value.y);
    } else {
      finish_pair(e, row, column, y.x, y.y);
    }
  }
}

int64_t aligned(int64_t bytes) {
  return (bytes + 255) / 256 * 256;
}

}  // namespace

Trial::Trial(Context* context, const void* w, int64_t n, int64_t k, int64_t pitch, DType out_type, char* memory,
             int64_t bytes)
    : context_(context), w_(w), n_(n), k_(k), pitch_(pitch), type_(out_type) {
  const int64_t row_bytes = n * static_cast<int64_t>(size_of(out_type));
  rows_ = std::min(kMostRows, (bytes - 4 * 256) / (k * 2 + 2 * row_bytes));
  differing_ = reinterpret_cast<uint32_t*>(memory);
  x_ = memory + 256;
  reference_ = static_cast<char*>(x_) + aligned(rows_ * k * 2);
  attempt_ = reference_ + aligned(rows_ * row_bytes);
  if (rows_ < kLeastRows) return;
  clear();
  launch(context, "trying a product", fill_kernel, dim3(blocks(rows_ * k)), kThreads, 0,
         FillParams{static_cast<uint16_t*>(x_), rows_ * k});
}

void Trial::clear() {
  succeeded(context_, cudaMemsetAsync(differing_, 0, 2 * sizeof *differing_, context_->stream), "trying a product");
}

void Trial::compare_with_ours() {
  const Epilogue plain = {nullptr, attempt_, n_, 1.0f, Activation::none, false, false, type_ == DType::bf16, true};
  prefill_tiles(context_, {x_, w_, kOurRows, k_, n_, pitch_, plain});
  const int64_t count = kOurRows * n_;
  launch(context_, "trying a product", compare_values_kernel, dim3(blocks(count)), kThreads, 0,
         CompareParams{attempt_, reference_, count, type_, differing_});
}

void Trial::compare_bits(int64_t first, int64_t rows) {
  const int64_t row_bytes = n_ * static_cast<int64_t>(size_of(type_)), words = rows * row_bytes / 4;
  launch(context_, "trying a product", compare_bits_kernel, dim3(blocks(words)), kThreads, 0,
         CompareParams{attempt_, reference_ + first * row_bytes, words, type_, differing_});
}

// No bit differs; and no more than a few results, those that are nearly nothing, are far from ours.
bool Trial::agrees() {
  uint32_t differing[2] = {1, 1};
  if (!succeeded(context_,
                 cudaMemcpyAsync(differing, differing_, sizeof differing, cudaMemcpyDeviceToHost, context_->stream),
                 "trying a product") ||
      !succeeded(context_, cudaStreamSynchronize(context_->stream), "trying a product")) {
    return false;
  }
  clear();
  return differing[0] == 0 && int64_t{differing[1]} * 100 <= kOurRows * n_;
}

void finish_sums(Context* context, const float* sums, int64_t rows, int64_t weight_rows, const Epilogue& epilogue) {
  launch(context, "finishing a product", finish_kernel,
         dim3(blocks((epilogue.columns + 1) / 2), static_cast<unsigned>(std::min<int64_t>(rows, 1 << 15))), kThreads, 0,
         FinishParams{sums, rows, weight_rows, epilogue});
}

}  // namespace redllm::cuda
