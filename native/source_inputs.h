// A step's sources to the ops: the plan, checked, spread over arrays of one entry a token.
#pragma once

#include <cstdint>
#include <vector>

#include "pass.h"
#include "plan.h"
#include "spec.h"
#include "step_arrays.h"
#include "token_arrays.h"

namespace redllm {

// Sources that stand side by side and are due for the same layers run as one.
struct SourceRun {
  int32_t first_layer = 0, last_layer = 0;
  int64_t state = 0;  // first row in the encoder's state buffer
  const int32_t* tokens = nullptr;
  Pass pass;
  Keys keys;                                // of one layer of the encoder; the pool is the caller's to set
  std::vector<Mask> masks;                  // that `pass` points to
  std::vector<const int32_t*> cross_pages;  // by cross group: [tokens] pages that receive the keys and values
};

class SourceInputs {
 public:
  SourceInputs(StepArrays& arrays, const ModelSpec& spec, const StepLimits& limits, int32_t cross_groups);

  // Checks the plan's sources and queues their arrays. Throws std::runtime_error.
  void fill(const Plan& plan, int32_t vocabulary, int32_t pool_pages);
  std::vector<SourceRun>& runs() { return runs_; }

 private:
  void fill_run(const Plan& plan, int32_t first, int32_t last, int32_t vocabulary, int32_t pool_pages);

  StepArrays& arrays_;
  const StepLimits limits_;
  const int32_t layers_, cross_groups_;
  TokenArrays tokens_;  // page group 0: of the encoder's own scratch; then the cross groups
  StepArray<int32_t> query_start_, page_start_, ids_, table_;
  std::vector<SourceRun> runs_;
};

}  // namespace redllm
