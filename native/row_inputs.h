// A step's rows to the ops: the plan, checked, spread over arrays of one entry a token.
#pragma once

#include <cstdint>
#include <vector>

#include "pages.h"
#include "pass.h"
#include "plan.h"
#include "spec.h"
#include "step_arrays.h"
#include "token_arrays.h"

namespace redllm {

class RowInputs {
 public:
  RowInputs(StepArrays& arrays, const ModelSpec& spec, const StepLimits& limits, const PageLayout& layout);

  // Checks the plan's rows and queues their arrays, filled up to `padded` rows of one token that see nothing and write nothing.
  // chosen: samples of the launch before. Throws std::runtime_error.
  void fill(const Plan& plan, int32_t padded, int32_t vocabulary, int32_t pool_pages, int32_t chosen);
  const Pass& pass() const { return pass_; }
  const int32_t* tokens() const { return sent_ids_; }
  // The keys of one layer; the pool is the caller's to set.
  Keys keys(PagePlace place) const;

 private:
  void fill_row(const Plan& plan, int32_t row, int32_t vocabulary, int32_t pool_pages, int32_t chosen);
  void pad(int32_t row, int32_t token);

  StepArrays& arrays_;
  const StepLimits limits_;
  const int32_t groups_, self_groups_;
  TokenArrays tokens_;
  StepArray<int32_t> query_start_, decode_start_, source_right_, source_left_, group_, ids_, pages_;
  std::vector<StepArray<int32_t>> page_start_;  // by page group
  Pass pass_;
  const int32_t *sent_ids_ = nullptr, *sent_pages_ = nullptr;
};

}  // namespace redllm
