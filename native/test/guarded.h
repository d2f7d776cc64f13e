// What tests of ops share: buffers that notice a write beyond their ends, and the backends of this machine.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "backends.h"
#include "check.h"

namespace redllm::test {

// Elements between two guard bands, all filled with 0xff: a NaN in f32 and in bf16, so that an element that was not written shows.
template <typename T>
class Guarded {
 public:
  explicit Guarded(size_t count) : count_(count), bytes_(2 * kBand + count * sizeof(T), 0xff) {}
  T* data() { return reinterpret_cast<T*>(bytes_.data() + kBand); }
  size_t size() const { return count_; }
  const T* data() const { return const_cast<Guarded*>(this)->data(); }
  T& operator[](size_t i) { return data()[i]; }
  bool intact() const {
    for (size_t i = 0; i < kBand; ++i)
      if (bytes_[i] != 0xff || bytes_[bytes_.size() - 1 - i] != 0xff) return false;
    return true;
  }

 private:
  static constexpr size_t kBand = 256;
  size_t count_;
  std::vector<unsigned char> bytes_;
};

inline float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

inline float float_of_bf16(uint16_t bits) {
  return float_of(uint32_t{bits} << 16);
}

// Nearest, ties to even: of the bf16 below and the one above, by comparing distances in double.
inline uint16_t bf16_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if (std::isnan(x)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  const uint16_t low = static_cast<uint16_t>(bits >> 16);
  if (std::isinf(x)) return low;
  const uint16_t high = static_cast<uint16_t>(low + 1);
  // Above the greatest finite bf16 stands the next power of two, for which infinity is written.
  const double above =
      std::isinf(float_of_bf16(high)) ? std::copysign(0x1p128, double(x)) : double(float_of_bf16(high));
  const double down = std::fabs(double(x) - double(float_of_bf16(low))), up = std::fabs(above - double(x));
  return down < up || (down == up && low % 2 == 0) ? low : high;
}

inline float rounded(float x, DType type) {
  return type == DType::bf16 ? float_of_bf16(bf16_of(x)) : x;
}

// Element i of an array of f32 or bf16.
inline float element(const void* data, DType type, size_t i) {
  return type == DType::bf16 ? float_of_bf16(static_cast<const uint16_t*>(data)[i])
                             : static_cast<const float*>(data)[i];
}

// An output in either type, between guards.
class Output {
 public:
  Output(DType type, int64_t rows, int64_t cols)
      : type_(type), rows_(rows), cols_(cols), bytes_(static_cast<size_t>(rows * cols) * size_of(type)) {}
  Tensor tensor() { return {bytes_.data(), type_, rows_, cols_}; }
  const unsigned char* row(int64_t r) const { return bytes_.data() + static_cast<size_t>(r) * row_bytes(); }
  size_t row_bytes() const { return static_cast<size_t>(cols_) * size_of(type_); }
  float at(int64_t i) const { return element(bytes_.data(), type_, static_cast<size_t>(i)); }
  std::vector<float> values() const {
    std::vector<float> all(static_cast<size_t>(rows_ * cols_));
    for (size_t i = 0; i < all.size(); ++i) all[i] = element(bytes_.data(), type_, i);
    return all;
  }
  // Whether row r has the bits of row `other_row` of another output.
  bool same_row(int64_t r, const Output& other, int64_t other_row) const {
    return row_bytes() == 0 || std::memcmp(row(r), other.row(other_row), row_bytes()) == 0;
  }
  bool intact() const { return bytes_.intact(); }

 private:
  DType type_;
  int64_t rows_, cols_;
  Guarded<unsigned char> bytes_;
};

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

template <typename T>
std::vector<T> shuffled(std::vector<T> values, Random& random) {
  for (size_t i = values.size(); i > 1; --i)
    std::swap(values[i - 1], values[static_cast<size_t>(random.integer(0, static_cast<int64_t>(i) - 1))]);
  return values;
}

// Sizes at which kernels break: few, around the edges of tiles, primes. In [least, most].
inline int32_t edge_size(Random& random, int32_t least, int32_t most) {
  constexpr int32_t kEdges[] = {16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 1536, 2048, 2560};
  constexpr int32_t kPrimes[] = {11,  13,  19,  29,  37,  53,  61,  79,   101,  113,  149,  173,
                                 211, 241, 307, 401, 509, 617, 809, 1009, 1301, 1777, 2203, 2591};
  for (;;) {
    int64_t size = random.integer(0, 8);
    const int64_t kind = random.integer(0, 2);
    if (kind == 1) size = kEdges[random.integer(0, 13)] + random.integer(-1, 1);
    if (kind == 2) size = kPrimes[random.integer(0, 23)];
    if (size >= least && size <= most) return static_cast<int32_t>(size);
  }
}

inline bool coin(Random& random) {
  return random.integer(0, 1) == 1;
}

inline DType any_type(Random& random) {
  return coin(random) ? DType::bf16 : DType::f32;
}

}  // namespace redllm::test
