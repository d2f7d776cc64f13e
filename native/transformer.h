// One step of a model: sources through the encoder into cross pages, rows through the decoder, logits to tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "arena.h"
#include "layer.h"
#include "ops.h"
#include "pages.h"
#include "plan.h"
#include "spec.h"
#include "weights.h"

namespace redllm {

class Transformer {
 public:
  // The spec and the weights must outlive it. Throws std::bad_alloc.
  Transformer(const ModelSpec& spec, const Weights& weights, DType compute, const Ops& ops, Context* context,
              const StepLimits& limits);

  // Address space for this many pages; called once, before the first step.
  void reserve_pages(int32_t pages);

  // Runs one step: copies pages, encodes sources, runs rows, samples. A negative token v in the plan means what sample ~v of the
  // launch before chose. Throws std::runtime_error where the plan leaves its limits.
  void launch(const Plan& plan);
  // Writes the samples of the oldest launch not yet collected to the plan's out arrays.
  void collect(const Plan& plan);

  // While on, the last step's logits [samples, vocabulary] and encoder states [source tokens, width] can be read.
  void keep(bool on) { keep_ = on; }
  const std::vector<float>& kept_logits() const { return kept_logits_; }
  const std::vector<float>& kept_encoder() const { return kept_encoder_; }

 private:
  struct Samples {
    int32_t count = 0;
    int32_t *token, *rank, *top_token;
    float *logprob, *top_logprob;
  };

  void encode(const Plan& plan, int32_t first, int32_t last);
  void prepare_sources(const Plan& plan, int32_t first, int32_t last, Pass& pass);
  void fill_cross_pages(const Plan& plan, int32_t first, int32_t last, int64_t state);
  void prepare_rows(const Plan& plan);
  void decode(const Plan& plan);
  void sample(const Plan& plan);

  const ModelSpec& spec_;
  const Weights& weights_;
  const DType compute_;
  const Ops& ops_;
  Context* const context_;
  const StepLimits limits_;
  const PageLayout layout_;
  Arena arena_;
  Layers layers_;

  PagePool pages_;
  PagePool encoder_pages_;            // one layer of the sources being encoded; not part of the pool
  int32_t* encoder_table_ = nullptr;  // its page table: 0, 1, 2, ...

  Tensor x_;                          // f32 [limits.tokens, decoder width]
  Tensor encoder_x_, encoder_final_;  // [limits.source_tokens, encoder width]; x lives between layer ranges
  Tensor sampled_x_, sampled_input_, logits_;
  int32_t* history_ = nullptr;  // see SampleArgs

  Pass pass_;  // the arrays of a pass
  int32_t *tokens_, *token_in_page_, *source_start_;
  std::vector<int32_t*> token_page_;  // by page group, [tokens]
  std::vector<int32_t*> page_start_;  // by page group, [rows]

  Samples samples_[2];  // of the last two launches
  int64_t launched_ = 0, collected_ = 0;
  bool keep_ = false;
  std::vector<float> kept_logits_, kept_encoder_;
};

}  // namespace redllm
