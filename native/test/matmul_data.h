// Matrices for the tests of packed weights and products: in the compute type, packed by the ops under test, with what a
// double-precision loop needs beside them.
#pragma once

#include <memory>
#include <string>

#include "cpu/backend.h"
#include "cpu/bf16.h"
#include "cpu/isa.h"
#include "test/check.h"

namespace redllm::test {

// Names of the instruction sets that this build has and this machine runs.
inline std::vector<const char*> isas() {
  std::vector<const char*> names;
  for (const char* name : {"plain", "avx2", "avx512"})
    if (cpu::ops_for(name) != nullptr) names.push_back(name);
  return names;
}

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
      half.push_back(cpu::bf16_from_float(value));
      value = cpu::float_from_bf16(half.back());
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

// An output, filled with NaN, between guards.
class Output {
 public:
  Output(DType type, int64_t rows, int64_t cols)
      : type_(type), rows_(rows), cols_(cols), bytes_(static_cast<size_t>(rows * cols) * size_of(type)) {
    memory_.assign(bytes_ + 2 * kGuard, 0xff);  // all ones is a NaN in f32 and in bf16
    std::memset(memory_.data(), 0xa5, kGuard);
    std::memset(memory_.data() + kGuard + bytes_, 0xa5, kGuard);
  }
  Tensor tensor() { return {memory_.data() + kGuard, type_, rows_, cols_}; }
  const unsigned char* row(int64_t r) const { return memory_.data() + kGuard + static_cast<size_t>(r) * row_bytes(); }
  size_t row_bytes() const { return static_cast<size_t>(cols_) * size_of(type_); }
  float at(int64_t index) const {
    if (type_ == DType::bf16) return cpu::float_from_bf16(reinterpret_cast<const uint16_t*>(row(0))[index]);
    return reinterpret_cast<const float*>(row(0))[index];
  }
  std::vector<float> values() const {
    std::vector<float> all;
    for (int64_t i = 0; i < rows_ * cols_; ++i) all.push_back(at(i));
    return all;
  }
  bool guards_hold() const {
    for (size_t i = 0; i < kGuard; ++i)
      if (memory_[i] != 0xa5 || memory_[kGuard + bytes_ + i] != 0xa5) return false;
    return true;
  }

 private:
  static constexpr size_t kGuard = 256;
  DType type_;
  int64_t rows_, cols_;
  size_t bytes_;
  std::vector<unsigned char> memory_;
};

}  // namespace redllm::test
