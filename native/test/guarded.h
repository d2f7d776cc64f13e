// What tests of ops share: buffers that notice a write beyond their ends, and the backends of this machine.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "check.h"
#include "cpu/backend.h"
#include "cpu/isa.h"

namespace redllm::test {

// Elements between two guard bands, all filled with 0xff: a NaN in f32 and in bf16, so that an element that was not written shows.
template <typename T>
class Guarded {
 public:
  explicit Guarded(size_t count) : count_(count), bytes_(2 * kBand + count * sizeof(T), 0xff) {}
  T* data() { return reinterpret_cast<T*>(bytes_.data() + kBand); }
  size_t size() const { return count_; }
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
  std::vector<float> values() {
    std::vector<float> all(static_cast<size_t>(rows_ * cols_));
    for (size_t i = 0; i < all.size(); ++i) all[i] = element(bytes_.data(), type_, i);
    return all;
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

// Every instruction set of this machine, with one thread and with two.
inline std::vector<std::unique_ptr<Backend>> every_backend() {
  std::vector<std::unique_ptr<Backend>> all;
  for (const char* isa : {"plain", "avx2", "avx512"})
    for (int32_t threads : {1, 2})
      if (cpu::ops_for(isa) != nullptr) all.push_back(std::make_unique<cpu::Backend>(threads, isa));
  return all;
}

template <typename T>
std::vector<T> shuffled(std::vector<T> values, Random& random) {
  for (size_t i = values.size(); i > 1; --i)
    std::swap(values[i - 1], values[static_cast<size_t>(random.integer(0, static_cast<int64_t>(i) - 1))]);
  return values;
}

}  // namespace redllm::test
