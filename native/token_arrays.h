// Arrays of one entry a token, of sources or of rows: where its keys go, and what it may see.
#pragma once

#include <cstdint>
#include <vector>

#include "pass.h"
#include "spec.h"
#include "step_arrays.h"

namespace redllm {

struct TokenArrays {
  TokenArrays(StepArrays& arrays, const std::vector<Window>& windows, int32_t page_groups, int64_t tokens);

  // Index, position and what the windows leave of the mask, for token t.
  void set(int64_t t, int32_t key_index, int32_t key_position, int32_t right);
  // Sends all, `count` entries each, and points `masks` at them.
  void send(StepArrays& arrays, int64_t count);
  // Of a query among tokens [begin, begin + count) and a key that it sees, under one of the windows.
  uint64_t pairs(size_t window, int64_t begin, int64_t count) const;

  struct Narrowed {
    Window window;
    StepArray<int32_t> left, right;
  };
  StepArray<int32_t> index, position, sequence, in_page;
  std::vector<StepArray<int32_t>> page;  // by page group: where the token's keys go; -1: nowhere
  std::vector<Narrowed> narrowed;
  std::vector<Mask> masks;
};

}  // namespace redllm
