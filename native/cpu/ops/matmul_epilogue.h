// What follows the sums of a product: bias, activation, gate, scale, and the write to the output.
// Whole vectors are processed, also where some of their columns lie beyond the matrix: one arithmetic for every place.
#pragma once

#include "cpu/ops/activation.h"
#include "cpu/packed_layout.h"

namespace REDLLM_ISA_NAMESPACE {
namespace {

// The bias of one panel's columns; zero where there is none.
inline void bias_of(const MatmulArgs& args, int64_t panel, float* bias) {
  for (int64_t c = 0; c < kPanelColumns; ++c) bias[c] = 0;
  if (args.bias == nullptr) return;
  const int64_t width = args.w.gated ? kGateColumns : kPanelColumns;
  const int64_t columns = args.w.gated ? args.w.n / 2 : args.w.n;
  const int64_t first = panel * width;
  for (int64_t c = 0; c < width && first + c < columns; ++c) {
    bias[c] = args.bias[first + c];
    if (args.w.gated) bias[kGateColumns + c] = args.bias[columns + first + c];
  }
}

// The first n <= kLanes lanes to the output's element `index` and those after it.
inline void put(const MatmulArgs& args, int64_t index, vf z, int32_t n) {
  if (args.out.type == DType::bf16) return store_upto(args.out.as<bf16>() + index, z, n);
  float* to = args.out.as<float>() + index;
  store_upto(to, args.accumulate ? add(load_upto(to, n), z) : z, n);
}

template <Activation kActivation>
void finish_with(const MatmulArgs& args, int64_t panel, const float* acc, int64_t row, int64_t rows) {
  alignas(64) float bias[kPanelColumns];
  bias_of(args, panel, bias);
  const bool gated = args.w.gated;
  const int64_t width = gated ? kGateColumns : kPanelColumns;
  const int64_t columns = args.out.cols, first = panel * width;
  const int64_t valid = columns - first < width ? columns - first : width;
  const vf scale = splat(args.scale);
  for (int64_t r = 0; r < rows; ++r, acc += kPanelColumns)
    for (int64_t c = 0; c < valid; c += kLanes) {
      vf z = activate<kActivation>(add(load(acc + c), load(bias + c)));
      if (gated) z = mul(z, add(load(acc + kGateColumns + c), load(bias + kGateColumns + c)));
      const int32_t n = valid - c < kLanes ? static_cast<int32_t>(valid - c) : kLanes;
      put(args, (row + r) * columns + first + c, mul(z, scale), n);
    }
}

// Asks for the cache lines that finish() will write, while the sums are being made.
inline void fetch_output(const MatmulArgs& args, int64_t panel, int64_t row, int64_t rows) {
  const int64_t width = args.w.gated ? kGateColumns : kPanelColumns;
  const int64_t bytes = static_cast<int64_t>(size_of(args.out.type));
  const char* at = args.out.as<char>() + (row * args.out.cols + panel * width) * bytes;
  for (int64_t r = 0; r < rows; ++r, at += args.out.cols * bytes) {
    __builtin_prefetch(at, 1);
    __builtin_prefetch(at + width * bytes - 1, 1);
  }
}

// acc: the sums [rows][32] of one panel. row: of the output, where the first of them belongs.
inline void finish(const MatmulArgs& args, int64_t panel, const float* acc, int64_t row, int64_t rows) {
  switch (args.activation) {
    case Activation::none:
      return finish_with<Activation::none>(args, panel, acc, row, rows);
    case Activation::relu:
      return finish_with<Activation::relu>(args, panel, acc, row, rows);
    case Activation::gelu:
      return finish_with<Activation::gelu>(args, panel, acc, row, rows);
    case Activation::gelu_tanh:
      return finish_with<Activation::gelu_tanh>(args, panel, acc, row, rows);
    case Activation::silu:
      return finish_with<Activation::silu>(args, panel, acc, row, rows);
  }
}

}  // namespace
}  // namespace REDLLM_ISA_NAMESPACE
