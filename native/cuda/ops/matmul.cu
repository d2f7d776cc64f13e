// The product: which kernel serves it. By its kind and the shape of its weights; by the number of rows only among kernels whose sums are
// the same bit for bit.
#include <algorithm>

#include "cuda/library_product.h"
#include "cuda/ops/matmul_internal.cuh"

namespace redllm::cuda {

namespace {

constexpr int kThreads = 256;
// The workspace: rows that had to be padded, then what the kernels need.
constexpr int64_t kPaddedBytes = int64_t{32} << 20;
constexpr int64_t kOwnBytes = kWorkspaceBytes - kPaddedBytes;
// At a time: sums of groups fit, and weights stay in the second-level cache for all of them.
constexpr int64_t kDecodeRows = 512;

struct PadParams {
  const void* from;  // [rows, k]
  void* to;          // [rows, padded]
  int64_t rows, k, padded;
};

template <typename T>
__global__ void __launch_bounds__(kThreads) pad_kernel(PadParams p) {
  await_earlier_launches();
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= p.rows * p.padded) return;
  const int64_t row = index / p.padded, k = index % p.padded;
  static_cast<T*>(p.to)[index] = k < p.k ? static_cast<const T*>(p.from)[row * p.k + k] : T{0};
}

// Rows whose length or start is no whole number of 16-byte pieces: a copy that is.
template <typename T>
void pad(Context* context, Product& product) {
  const PadParams params{product.x, context->workspace, product.rows, product.k, product.weight_k};
  launch(context, "padding rows", pad_kernel<T>, dim3(divided_up(params.rows * params.padded, kThreads)), kThreads, 0,
         params);
  product.x = context->workspace;
  product.k = product.weight_k;
}

// The greatest number of rows for which one call of multiply() has room.
int64_t most_rows(const MatmulArgs& args, const Product& product, bool padded) {
  int64_t rows = kMostRows;
  if (args.kind == RowKind::decode && args.w.type == DType::bf16) rows = kDecodeRows;
  if (padded) rows = std::min(rows, kPaddedBytes / (product.weight_k * static_cast<int64_t>(size_of(args.w.type))));
  return std::max<int64_t>(rows, 1);
}

void multiply(Context* context, const MatmulArgs& args, const Product& product) {
  char* workspace = context->workspace + kPaddedBytes;
  const bool decode = args.kind == RowKind::decode;
  if (args.w.type == DType::f32) {
    decode ? float_decode(context, product) : float_prefill(context, product);
  } else if (decode) {
    const Slices slices = decode_slices(product.weight_rows, product.weight_k);
    product.rows <= 16 ? decode_few(context, product, slices) : decode_many(context, product, slices, workspace);
  } else if (!library_product(context, product, workspace, kOwnBytes)) {
    prefill_tiles(context, product);
  }
}

}  // namespace

void matmul(Context* context, const MatmulArgs& args) {
  const Weight& w = args.w;
  const int64_t x_row = int64_t{w.k} * static_cast<int64_t>(size_of(w.type));
  Product product{args.x.data, w.data, args.x.rows, w.k, padded_n(w.n, w.gated), padded_k(w.k), epilogue_of(args)};
  const bool padded = x_row % 16 != 0 || reinterpret_cast<uintptr_t>(args.x.data) % 16 != 0;
  const int64_t step = most_rows(args, product, padded);
  for (int64_t row = 0; row < args.x.rows; row += step) {
    Product part = product;
    part.rows = std::min(step, args.x.rows - row);
    part.x = args.x.as<char>() + row * x_row;
    part.epilogue.out =
        args.out.as<char>() + row * part.epilogue.columns * static_cast<int64_t>(size_of(args.out.type));
    if (padded) w.type == DType::f32 ? pad<uint32_t>(context, part) : pad<uint16_t>(context, part);
    multiply(context, args, part);
  }
}

}  // namespace redllm::cuda
