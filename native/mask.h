// What a layer's attention sees of what the mask allows: windows narrow it. One pair of arrays serves all layers of equal windows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "spec.h"

namespace redllm {

// How far a query sees on either side; absent: as far as the mask allows.
struct Window {
  std::optional<int32_t> back, ahead;
  bool operator==(const Window&) const = default;
};

struct Mask {
  Window window;
  const int32_t* left = nullptr;  // [tokens] a query sees keys left <= k < right
  const int32_t* right = nullptr;
  uint64_t pairs = 0;  // of a query and a key that it sees, over all tokens
};

inline Window window_of(const AttentionSpec& spec) {
  return {spec.window_back, spec.window_ahead};
}

// The different windows of a stack's self-attention.
inline std::vector<Window> windows_of(const StackSpec& stack) {
  std::vector<Window> windows;
  for (const LayerSpec& layer : stack.layers) {
    const Window window = window_of(layer.self.block);
    if (std::find(windows.begin(), windows.end(), window) == windows.end()) windows.push_back(window);
  }
  return windows;
}

}  // namespace redllm
