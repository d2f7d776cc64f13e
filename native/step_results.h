// What the steps under way have sampled, from the ops that write it to the plan that receives it.
#pragma once

#include <cstdint>
#include <vector>

#include "arena.h"
#include "ops.h"
#include "plan.h"
#include "probe.h"

namespace redllm {

class StepResults {
 public:
  // Throws std::bad_alloc.
  StepResults(Arena& arena, const Ops& ops, Context* context, const StepLimits& limits);

  // Points the out fields of `args` at the backend's arrays. They hold the samples of the last launch until the next one's are written.
  void bind(SampleArgs& args) const;
  const int32_t* chosen() const { return token_; }
  // Samples of the last launch.
  int32_t count() const { return steps_[(launched_ + 1) % 2].count; }
  int64_t under_way() const { return launched_ - collected_; }

  // A launch begins: what it keeps is kept for its own collect().
  void begin(bool keep);
  // What is kept must stay as it is until end().
  void keep_encoder(Tensor states);
  void keep_logits(Tensor logits);
  void keep_masses(const Probe::Masses& self, const Probe::Masses& cross);
  // A launch ends: its results are on their way to the host. alternatives: the most that a sample of it reports.
  void end(int32_t count, int32_t alternatives);
  // Waits for the oldest launch, and writes its samples to the plan; alternatives only where one of them was to report some.
  void collect(const Plan& plan);

  const std::vector<float>& kept_logits() const { return kept_logits_; }
  const std::vector<float>& kept_encoder() const { return kept_encoder_; }
  const std::vector<float>& kept_self() const { return kept_self_; }
  const std::vector<float>& kept_cross() const { return kept_cross_; }

 private:
  struct Step {
    uint64_t ticket = 0;
    int32_t count = 0;
    bool reported = false;
    std::vector<int32_t> token, rank, top_token;
    std::vector<float> logprob, top_logprob;
    std::vector<float> logits, self, cross;
    std::vector<std::vector<char>> encoder;  // of each run, in the compute type
    DType encoder_type = DType::f32;
    std::vector<Piece> pieces;
  };
  Step& current() { return steps_[launched_ % 2]; }

  const Ops& ops_;
  Context* const context_;
  const int32_t alternatives_;
  int32_t *token_, *rank_, *top_token_;
  float *logprob_, *top_logprob_;
  Step steps_[2];
  int64_t launched_ = 0, collected_ = 0;
  bool keep_ = false;
  std::vector<float> kept_logits_, kept_encoder_, kept_self_, kept_cross_;
};

}  // namespace redllm
