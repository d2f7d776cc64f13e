// What was computed, in multiply-adds: counted where the ops are called, on the host, so that a benchmark need not trust a formula.
#pragma once

#include <cstdint>
#include <vector>

namespace redllm {

// One pass through a stack, or a part of it. What its attentions come to depends on what each query sees, which may differ where
// all else is equal (a recorded run), so they are kept apart: multiply-adds for each pair of a query and a key that it sees.
struct Work {
  uint64_t products = 0;
  std::vector<uint64_t> self;  // by mask of the pass
  uint64_t cross = 0;
};

// Since a model was loaded. Rows that only fill a launch up count in products: they are computed. Looking an embedding up, norms,
// rotations and sampling do not.
struct Counters {
  uint64_t products = 0;
  uint64_t attention = 0;
};

}  // namespace redllm
