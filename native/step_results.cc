#include "step_results.h"

#include <algorithm>
#include <cstring>

#include "cpu/bf16.h"

namespace redllm {

StepResults::StepResults(Arena& arena, const Ops& ops, Context* context, const StepLimits& limits)
    : ops_(ops), context_(context), alternatives_(limits.alternatives) {
  size_t count = static_cast<size_t>(limits.samples), wide = count * static_cast<size_t>(alternatives_);
  token_ = arena.take_array<int32_t>(count);
  rank_ = arena.take_array<int32_t>(count);
  logprob_ = arena.take_array<float>(count);
  top_token_ = arena.take_array<int32_t>(wide);
  top_logprob_ = arena.take_array<float>(wide);
  for (Step& step : steps_) {
    step.token.resize(count);
    step.rank.resize(count);
    step.logprob.resize(count);
    step.top_token.resize(wide);
    step.top_logprob.resize(wide);
  }
}

void StepResults::bind(SampleArgs& args) const {
  args.max_alternatives = alternatives_;
  args.token = token_;
  args.rank = rank_;
  args.logprob = logprob_;
  args.top_token = top_token_;
  args.top_logprob = top_logprob_;
}

void StepResults::begin(bool keep) {
  keep_ = keep;
  Step& step = current();
  step.pieces.clear();
  step.logits.clear();
  step.self.clear();
  step.cross.clear();
  step.encoder.clear();
}

void StepResults::keep_encoder(Tensor states) {
  if (!keep_) return;
  Step& step = current();
  step.encoder_type = states.type;
  step.encoder.emplace_back(static_cast<size_t>(states.rows * states.cols) * size_of(states.type));
  std::vector<char>& to = step.encoder.back();
  step.pieces.push_back({to.data(), states.data, to.size()});
}

void StepResults::keep_logits(Tensor logits) {
  if (!keep_) return;
  Step& step = current();
  step.logits.resize(static_cast<size_t>(logits.rows * logits.cols));
  step.pieces.push_back({step.logits.data(), logits.data, step.logits.size() * sizeof(float)});
}

void StepResults::keep_masses(const Probe::Masses& self, const Probe::Masses& cross) {
  Step& step = current();
  auto take = [&](std::vector<float>& to, const Probe::Masses& from) {
    to.resize(from.count);
    if (from.count > 0) step.pieces.push_back({to.data(), from.data, from.count * sizeof(float)});
  };
  take(step.self, self);
  take(step.cross, cross);
}

void StepResults::end(int32_t count, int32_t alternatives) {
  Step& step = current();
  step.count = count;
  step.reported = alternatives > 0;
  auto take = [&](auto& to, const auto* from, size_t size) {
    if (size > 0) step.pieces.push_back({to.data(), from, size * sizeof(*from)});
  };
  size_t wide = step.reported ? static_cast<size_t>(count) * static_cast<size_t>(alternatives_) : 0;
  take(step.token, token_, count);
  take(step.rank, rank_, count);
  take(step.logprob, logprob_, count);
  take(step.top_token, top_token_, wide);
  take(step.top_logprob, top_logprob_, wide);
  step.ticket = ops_.download(context_, step.pieces.data(), static_cast<int32_t>(step.pieces.size()));
  ++launched_;
}

void StepResults::collect(const Plan& plan) {
  Step& step = steps_[collected_++ % 2];
  ops_.wait(context_, step.ticket);
  size_t count = static_cast<size_t>(step.count), wide = count * static_cast<size_t>(alternatives_);
  std::copy_n(step.token.data(), count, plan.outToken);
  std::copy_n(step.rank.data(), count, plan.outRank);
  std::copy_n(step.logprob.data(), count, plan.outLogprob);
  if (step.reported) {
    std::copy_n(step.top_token.data(), wide, plan.outTopToken);
    std::copy_n(step.top_logprob.data(), wide, plan.outTopLogprob);
  }
  kept_logits_ = step.logits;
  kept_self_ = step.self;
  kept_cross_ = step.cross;
  kept_encoder_.clear();
  for (const std::vector<char>& run : step.encoder) {
    size_t size = size_of(step.encoder_type);
    for (size_t i = 0; i < run.size() / size; ++i) {
      float value;
      if (step.encoder_type == DType::f32) {
        std::memcpy(&value, run.data() + 4 * i, 4);
      } else {
        uint16_t bits;
        std::memcpy(&bits, run.data() + 2 * i, 2);
        value = cpu::float_from_bf16(bits);
      }
      kept_encoder_.push_back(value);
    }
  }
}

}  // namespace redllm
