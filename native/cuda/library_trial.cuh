// The trial of a library's algorithm: a row's result must have the same bits alone, among many and at another place; and the library must
// multiply what we think it does.
#pragma once

#include "cuda/ops/matmul_internal.cuh"

namespace redllm::cuda {

class Trial {
 public:
  // On weights [n, k] with `pitch` elements from row to row. `memory` is the device's, and is all that the trial writes.
  Trial(Context*, const void* w, int64_t n, int64_t k, int64_t pitch, DType out_type, char* memory, int64_t bytes);

  // multiply(x, rows, out): whether it could launch out = x w^T. Its results for all rows are what later ones are compared with.
  template <typename Multiply>
  bool passes(const Multiply& multiply) {
    if (rows_ < kLeastRows || !multiply(x_, rows_, reference_)) return false;
    compare_with_ours();
    return passes_as_before(multiply);
  }
  // Whether this gives the bits of what has passed.
  template <typename Multiply>
  bool passes_as_before(const Multiply& multiply) {
    const int64_t some = rows_ / 3 < 128 ? rows_ / 3 : 128;
    const struct {
      int64_t first, rows;
    } parts[] = {{0, 1}, {rows_ - 1, 1}, {3, 7}, {rows_ / 3, some}, {rows_ / 4, rows_ / 2}, {1, rows_ - 1}, {0, rows_}};
    for (const auto& part : parts) {
      if (!multiply(static_cast<const char*>(x_) + part.first * k_ * 2, part.rows, attempt_)) return false;
      compare_bits(part.first, part.rows);
    }
    return agrees();
  }

 private:
  static constexpr int64_t kLeastRows = 16;
  static constexpr int64_t kMostRows = 2048;

  void clear();
  void compare_with_ours();
  void compare_bits(int64_t first, int64_t rows);
  bool agrees();

  Context* context_;
  const void* w_;
  int64_t n_, k_, pitch_;
  DType type_;
  int64_t rows_;
  uint32_t* differing_;  // words that differ; elements that are far from ours
  void* x_;              // [rows, k]
  char* reference_;      // [rows, n]
  char* attempt_;        // [rows, n]
};

// out = epilogue(sums), for f32 sums [rows, weight_rows] in physical order.
void finish_sums(Context*, const float* sums, int64_t rows, int64_t weight_rows, const Epilogue&);

}  // namespace redllm::cuda
