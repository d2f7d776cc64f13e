// RedLLM and DecLLM of any size with random weights (src/models/redllm.ts and decllm.ts say what they are), and a plan to run
// one row through them: for tests of the transformer without Node, and for benchmarks of whole steps.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model.h"

namespace redllm::test {

struct PaperSize {
  int32_t width, inner, heads, head_dim, layers, vocabulary;  // layers: of each stack
};

inline WeightRef weight(const std::string& name, std::vector<int64_t> shape) {
  return {name + ".weight", std::move(shape), 0};
}

inline NormSpec gained(const std::string& name, int32_t width) {
  NormSpec norm;
  norm.eps = 1e-6f;
  norm.gain = weight(name, {width});
  return norm;
}

inline AttentionSpec paper_attention(const std::string& name, const PaperSize& size, bool output_norm) {
  NormSpec plain;
  plain.eps = 1e-6f;
  int64_t inner = static_cast<int64_t>(size.heads) * size.head_dim;
  AttentionSpec attention;
  attention.heads = attention.kv_heads = size.heads;
  attention.head_dim = size.head_dim;
  attention.scale = 1 / std::sqrt(static_cast<float>(size.head_dim));
  attention.query = {weight(name + ".q_proj", {inner, size.width}), {}};
  attention.key = {weight(name + ".k_proj", {inner, size.width}), {}};
  attention.value = {weight(name + ".v_proj", {inner, size.width}), {}};
  attention.output = {weight(name + ".o_proj", {size.width, inner}), {}};
  attention.query_norm = attention.key_norm = attention.value_norm = plain;
  if (output_norm) attention.output_norm = plain;
  attention.rope = RopeSpec{10000, size.head_dim, 1, true, true};
  return attention;
}

inline StackSpec paper_stack(const std::string& name, const PaperSize& size, bool cross, bool output_norm) {
  StackSpec stack;
  stack.width = size.width;
  stack.embedding = weight("embed_tokens", {size.vocabulary, size.width});
  for (int32_t i = 0; i < size.layers; ++i) {
    std::string at = name + "layers." + std::to_string(i) + ".";
    LayerSpec layer;
    layer.self = {
        gained(at + "input_layernorm", size.width), {}, {}, paper_attention(at + "self_attn", size, output_norm)};
    if (cross) {
      layer.cross = {gained(at + "cross_attention_layernorm", size.width),
                     {},
                     {},
                     paper_attention(at + "cross_attn", size, output_norm)};
    }
    FeedForwardSpec feed_forward{Activation::silu,
                                 LinearSpec{weight(at + "mlp.gate_proj", {size.inner, size.width}), {}},
                                 {weight(at + "mlp.up_proj", {size.inner, size.width}), {}},
                                 {weight(at + "mlp.down_proj", {size.width, size.inner}), {}}};
    layer.feed_forward = {gained(at + "post_attention_layernorm", size.width), {}, {}, feed_forward};
    stack.layers.push_back(layer);
  }
  stack.final_norm = gained(name + "norm", size.width);
  return stack;
}

inline ModelSpec paper_model(const PaperSize& size, bool encoder) {
  ModelSpec spec;
  if (encoder) spec.encoder = paper_stack("encoder.", size, false, true);
  spec.decoder = paper_stack(encoder ? "decoder." : "", size, encoder, encoder);
  spec.head.weight = spec.decoder.embedding;
  spec.head.scale = 1 / std::sqrt(static_cast<float>(size.width));
  spec.positions_after_source = encoder;
  return spec;
}

// Loads it whole, with pages for `rows` rows of the greatest length.
inline std::unique_ptr<Model> load_random(std::shared_ptr<Backend> backend, ModelSpec spec, DType compute,
                                          const StepLimits& limits, int32_t pages) {
  WeightSource source;
  source.random = true;
  source.seed = 1;
  auto model = std::make_unique<Model>(std::move(backend), std::move(spec), compute, source, limits);
  while (!model->weights().done()) model->weights().load_some(64 << 20);
  model->transformer().reserve_pages(pages);
  return model;
}

// One row and at most one source, greedy; pages [0, pages_a_table) are the row's own, the next as many its source's.
class OneRow {
 public:
  explicit OneRow(const StepLimits& limits, bool encoder)
      : table_((limits.max_source + limits.max_target) / kPageTokens + 2) {
    top_tokens_.resize(static_cast<size_t>(limits.samples) * limits.alternatives);
    top_logprobs_.resize(top_tokens_.size());
    for (int32_t page = 0; page < 2 * table_; ++page) pages_.push_back(page);
    page_start_ = encoder ? std::vector<int32_t>{0, table_, 2 * table_} : std::vector<int32_t>{0, table_};
    plan.counts = counts_;
    plan.sourceStart = source_start_;
    plan.sourceState = &zero_;
    plan.sourceFirstLayer = &first_layer_;
    plan.sourceLastLayer = &last_layer_;
    plan.sourcePageStart = &table_;
    plan.sourcePages = pages_.data();
    plan.rowStart = row_start_;
    plan.rowIndex = &index_;
    plan.rowPosition = &position_;
    plan.rowPrefix = &prefix_;
    plan.rowSourceLength = &source_length_;
    plan.rowGroup = &none_;
    plan.rowPageStart = page_start_.data();
    plan.rowPages = pages_.data();
    plan.sampleToken = &sampled_;
    plan.sampleSlot = &none_;
    plan.topK = &zero_;
    plan.step = &zero_;
    plan.forced = &none_;
    plan.alternatives = &none_;
    plan.candidates = &zero_;
    plan.biasStart = plan.allowStart = bias_start_;
    plan.temperature = plan.minP = plan.presence = plan.frequency = &nothing_;
    plan.topP = plan.repetition = &one_;
    plan.seed = seed_;
    plan.outToken = &token_;
    plan.outRank = &rank_;
    plan.outTopToken = top_tokens_.data();
    plan.outLogprob = &logprob_;
    plan.outTopLogprob = top_logprobs_.data();
  }
  OneRow(const OneRow&) = delete;
  OneRow& operator=(const OneRow&) = delete;

  static int32_t pages(const StepLimits& limits) {
    return 2 * ((limits.max_source + limits.max_target) / kPageTokens + 2);
  }

  // Encodes layers [first, last) of the source.
  void encode(Model& model, const std::vector<int32_t>& source, int32_t first, int32_t last) {
    counts_[0] = 1;
    counts_[1] = counts_[2] = counts_[5] = 0;
    plan.sourceTokens = source.data();
    source_start_[1] = static_cast<int32_t>(source.size());
    first_layer_ = first;
    last_layer_ = last;
    step(model);
    counts_[0] = 0;
  }

  // Runs tokens from cache index `index` on and returns the greedy next token. kind: of all of them.
  int32_t decode(Model& model, const std::vector<int32_t>& tokens, int32_t index, int32_t source_length,
                 int32_t prefix = 0, RowKind kind = RowKind::prefill) {
    prepare(tokens, index, source_length, prefix, kind);
    step(model);
    return token_;
  }

  // One token that was generated.
  int32_t generate(Model& model, int32_t token, int32_t index, int32_t source_length) {
    return decode(model, {token}, index, source_length, 0, RowKind::decode);
  }

  // `count` tokens one after the other, each step started before the one before it is collected: a token is then known to the device
  // alone. Returns the last.
  int32_t generate_ahead(Model& model, int32_t token, int32_t index, int32_t source_length, int32_t count) {
    std::vector<int32_t> tokens = {token};
    for (int32_t i = 0; i < count; ++i) {
      prepare(tokens, index + i, source_length, 0, RowKind::decode);
      model.transformer().launch(plan);
      if (i > 0) model.transformer().collect(plan);
      tokens[0] = ~0;
    }
    model.transformer().collect(plan);
    return token_;
  }

  Plan plan;

 private:
  void prepare(const std::vector<int32_t>& tokens, int32_t index, int32_t source_length, int32_t prefix, RowKind kind) {
    counts_[1] = counts_[2] = 1;
    counts_[5] = kind == RowKind::decode ? 1 : 0;
    plan.tokens = tokens.data();
    row_start_[1] = static_cast<int32_t>(tokens.size());
    index_ = index;
    position_ = source_length + index;
    source_length_ = source_length;
    prefix_ = prefix;
    sampled_ = static_cast<int32_t>(tokens.size()) - 1;
  }

  void step(Model& model) {
    model.transformer().launch(plan);
    model.transformer().collect(plan);
  }

  int32_t table_;
  int32_t counts_[6] = {}, source_start_[2] = {}, row_start_[2] = {}, bias_start_[2] = {};
  int32_t zero_ = 0, none_ = -1, first_layer_ = 0, last_layer_ = 0, index_ = 0, position_ = 0, prefix_ = 0,
          source_length_ = 0, sampled_ = 0, token_ = 0, rank_ = 0;
  uint32_t seed_[2] = {};
  float nothing_ = 0, one_ = 1, logprob_ = 0;
  std::vector<int32_t> pages_, page_start_, top_tokens_;
  std::vector<float> top_logprobs_;
};

}  // namespace redllm::test
