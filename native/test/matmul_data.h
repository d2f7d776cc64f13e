// Matrices for the tests of packed weights and products: in the compute type, packed by the ops under test, with what a
// double-precision loop needs beside them.
#pragma once

#include "guarded.h"

namespace redllm::test {

// Values in f32 and, rounded, in bf16; `exact` is what the compute type holds.
struct Matrix {
  DType type;
  int64_t rows, cols;
  std::vector<float> exact;
  std::vector<uint16_t> half;

  Matrix(Random& random, DType type, int64_t rows, int64_t cols, float scale = 1)
      : type(type), rows(rows), cols(cols), exact(random.reals(static_cast<size_t>(rows * cols), scale)) {
    if (type != DType::bf16) return;
    for (float& value : exact) {
      half.push_back(bf16_of(value));
      value = float_of_bf16(half.back());
    }
  }
  const void* data() const {
    return type == DType::bf16 ? static_cast<const void*>(half.data()) : static_cast<const void*>(exact.data());
  }
  // Rows [first, first + count), as the left side of a product.
  Tensor view(int64_t first, int64_t count) const {
    return Tensor{const_cast<void*>(data()), type, rows, cols}.slice(first, count);
  }
};

// A weight in backend memory, packed in several calls that do not follow the order of rows.
class Packed {
 public:
  Packed(Backend& backend, const Matrix& matrix, bool gated) : backend_(backend) {
    const Ops& ops = backend.ops();
    const int32_t n = static_cast<int32_t>(matrix.rows), k = static_cast<int32_t>(matrix.cols);
    bytes_ = ops.weight_bytes(matrix.type, n, k, gated);
    weight = {ops.allocate(backend.context(), bytes_), matrix.type, n, k, gated};
    const int32_t cut = n / 3;
    for (auto [first, count] : {std::pair{cut, n - cut}, std::pair{0, cut}})
      ops.pack(backend.context(), {weight, first, count, matrix.view(first, count).data, matrix.type});
  }
  ~Packed() { backend_.ops().release(backend_.context(), weight.data, bytes_); }
  Packed(const Packed&) = delete;
  Packed& operator=(const Packed&) = delete;

  Weight weight;

 private:
  Backend& backend_;
  uint64_t bytes_;
};

}  // namespace redllm::test
