// A step's samples and histories to the ops: the plan, checked.
#pragma once

#include <cstdint>

#include "ops.h"
#include "plan.h"
#include "step_arrays.h"

namespace redllm {

class SampleInputs {
 public:
  SampleInputs(StepArrays& arrays, const StepLimits& limits);

  // Checks the plan's samples and histories and queues their arrays, filled up to `padded` samples of the first token that report
  // nothing. Sets those fields of `args` that are inputs. Throws std::runtime_error.
  void fill(const Plan& plan, int32_t padded, int32_t vocabulary, SampleArgs& args);
  const int32_t* token() const { return sent_token_; }
  const int32_t* history_tokens() const { return sent_history_; }

 private:
  void check(const Plan& plan, int32_t vocabulary) const;

  StepArrays& arrays_;
  const StepLimits limits_;
  StepArray<int32_t> token_, slot_, top_k_, step_, forced_, alternatives_, candidates_, bias_start_, allow_start_;
  StepArray<int32_t> bias_tokens_, allow_tokens_, history_tokens_;
  StepArray<float> temperature_, top_p_, min_p_, repetition_, presence_, frequency_, bias_values_;
  StepArray<uint32_t> seed_;
  const int32_t *sent_token_ = nullptr, *sent_history_ = nullptr;
};

}  // namespace redllm
