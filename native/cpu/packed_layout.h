// The layout of packed weights, the same for every instruction set and for any number of rows on the left.
//
// W [n, k] is cut into panels of 32 columns of the product (32 rows of W). A panel is contiguous: step after step over K,
// each of 128 bytes: one k in f32, two in bf16 (column c's pair at [c][2], which is what vdpbf16ps reads). Where gated, a
// panel holds 16 gate columns and then their 16 value columns. Columns and k beyond the matrix are zero.
#pragma once

#include <cstdint>

#include "tensor.h"

namespace redllm::cpu {

constexpr int32_t kPanelColumns = 32;
constexpr int32_t kGateColumns = kPanelColumns / 2;
constexpr int64_t kStepBytes = 128;
// The longest k: a row of the left side must fit into a thread's scratch. Whoever loads weights checks it.
constexpr int32_t kMaxK = 1 << 18;

// Static, because op files may share no inline function (see isa.h).
static inline int64_t packed_steps(DType type, int32_t k) {
  return type == DType::bf16 ? (static_cast<int64_t>(k) + 1) / 2 : k;
}

static inline int64_t packed_panels(int32_t n, bool gated) {
  return gated ? (n / 2 + kGateColumns - 1) / kGateColumns
               : (static_cast<int64_t>(n) + kPanelColumns - 1) / kPanelColumns;
}

struct PackedPlace {
  int64_t panel;
  int32_t column;  // in the panel
};

// Where logical row `row` of W lies.
static inline PackedPlace packed_place(int32_t row, int32_t n, bool gated) {
  if (!gated) return {row / kPanelColumns, row % kPanelColumns};
  const bool value = row >= n / 2;
  const int32_t pair = value ? row - n / 2 : row;
  return {pair / kGateColumns, pair % kGateColumns + (value ? kGateColumns : 0)};
}

}  // namespace redllm::cpu
