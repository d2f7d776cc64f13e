// In which order threads, warps and blocks have their turns.
#pragma once

#include <cstdint>
#include <utility>

namespace redllm::cuda::emu {

// Ascending (seed 0), descending (1), or shuffled anew at every turn.
class TurnOrder {
 public:
  explicit TurnOrder(uint64_t seed) : seed_(seed), state_(seed * 0x9e3779b97f4a7c15ull | 1) {}
  bool shuffles() const { return seed_ > 1; }
  uint32_t below(uint32_t count) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<uint32_t>((state_ >> 32) * count >> 32);
  }
  // All numbers below `count`.
  template <typename T>
  void fill(T* turns, int count) {
    for (int i = 0; i < count; ++i) turns[i] = static_cast<T>(seed_ == 1 ? count - 1 - i : i);
    if (shuffles())
      for (int i = count - 1; i > 0; --i) std::swap(turns[i], turns[below(static_cast<uint32_t>(i) + 1)]);
  }

 private:
  uint64_t seed_;
  uint64_t state_;  // xorshift64
};

}  // namespace redllm::cuda::emu
