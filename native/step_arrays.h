// The arrays of a step: written by the host, read by ops. Where the backend's memory is the host's, both are one; else there is a copy
// on either side, and all that a step needs goes across in one upload.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "arena.h"
#include "ops.h"

namespace redllm {

template <typename T>
struct StepArray {
  T* host = nullptr;
  T* device = nullptr;
  uint64_t capacity = 0;
};

class StepArrays {
 public:
  StepArrays(const Ops& ops, Context* context) : ops_(ops), context_(context), arena_(ops, context) {}

  // Throws std::bad_alloc.
  template <typename T>
  StepArray<T> take(uint64_t capacity) {
    T* device = arena_.take_array<T>(capacity);
    return {ops_.host_memory ? device : host_array<T>(capacity), device, capacity};
  }

  // The first `count` elements, as the host has written them, go across with the next upload. Returns where ops find them.
  template <typename T>
  const T* send(const StepArray<T>& array, uint64_t count) {
    if (!ops_.host_memory && count > 0) pieces_.push_back({array.device, array.host, count * sizeof(T)});
    return array.device;
  }

  // The caller's own `count` elements, followed by `fill` up to `padded`. They stay where they are until upload() has returned, or,
  // where memory is the host's, until the step is done; there nothing is ever padded. The array grows as it must: see grown().
  template <typename T>
  const T* send_from(StepArray<T>& array, const T* from, uint64_t count, uint64_t padded = 0, T fill = {}) {
    if (ops_.host_memory) return from;
    if (std::max(count, padded) > array.capacity) grow(array, std::max(count, padded));
    if (padded > count) {
      std::copy_n(from, count, array.host);
      std::fill(array.host + count, array.host + padded, fill);
      return send(array, padded);
    }
    if (count > 0) pieces_.push_back({array.device, from, count * sizeof(T)});
    return array.device;
  }

  // Forgets what was queued: a step whose plan was refused half-way.
  void drop() { pieces_.clear(); }

  void upload() {
    if (!pieces_.empty()) ops_.upload(context_, pieces_.data(), static_cast<int32_t>(pieces_.size()));
    pieces_.clear();
  }

  // Whether both sides are one.
  bool host_memory() const { return ops_.host_memory; }

  // Whether an array has moved since this was last asked: what was recorded with its address is then stale.
  bool grown() { return std::exchange(grown_, false); }

 private:
  template <typename T>
  T* host_array(uint64_t capacity) {
    host_.push_back(std::make_unique<char[]>(capacity * sizeof(T)));
    return reinterpret_cast<T*>(host_.back().get());
  }

  // The old array stays until the end, since steps under way may read it: twice the greatest size in all.
  template <typename T>
  void grow(StepArray<T>& array, uint64_t capacity) {
    array = take<T>(std::max(capacity, 2 * array.capacity));
    grown_ = true;
  }

  const Ops& ops_;
  Context* const context_;
  Arena arena_;
  std::vector<std::unique_ptr<char[]>> host_;
  std::vector<Piece> pieces_;
  bool grown_ = false;
};

}  // namespace redllm
