// What follows the sums of a product: bias, activation, gate, scale, and the write to the output. One arithmetic for every kernel.
#pragma once

#include "cuda/ops/activation.cuh"

namespace redllm::cuda {

struct Epilogue {
  const float* bias;  // [n] in logical order, or null
  void* out;          // [rows, columns]
  int64_t columns;    // n, or n / 2 where gated
  float scale;
  Activation activation;
  bool gated;
  bool accumulate;
  bool bf16;      // the output's type
  bool in_pairs;  // every even column of a row starts an aligned pair
};

inline Epilogue epilogue_of(const MatmulArgs& args) {
  const int64_t columns = args.w.gated ? args.w.n / 2 : args.w.n;
  const uint64_t pair = 2 * size_of(args.out.type);
  return {args.bias,
          args.out.data,
          columns,
          args.scale,
          args.activation,
          args.w.gated,
          args.accumulate,
          args.out.type == DType::bf16,
          columns % 2 == 0 && reinterpret_cast<uintptr_t>(args.out.data) % pair == 0};
}

__device__ __forceinline__ float biased(const Epilogue& e, float sum, int64_t logical) {
  return e.bias == nullptr ? sum : __fadd_rn(sum, e.bias[logical]);
}

// z of one column, scaled, from its sum.
__device__ __forceinline__ float finished(const Epilogue& e, float sum, int64_t column) {
  return __fmul_rn(activate(e.activation, biased(e, sum, column)), e.scale);
}
__device__ __forceinline__ float finished_gated(const Epilogue& e, float gate, float value, int64_t column) {
  const float z = activate(e.activation, biased(e, gate, column));
  return __fmul_rn(__fmul_rn(z, biased(e, value, e.columns + column)), e.scale);
}

__device__ __forceinline__ void put(const Epilogue& e, int64_t row, int64_t column, float z) {
  const int64_t at = row * e.columns + column;
  if (e.bf16) {
    static_cast<uint16_t*>(e.out)[at] = to_bf16(z);
    return;
  }
  float* out = static_cast<float*>(e.out) + at;
  *out = e.accumulate ? __fadd_rn(*out, z) : z;
}

// Columns `column` (even, and there is one) and the next, where there is one.
__device__ __forceinline__ void put_pair(const Epilogue& e, int64_t row, int64_t column, float z0, float z1) {
  if (!e.in_pairs) {
    put(e, row, column, z0);
    if (column + 1 < e.columns) put(e, row, column + 1, z1);
    return;
  }
  const int64_t at = row * e.columns + column;
  if (e.bf16) {
    *reinterpret_cast<uint32_t*>(static_cast<uint16_t*>(e.out) + at) = pack_bf16(z0, z1);
    return;
  }
  float2* out = reinterpret_cast<float2*>(static_cast<float*>(e.out) + at);
  if (e.accumulate) {
    const float2 before = *out;
    z0 = __fadd_rn(before.x, z0);
    z1 = __fadd_rn(before.y, z1);
  }
  *out = make_float2(z0, z1);
}

// Sums of two neighbouring physical rows of the weights, not gated.
__device__ __forceinline__ void finish_pair(const Epilogue& e, int64_t row, int64_t column, float y0, float y1) {
  const int64_t last = e.columns - 1;  // a bias is read for columns that exist
  if (column > last) return;
  put_pair(e, row, column, finished(e, y0, column), finished(e, y1, column < last ? column + 1 : last));
}
// Sums of two neighbouring gates and of their values.
__device__ __forceinline__ void finish_gated_pair(const Epilogue& e, int64_t row, int64_t column, float gate0,
                                                  float gate1, float value0, float value1) {
  const int64_t last = e.columns - 1;
  if (column > last) return;
  put_pair(e, row, column, finished_gated(e, gate0, value0, column),
           finished_gated(e, gate1, value1, column < last ? column + 1 : last));
}

// A tile of sums in shared memory, [rows of the output][kPitch], each row kWidth physical columns from `physical` on. All threads of the
// block take part, neighbours at neighbouring columns: one copy of the arithmetic, and whole sectors of the output at a time.
template <int kWidth, int kPitch>
__device__ __forceinline__ void finish_tile(const Epilogue& e, const float* sums, int64_t row0, int64_t rows,
                                            int64_t physical) {
  static_assert((kWidth & (kWidth - 1)) == 0);
  const int shift = e.gated ? 2 : 1, each = kWidth >> shift;  // pairs of columns
  const int64_t column0 = e.gated ? physical / 2 : physical;
  const int count = static_cast<int>(rows) * each;
#pragma unroll 1
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    const int row = (i << shift) / kWidth, column = (i & (each - 1)) * 2;
    const int at = row * kPitch + (e.gated ? column / kGateRows * kWeightRows + column % kGateRows : column);
    const float2 y = *reinterpret_cast<const float2*>(sums + at);
    if (e.gated) {
      const float2 value = *reinterpret_cast<const float2*>(sums + at + kGateRows);
      finish_gated_pair(e, row0 + row, column0 + column, y.x, y.y, value.x, value.y);
    } else {
      finish_pair(e, row0 + row, column0 + column, y.x, y.y);
    }
  }
}

}  // namespace redllm::cuda
