// What follows the sums of a product: bias, activation, gate, scale, and the write to the output.
// Whole panels are processed, also where some of their columns lie beyond the matrix: one arithmetic for every place.
#pragma once

#include "cpu/ops/activation.h"
#include "cpu/packed_layout.h"

namespace REDLLM_ISA_NAMESPACE {
namespace {

template <Activation kActivation>
void activate_all(float* z, int64_t count) {
  for (int64_t i = 0; i < count; ++i) z[i] = activated(kActivation, z[i]);
}

// z: `count` floats in place.
inline void activate(Activation activation, float* z, int64_t count) {
  switch (activation) {
    case Activation::none:
      return;
    case Activation::relu:
      return activate_all<Activation::relu>(z, count);
    case Activation::gelu:
      return activate_all<Activation::gelu>(z, count);
    case Activation::gelu_tanh:
      return activate_all<Activation::gelu_tanh>(z, count);
    case Activation::silu:
      return activate_all<Activation::silu>(z, count);
  }
}

inline void add_bias(const MatmulArgs& args, int64_t panel, float* acc, int64_t rows) {
  float bias[kPanelColumns] = {};
  const int64_t width = args.w.gated ? kGateColumns : kPanelColumns;
  const int64_t first = panel * width;
  const int64_t logical = args.w.gated ? args.w.n / 2 : args.w.n;
  for (int64_t c = 0; c < width && first + c < logical; ++c) {
    bias[c] = args.bias[first + c];
    if (args.w.gated) bias[kGateColumns + c] = args.bias[logical + first + c];
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < kPanelColumns; ++c) acc[r * kPanelColumns + c] += bias[c];
}

// z[r][width], all times scale, to columns [first, ...) of the output's rows from `row` on.
inline void write(const MatmulArgs& args, const float* z, int64_t width, int64_t row, int64_t rows, int64_t first) {
  const int64_t columns = args.out.cols;
  const int64_t valid = columns - first < width ? columns - first : width;
  const float scale = args.scale;
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = z + r * width;
    const int64_t start = (row + r) * columns + first;
    if (args.out.type == DType::bf16) {
      uint16_t* to = args.out.as<uint16_t>() + start;
      for (int64_t c = 0; c < valid; ++c) to[c] = bf16_from_float(from[c] * scale);
    } else if (args.accumulate) {
      float* to = args.out.as<float>() + start;
      for (int64_t c = 0; c < valid; ++c) to[c] += from[c] * scale;
    } else {
      float* to = args.out.as<float>() + start;
      for (int64_t c = 0; c < valid; ++c) to[c] = from[c] * scale;
    }
  }
}

// acc: the sums [rows][32] of one panel, overwritten. row: of the output, where the first of them belongs.
inline void finish(const MatmulArgs& args, int64_t panel, float* acc, int64_t row, int64_t rows) {
  if (args.bias != nullptr) add_bias(args, panel, acc, rows);
  if (!args.w.gated) {
    activate(args.activation, acc, rows * kPanelColumns);
    return write(args, acc, kPanelColumns, row, rows, panel * kPanelColumns);
  }
  // Gates of all rows side by side, so that they are activated in one go.
  float z[kTileRows * kGateColumns];
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < kGateColumns; ++c) z[r * kGateColumns + c] = acc[r * kPanelColumns + c];
  activate(args.activation, z, rows * kGateColumns);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < kGateColumns; ++c) z[r * kGateColumns + c] *= acc[r * kPanelColumns + kGateColumns + c];
  write(args, z, kGateColumns, row, rows, panel * kGateColumns);
}

}  // namespace
}  // namespace REDLLM_ISA_NAMESPACE
