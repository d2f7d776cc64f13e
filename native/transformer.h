// One step of a model: sources through the encoder into cross pages, rows through the decoder, logits to tokens.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "arena.h"
#include "layer.h"
#include "ops.h"
#include "pages.h"
#include "plan.h"
#include "probe.h"
#include "row_inputs.h"
#include "sample_inputs.h"
#include "source_inputs.h"
#include "spec.h"
#include "step_arrays.h"
#include "step_results.h"
#include "weights.h"
#include "work.h"

namespace redllm {

class Transformer {
 public:
  // The spec and the weights must outlive it. Throws std::bad_alloc, or std::runtime_error where the spec asks for what is not served.
  Transformer(const ModelSpec& spec, const Weights& weights, DType compute, const Ops& ops, Context* context,
              const StepLimits& limits);
  ~Transformer();

  // Memory for this many pages (on the CPU, address space); called once, before the first step. Throws std::bad_alloc.
  void reserve_pages(int32_t pages);

  // Starts one step: copies pages, encodes sources, runs rows, samples. A negative token v in the plan means what sample ~v of the
  // launch before chose. At most two launches may be without their collect. Throws std::runtime_error where the plan leaves its
  // limits, or the device has failed.
  void launch(const Plan& plan);
  // Waits for the oldest launch not yet collected and writes its samples to the plan's out arrays.
  void collect(const Plan& plan);

  // What all launches so far came to.
  const Counters& counters() const { return counters_; }

  // While on, the last collected step's logits [samples, vocabulary] and encoder states [source tokens, width] can be read.
  void keep(bool on);
  const std::vector<float>& kept_logits() const { return results_.kept_logits(); }
  const std::vector<float>& kept_encoder() const { return results_.kept_encoder(); }

  // While on, where the decoder's self- and cross-attention looked in the last collected step: [layers][tokens][heads][bins], three
  // bins of keys in self-attention (KeyBins::recent), `parts` in cross-attention (KeyBins::equal). Throws std::bad_alloc.
  void probe(std::optional<ProbeBins> bins) { probe_.set(bins); }
  const std::vector<float>& self_masses() const { return results_.kept_self(); }
  const std::vector<float>& cross_masses() const { return results_.kept_cross(); }

 private:
  int32_t padded_rows(const Plan& plan) const;
  void encode(SourceRun& run);
  void fill_cross_pages(const SourceRun& run);
  void run_rows(int32_t padded, int32_t samples);
  void decode(Pass& pass);
  void sample(int32_t tokens, int32_t count);
  void count(const Work& work, const Pass& pass);

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
  PagePool encoder_pages_;  // one layer of the sources being encoded; not part of the pool

  Tensor x_;                          // f32 [limits.tokens, decoder width]
  Tensor encoder_x_, encoder_final_;  // [limits.source_tokens, encoder width]; x lives between layer ranges
  Tensor sampled_x_, sampled_input_, logits_;
  Tensor kept_logits_;          // sampling may overwrite the logits; none before keep() was first asked for
  int32_t* history_ = nullptr;  // see SampleArgs

  StepArrays arrays_;
  std::unique_ptr<SourceInputs> sources_;  // null: a decoder-only model
  RowInputs rows_;
  SampleInputs samples_;
  StepArray<int32_t> copy_from_, copy_to_;
  SampleArgs sample_args_{};
  StepResults results_;
  Probe probe_;
  bool keep_ = false;
  Counters counters_;
  std::map<uint64_t, Work> recorded_;  // by key of the run: a replay calls no op
};

}  // namespace redllm
