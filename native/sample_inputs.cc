#include "sample_inputs.h"

namespace redllm {

SampleInputs::SampleInputs(StepArrays& arrays, const StepLimits& limits) : arrays_(arrays), limits_(limits) {
  for (StepArray<int32_t>* array :
       {&token_, &slot_, &top_k_, &step_, &forced_, &alternatives_, &candidates_, &bias_start_, &allow_start_}) {
    *array = arrays.take<int32_t>(limits.samples + 1);
  }
  for (StepArray<float>* array : {&temperature_, &top_p_, &min_p_, &repetition_, &presence_, &frequency_})
    *array = arrays.take<float>(limits.samples);
  seed_ = arrays.take<uint32_t>(2 * limits.samples);
  // Most requests bring none of these.
  for (StepArray<int32_t>* array : {&bias_tokens_, &allow_tokens_, &history_tokens_}) *array = arrays.take<int32_t>(64);
  bias_values_ = arrays.take<float>(64);
}

void SampleInputs::check(const Plan& plan, int32_t vocabulary) const {
  int32_t tokens = plan.rowStart[plan.rows()];
  for (int32_t i = 0; i < plan.samples(); ++i) {
    require(plan.sampleToken[i] >= 0 && plan.sampleToken[i] < tokens, "a sample of no token");
    require(plan.alternatives[i] <= limits_.alternatives, "too many alternatives");
    require(plan.sampleSlot[i] < limits_.rows, "no such history slot");
    require(plan.forced[i] < vocabulary, "a forced token is not in the vocabulary");
    for (int32_t j = plan.biasStart[i]; j < plan.biasStart[i + 1]; ++j) {
      require(plan.biasTokens[j] >= 0 && plan.biasTokens[j] < vocabulary, "a biased token is not in the vocabulary");
    }
    for (int32_t j = plan.allowStart[i]; j < plan.allowStart[i + 1]; ++j) {
      require(plan.allowTokens[j] >= 0 && plan.allowTokens[j] < vocabulary,
              "an allowed token is not in the vocabulary");
    }
  }
  for (int32_t i = 0; i < plan.histories(); ++i)
    require(plan.historySlot[i] >= 0 && plan.historySlot[i] < limits_.rows, "no such history slot");
}

void SampleInputs::fill(const Plan& plan, int32_t padded, int32_t vocabulary, SampleArgs& args) {
  check(plan, vocabulary);
  int32_t count = plan.samples();
  if (plan.histories() > 0)
    sent_history_ = arrays_.send_from(history_tokens_, plan.historyTokens, plan.historyStart[plan.histories()]);
  if (count == 0) return;
  sent_token_ = arrays_.send_from(token_, plan.sampleToken, count, padded, 0);
  args.slot = arrays_.send_from(slot_, plan.sampleSlot, count, padded, -1);
  args.temperature = arrays_.send_from(temperature_, plan.temperature, count, padded);
  args.top_p = arrays_.send_from(top_p_, plan.topP, count, padded, 1.0f);
  args.min_p = arrays_.send_from(min_p_, plan.minP, count, padded);
  args.repetition = arrays_.send_from(repetition_, plan.repetition, count, padded, 1.0f);
  args.presence = arrays_.send_from(presence_, plan.presence, count, padded);
  args.frequency = arrays_.send_from(frequency_, plan.frequency, count, padded);
  args.top_k = arrays_.send_from(top_k_, plan.topK, count, padded);
  args.seed = arrays_.send_from(seed_, plan.seed, 2 * count, 2 * padded);
  args.step = arrays_.send_from(step_, plan.step, count, padded);
  args.forced = arrays_.send_from(forced_, plan.forced, count, padded, 0);
  args.alternatives = arrays_.send_from(alternatives_, plan.alternatives, count, padded, -1);
  args.candidates = arrays_.send_from(candidates_, plan.candidates, count, padded);
  int32_t biases = plan.biasStart[count], allowed = plan.allowStart[count];
  args.bias_start = arrays_.send_from(bias_start_, plan.biasStart, count + 1, padded + 1, biases);
  args.allow_start = arrays_.send_from(allow_start_, plan.allowStart, count + 1, padded + 1, allowed);
  args.bias_token = arrays_.send_from(bias_tokens_, plan.biasTokens, biases);
  args.bias_value = arrays_.send_from(bias_values_, plan.biasValues, biases);
  args.allow_token = arrays_.send_from(allow_tokens_, plan.allowTokens, allowed);
}

}  // namespace redllm
