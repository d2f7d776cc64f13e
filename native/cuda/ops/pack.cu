// Weights into their layout in the device's memory (layout.cuh). Raw rows are copied into the workspace, and a kernel converts them.
#include <algorithm>

#include "cuda/library_product.h"
#include "cuda/ops/ops_internal.cuh"

namespace redllm::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kPieceElements = 8;  // that a thread writes: 16 bytes of bf16, 32 of f32
constexpr int64_t kSliceBytes = int64_t{32} << 20;
static_assert(kSliceBytes <= kWorkspaceBytes);

struct PackParams {
  Weight to;
  const void* from;  // [count, k], in the workspace
  DType type;
  int64_t first;
  int64_t count;
};

// Exact. Subnormals: the integer counts units of 2^-24.
__device__ __forceinline__ float from_f16(uint16_t value) {
  const uint32_t sign = static_cast<uint32_t>(value & 0x8000) << 16;
  const uint32_t magnitude = value & 0x7fff;
  if (magnitude >= 0x7c00) return float_of_bits(sign | 0x7f800000u | (magnitude & 0x3ff) << 13);  // infinity, NaN
  if (magnitude < 0x400) return float_of_bits(sign | bits_of_float(static_cast<float>(magnitude) * 0x1p-24f));
  return float_of_bits(sign | ((magnitude << 13) + (112u << 23)));
}

__device__ __forceinline__ float read(const PackParams& p, int64_t at) {
  if (p.type == DType::f32) return static_cast<const float*>(p.from)[at];
  const uint16_t half = static_cast<const uint16_t*>(p.from)[at];
  return p.type == DType::bf16 ? from_bf16(half) : from_f16(half);
}

__global__ void __launch_bounds__(kThreads) pack_kernel(PackParams p) {
  await_earlier_launches();
  const int64_t k = p.to.k, pieces = padded_k(k) / kPieceElements;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= p.count * pieces) return;
  const int64_t row = index / pieces, k0 = index % pieces * kPieceElements;
  const int64_t at = weight_row(p.first + row, p.to.n, p.to.gated) * padded_k(k) + k0;
  float value[kPieceElements];
#pragma unroll
  for (int i = 0; i < kPieceElements; ++i) value[i] = k0 + i < k ? read(p, row * k + k0 + i) : 0.0f;
  if (p.to.type == DType::f32) {
    float4* to = reinterpret_cast<float4*>(static_cast<float*>(p.to.data) + at);
    to[0] = make_float4(value[0], value[1], value[2], value[3]);
    to[1] = make_float4(value[4], value[5], value[6], value[7]);
  } else {
    *reinterpret_cast<uint4*>(static_cast<uint16_t*>(p.to.data) + at) =
        make_uint4(pack_bf16(value[0], value[1]), pack_bf16(value[2], value[3]), pack_bf16(value[4], value[5]),
                   pack_bf16(value[6], value[7]));
  }
}

}  // namespace

uint64_t weight_bytes(DType type, int32_t n, int32_t k, bool gated) {
  return static_cast<uint64_t>(padded_n(n, gated) * padded_k(k)) * size_of(type);
}

// Called while a model is loaded, so it may wait; with the last rows of a matrix it is time to choose who multiplies by it.
void pack(Context* context, const PackArgs& args) {
  const Weight& to = args.to;
  const int64_t row_bytes = int64_t{to.k} * static_cast<int64_t>(size_of(args.from_type));
  const int64_t rows = std::max<int64_t>(1, kSliceBytes / row_bytes);
  const char* from = static_cast<const char*>(args.from);
  for (int64_t row = 0; row < args.count; row += rows) {
    const int64_t count = std::min<int64_t>(rows, args.count - row);
    if (!succeeded(context,
                   cudaMemcpyAsync(context->workspace, from + row * row_bytes, static_cast<size_t>(count * row_bytes),
                                   cudaMemcpyHostToDevice, context->stream),
                   "copying weights")) {
      return;
    }
    const int64_t pieces = count * (padded_k(to.k) / kPieceElements);
    launch(context, "packing weights", pack_kernel, dim3(divided_up(pieces, kThreads)), kThreads, 0,
           PackParams{to, context->workspace, args.from_type, args.first + row, count});
  }
  succeeded(context, cudaStreamSynchronize(context->stream), "packing weights");
  if (args.first + args.count == to.n) prepare_product(context, to);
}

}  // namespace redllm::cuda
