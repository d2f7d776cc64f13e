#include "transformer.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "cpu/bf16.h"

namespace redllm {
namespace {

void require(bool held, const char* what) {
  if (!held) throw std::runtime_error(std::string("plan: ") + what);
}

int32_t pages_for(int32_t tokens) {
  return (tokens + kPageTokens - 1) / kPageTokens;
}

}  // namespace

Transformer::Transformer(const ModelSpec& spec, const Weights& weights, DType compute, const Ops& ops, Context* context,
                         const StepLimits& limits)
    : spec_(spec),
      weights_(weights),
      compute_(compute),
      ops_(ops),
      context_(context),
      limits_(limits),
      layout_(lay_out_pages(spec, compute)),
      arena_(ops, context),
      layers_(spec, compute, ops, context, limits) {
  int64_t tokens = std::max(limits.tokens, limits.source_tokens), width = spec.decoder.width;
  int32_t vocabulary = spec.target_vocabulary();
  if (vocabulary > kMaxVocabulary)
    throw std::runtime_error("model spec: the vocabulary is larger than sampling serves");
  x_ = arena_.take_tensor(DType::f32, limits.tokens, width);
  sampled_x_ = arena_.take_tensor(DType::f32, limits.samples, width);
  sampled_input_ = arena_.take_tensor(compute, limits.samples, width);
  logits_ = arena_.take_tensor(DType::f32, limits.samples, vocabulary);
  history_ = arena_.take_array<int32_t>(2 * static_cast<uint64_t>(limits.rows) * vocabulary);

  for (int32_t** array :
       {&pass_.index, &pass_.position, &pass_.right, &pass_.source_right, &tokens_, &token_in_page_}) {
    *array = arena_.take_array<int32_t>(tokens);
  }
  source_start_ = arena_.take_array<int32_t>(limits.sources + 1);
  for (size_t group = 0; group < layout_.groups.size(); ++group) {
    token_page_.push_back(arena_.take_array<int32_t>(tokens));
    page_start_.push_back(arena_.take_array<int32_t>(std::max(limits.rows, limits.sources)));
  }
  for (Samples& samples : samples_) {
    uint64_t count = limits.samples, wide = count * limits.alternatives;
    samples.token = arena_.take_array<int32_t>(count);
    samples.rank = arena_.take_array<int32_t>(count);
    samples.logprob = arena_.take_array<float>(count);
    samples.top_token = arena_.take_array<int32_t>(wide);
    samples.top_logprob = arena_.take_array<float>(wide);
  }
  if (!spec.encoder) return;
  const AttentionSpec& attention = spec.encoder->layers[0].self.block;
  int32_t pages = pages_for(limits.source_tokens) + limits.sources;
  encoder_pages_ = {nullptr, compute, pages, 1, attention.kv_heads, attention.head_dim};
  encoder_pages_.data = arena_.take(pages * ops.page_bytes(compute, 1, attention.kv_heads, attention.head_dim));
  encoder_table_ = arena_.take_array<int32_t>(pages);
  for (int32_t page = 0; page < pages; ++page) encoder_table_[page] = page;
  encoder_x_ = arena_.take_tensor(DType::f32, limits.source_tokens, spec.encoder->width);
  encoder_final_ = arena_.take_tensor(compute, limits.source_tokens, spec.encoder->width);
}

void Transformer::reserve_pages(int32_t pages) {
  require(!pages_.data && pages > 0, "pages are reserved once, and at least one");
  pages_ = {nullptr, compute_, pages, layout_.layers, layout_.kv_heads, layout_.head_dim};
  pages_.data = arena_.take(static_cast<uint64_t>(pages) * layout_.page_bytes(ops_));
}

// ---- one step -------------------------------------------------------------------------------------------------------------

void Transformer::launch(const Plan& plan) {
  require(pages_.data, "no pages were reserved");
  require(plan.sources() >= 0 && plan.sources() <= limits_.sources, "too many sources");
  require(plan.rows() >= 0 && plan.rows() <= limits_.rows, "too many rows");
  require(plan.samples() >= 0 && plan.samples() <= limits_.samples, "too many samples");
  require(launched_ - collected_ < 2, "two steps are under way already");
  if (plan.copies() > 0) ops_.copy_pages(context_, {pages_, plan.copyFrom, plan.copyTo, plan.copies()});

  if (keep_) kept_encoder_.clear();
  // Sources that stand side by side and are due for the same layers make one pass.
  for (int32_t first = 0, last; first < plan.sources(); first = last) {
    for (last = first + 1; last < plan.sources(); ++last) {
      int32_t before = plan.sourceStart[last] - plan.sourceStart[last - 1];
      if (plan.sourceFirstLayer[last] != plan.sourceFirstLayer[first] ||
          plan.sourceLastLayer[last] != plan.sourceLastLayer[first] ||
          plan.sourceState[last] != plan.sourceState[last - 1] + before) {
        break;
      }
    }
    encode(plan, first, last);
  }
  if (plan.rows() > 0) decode(plan);
  sample(plan);
  ++launched_;
}

void Transformer::collect(const Plan& plan) {
  require(collected_ < launched_, "no step is under way");
  const Samples& samples = samples_[collected_++ % 2];
  size_t count = static_cast<size_t>(samples.count), wide = count * static_cast<size_t>(limits_.alternatives);
  std::copy_n(samples.token, count, plan.outToken);
  std::copy_n(samples.rank, count, plan.outRank);
  std::copy_n(samples.logprob, count, plan.outLogprob);
  std::copy_n(samples.top_token, wide, plan.outTopToken);
  std::copy_n(samples.top_logprob, wide, plan.outTopLogprob);
}

// ---- encoder --------------------------------------------------------------------------------------------------------------

void Transformer::encode(const Plan& plan, int32_t first, int32_t last) {
  require(spec_.encoder.has_value(), "a decoder-only model has no sources");
  const StackSpec& spec = *spec_.encoder;
  const StackWeights& weights = weights_.encoder;
  int32_t begin = plan.sourceStart[first], tokens = plan.sourceStart[last] - begin;
  int64_t state = plan.sourceState[first];
  int32_t from_layer = plan.sourceFirstLayer[first], to_layer = plan.sourceLastLayer[first];
  int32_t layers = static_cast<int32_t>(spec.layers.size());
  require(tokens > 0 && state >= 0 && state + tokens <= limits_.source_tokens,
          "sources leave the encoder's state buffer");
  require(from_layer >= 0 && from_layer <= to_layer && to_layer <= layers, "no such range of layers");

  Pass pass = pass_;
  prepare_sources(plan, first, last, pass);
  pass.x = encoder_x_.slice(state, tokens);
  if (from_layer == 0) layers_.embed(pass, plan.sourceTokens + begin, spec, weights);
  Keys keys{encoder_pages_, 0, encoder_table_, page_start_[0], token_page_[0], token_in_page_};
  for (int32_t i = from_layer; i < to_layer; ++i) {
    layers_.self_attention(pass, spec.layers[i].self, weights.layers[i].self, keys);
    layers_.feed_forward(pass, spec.layers[i].feed_forward, weights.layers[i].feed_forward);
  }
  if (to_layer < layers) return;

  Tensor final = encoder_final_.slice(state, tokens);
  if (weights.final_norm.on) {
    layers_.norm(weights.final_norm, pass.x, final, {}, false);
  } else {
    ops_.gather(context_, {pass.x, nullptr, final});
  }
  if (keep_) {
    for (int64_t i = 0; i < final.rows * final.cols; ++i) {
      bool wide = final.type == DType::f32;
      kept_encoder_.push_back(wide ? final.as<float>()[i] : cpu::float_from_bf16(final.as<uint16_t>()[i]));
    }
  }
  fill_cross_pages(plan, first, last, state);
}

void Transformer::prepare_sources(const Plan& plan, int32_t first, int32_t last, Pass& pass) {
  int32_t begin = plan.sourceStart[first], page = 0;
  for (int32_t s = first; s < last; ++s) {
    int32_t length = plan.sourceStart[s + 1] - plan.sourceStart[s];
    require(length > 0 && length <= limits_.max_source, "a source has no token, or too many");
    page_start_[0][s - first] = page;
    source_start_[s - first] = plan.sourceStart[s] - begin;
    for (int32_t j = 0, t = plan.sourceStart[s] - begin; j < length; ++j, ++t) {
      int32_t token = plan.sourceTokens[begin + t];
      require(token >= 0 && token < weights_.encoder.embedding.n, "a source token is not in the vocabulary");
      pass.index[t] = pass.position[t] = j;
      pass.right[t] = length;
      token_page_[0][t] = page + j / kPageTokens;
      token_in_page_[t] = j % kPageTokens;
    }
    page += pages_for(length);
  }
  pass.sequences = last - first;
  pass.tokens = source_start_[pass.sequences] = plan.sourceStart[last] - begin;
  pass.query_start = source_start_;
}

void Transformer::fill_cross_pages(const Plan& plan, int32_t first, int32_t last, int64_t state) {
  int32_t groups = layout_.cross_groups, self_groups = static_cast<int32_t>(layout_.groups.size()) - groups;
  int32_t begin = plan.sourceStart[first], tokens = plan.sourceStart[last] - begin;
  for (int32_t s = first; s < last; ++s) {
    for (int32_t group = 0; group < groups; ++group) {
      const int32_t* table = plan.sourcePages + plan.sourcePageStart[s * groups + group];
      for (int32_t t = plan.sourceStart[s]; t < plan.sourceStart[s + 1]; ++t) {
        int32_t page = table[(t - plan.sourceStart[s]) / kPageTokens];
        require(page >= 0 && page < pages_.pages, "a source has a page that does not exist");
        token_page_[self_groups + group][t - begin] = page;
      }
    }
  }
  for (size_t i = 0; i < spec_.decoder.layers.size(); ++i) {
    if (!spec_.decoder.layers[i].cross) continue;
    PagePlace place = layout_.cross[i];
    Keys keys{pages_, place.layer, nullptr, nullptr, token_page_[place.group], token_in_page_};
    layers_.append_source(spec_.decoder.layers[i].cross->block, weights_.decoder.layers[i].cross.block,
                          encoder_final_.slice(state, tokens), pass_.position, keys);
  }
}

// ---- decoder --------------------------------------------------------------------------------------------------------------

void Transformer::prepare_rows(const Plan& plan) {
  int32_t groups = static_cast<int32_t>(layout_.groups.size()), self_groups = groups - layout_.cross_groups;
  const Samples& before = samples_[(launched_ + 1) % 2];
  for (int32_t row = 0; row < plan.rows(); ++row) {
    int32_t index = plan.rowIndex[row], length = plan.rowStart[row + 1] - plan.rowStart[row];
    require(index >= 0 && length > 0 && index + length <= limits_.max_target, "a row is too long");
    require(plan.rowPosition[row] >= 0 && plan.rowPosition[row] + length <= limits_.max_source + limits_.max_target,
            "a row stands at no position");
    require(plan.rowPrefix[row] <= index + length, "a prompt that sees itself whole was cut");
    for (int32_t group = 0; group < groups; ++group) page_start_[group][row] = plan.rowPageStart[row * groups + group];
    for (int32_t j = 0, t = plan.rowStart[row]; j < length; ++j, ++t) {
      int32_t token = plan.tokens[t];
      if (token < 0) {
        require(~token < before.count, "a token refers to a sample that was not taken");
        token = before.token[~token];
      }
      require(token >= 0 && token < weights_.decoder.embedding.n, "a token is not in the vocabulary");
      tokens_[t] = token;
      pass_.index[t] = index + j;
      pass_.position[t] = plan.rowPosition[row] + j;
      pass_.right[t] = std::max(index + j + 1, plan.rowPrefix[row]);
      pass_.source_right[t] = plan.rowSourceLength[row];
      token_in_page_[t] = (index + j) % kPageTokens;
      for (int32_t group = 0; group < self_groups; ++group) {
        int32_t page = plan.rowPages[page_start_[group][row] + (index + j) / kPageTokens];
        require(page >= 0 && page < pages_.pages, "a row has a page that does not exist");
        token_page_[group][t] = page;
      }
    }
  }
}

void Transformer::decode(const Plan& plan) {
  int32_t tokens = plan.rowStart[plan.rows()];
  require(tokens <= limits_.tokens, "too many tokens");
  prepare_rows(plan);
  Pass pass = pass_;
  pass.tokens = tokens;
  pass.sequences = plan.rows();
  pass.query_start = plan.rowStart;
  pass.group = plan.rowGroup;
  pass.x = view(x_, tokens, spec_.decoder.width);

  layers_.embed(pass, tokens_, spec_.decoder, weights_.decoder);
  for (size_t i = 0; i < spec_.decoder.layers.size(); ++i) {
    const LayerSpec& layer = spec_.decoder.layers[i];
    const LayerWeights& weights = weights_.decoder.layers[i];
    auto keys = [&](PagePlace place) {
      return Keys{pages_,        place.layer, plan.rowPages, page_start_[place.group], token_page_[place.group],
                  token_in_page_};
    };
    layers_.self_attention(pass, layer.self, weights.self, keys(layout_.self[i]));
    if (layer.cross) layers_.cross_attention(pass, *layer.cross, weights.cross, keys(layout_.cross[i]));
    layers_.feed_forward(pass, layer.feed_forward, weights.feed_forward);
  }
}

// ---- head -----------------------------------------------------------------------------------------------------------------

void Transformer::sample(const Plan& plan) {
  Samples& out = samples_[launched_ % 2];
  out.count = plan.samples();
  if (keep_) kept_logits_.clear();
  for (int32_t i = 0; i < plan.histories(); ++i) {
    require(plan.historySlot[i] >= 0 && plan.historySlot[i] < limits_.rows, "no such history slot");
    int32_t start = plan.historyStart[i];
    ops_.set_history(context_, {history_, spec_.target_vocabulary(), plan.historySlot[i], plan.historyTokens + start,
                                plan.historyStart[i + 1] - start, plan.historyPrompt[i]});
  }
  if (out.count == 0) return;

  int32_t width = spec_.decoder.width, tokens = plan.rowStart[plan.rows()], vocabulary = spec_.target_vocabulary();
  for (int32_t i = 0; i < out.count; ++i) {
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
  Tensor x = view(sampled_x_, out.count, width), input = view(sampled_input_, out.count, width);
  Tensor logits = view(logits_, out.count, vocabulary), all = view(x_, tokens, width);
  if (weights_.decoder.final_norm.on) {
    ops_.gather(context_, {all, plan.sampleToken, x});
    layers_.norm(weights_.decoder.final_norm, x, input, {}, false);
  } else {
    ops_.gather(context_, {all, plan.sampleToken, input});
  }
  layers_.product(weights_.head, input, logits, Activation::none, spec_.head.scale, false);
  if (keep_) kept_logits_.assign(logits.as<float>(), logits.as<float>() + logits.rows * logits.cols);

  SampleArgs args{};
  args.logits = logits;
  args.slot = plan.sampleSlot;
  args.history = history_;
  args.temperature = plan.temperature;
  args.top_p = plan.topP;
  args.min_p = plan.minP;
  args.repetition = plan.repetition;
  args.presence = plan.presence;
  args.frequency = plan.frequency;
  args.top_k = plan.topK;
  args.seed = plan.seed;
  args.step = plan.step;
  args.forced = plan.forced;
  args.alternatives = plan.alternatives;
  args.candidates = plan.candidates;
  args.bias_start = plan.biasStart;
  args.bias_token = plan.biasTokens;
  args.bias_value = plan.biasValues;
  args.allow_start = plan.allowStart;
  args.allow_token = plan.allowTokens;
  args.max_alternatives = limits_.alternatives;
  args.token = out.token;
  args.logprob = out.logprob;
  args.rank = out.rank;
  args.top_token = out.top_token;
  args.top_logprob = out.top_logprob;
  ops_.sample(context_, args);
}

}  // namespace redllm
