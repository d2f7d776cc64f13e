// A tensor is a view: it owns nothing, and is cheap to copy.
#pragma once

#include <cstddef>
#include <cstdint>

namespace redllm {

enum class DType : int32_t { f32 = 0, bf16 = 1, f16 = 2, i32 = 3 };

inline constexpr size_t size_of(DType type) {
  return type == DType::f32 || type == DType::i32 ? 4 : 2;
}

// A row-major matrix of `rows` x `cols` elements without gaps. A vector has one row.
struct Tensor {
  void* data = nullptr;
  DType type = DType::f32;
  int64_t rows = 0;
  int64_t cols = 0;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  // The view of `count` rows from row `first` on.
  Tensor slice(int64_t first, int64_t count) const {
    char* start = static_cast<char*>(data) + first * cols * static_cast<int64_t>(size_of(type));
    return {start, type, count, cols};
  }
};

}  // namespace redllm
