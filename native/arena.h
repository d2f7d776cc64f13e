// Memory that lives and dies together: blocks of the backend's, handed out in aligned pieces, released at once.
#pragma once

#include <cstdint>
#include <new>
#include <vector>

#include "ops.h"

namespace redllm {

class Arena {
 public:
  // counting: nothing is allocated; pieces have no memory behind them, only a size that taken() sums.
  Arena(const Ops& ops, Context* context, bool counting = false) : ops_(ops), context_(context), counting_(counting) {}
  ~Arena() {
    for (const Block& block : blocks_) ops_.release(context_, block.data, block.bytes);
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Zeroed memory, 64-byte aligned. Throws std::bad_alloc.
  void* take(uint64_t bytes) {
    bytes = (bytes + 63) & ~uint64_t{63};
    taken_ += bytes;
    if (counting_) return reinterpret_cast<void*>(uintptr_t{64});
    if (bytes >= kBlockBytes / 4) return add_block(bytes);
    if (left_ < bytes) {
      next_ = static_cast<char*>(add_block(kBlockBytes));
      left_ = kBlockBytes;
    }
    char* piece = next_;
    next_ += bytes;
    left_ -= bytes;
    return piece;
  }

  template <typename T>
  T* take_array(uint64_t count) {
    return static_cast<T*>(take(count * sizeof(T)));
  }

  Tensor take_tensor(DType type, int64_t rows, int64_t cols) {
    return {take(static_cast<uint64_t>(rows * cols) * size_of(type)), type, rows, cols};
  }

  uint64_t taken() const { return taken_; }

 private:
  struct Block {
    void* data;
    uint64_t bytes;
  };
  static constexpr uint64_t kBlockBytes = 1 << 20;

  void* add_block(uint64_t bytes) {
    void* data = ops_.allocate(context_, bytes);
    if (!data) throw std::bad_alloc();
    blocks_.push_back({data, bytes});
    return data;
  }

  const Ops& ops_;
  Context* context_;
  const bool counting_;
  std::vector<Block> blocks_;
  char* next_ = nullptr;
  uint64_t left_ = 0;
  uint64_t taken_ = 0;
};

}  // namespace redllm
