#include "transformer.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "backend_interface.h"

namespace redllm {
namespace {

// Sizes to which launches of a recorded run are filled up: few enough that each is soon recorded, close enough that little is
// computed in vain.
int32_t bucket(int32_t count) {
  int32_t power = 1;
  while (power < count) power *= 2;
  const int32_t between = power / 4 * 3;
  return count <= between ? between : power;
}

// Keys that a recorded run allows for: a power of two, so that a run serves until the longest row has doubled.
int32_t key_bucket(int32_t keys) {
  int32_t bound = 256;
  while (bound < keys && bound < 1 << 30) bound *= 2;
  return bound;
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
      layers_(spec, compute, ops, context, limits),
      arrays_(ops, context),
      rows_(arrays_, spec, limits, layout_),
      samples_(arrays_, limits),
      results_(arena_, ops, context, limits),
      probe_(spec, ops, context, limits) {
  int32_t vocabulary = spec.target_vocabulary();
  if (vocabulary > kMaxVocabulary)
    throw std::runtime_error("model spec: the vocabulary is larger than sampling serves");
  if (vocabulary > weights.decoder.embedding.n)
    throw std::runtime_error("model spec: the head has more tokens than the decoder's embedding");
  x_ = arena_.take_tensor(DType::f32, limits.tokens, spec.decoder.width);
  sampled_x_ = arena_.take_tensor(DType::f32, limits.samples, spec.decoder.width);
  sampled_input_ = arena_.take_tensor(compute, limits.samples, spec.decoder.width);
  logits_ = arena_.take_tensor(DType::f32, limits.samples, vocabulary);
  history_ = arena_.take_array<int32_t>(2 * static_cast<uint64_t>(limits.rows) * vocabulary);
  results_.bind(sample_args_);
  if (spec.encoder) {
    sources_ = std::make_unique<SourceInputs>(arrays_, spec, limits, layout_.cross_groups);
    const AttentionSpec& attention = spec.encoder->layers[0].self.block;
    int32_t pages = pages_for(limits.source_tokens) + limits.sources;
    encoder_pages_ = {nullptr, compute, pages, 1, attention.kv_heads, attention.head_dim};
    encoder_pages_.data = arena_.take(pages * ops.page_bytes(compute, 1, attention.kv_heads, attention.head_dim));
    encoder_x_ = arena_.take_tensor(DType::f32, limits.source_tokens, spec.encoder->width);
    encoder_final_ = arena_.take_tensor(compute, limits.source_tokens, spec.encoder->width);
  }
  arrays_.upload();
}

Transformer::~Transformer() {
  ops_.drop_runs(context_, reinterpret_cast<uintptr_t>(this));
}

void Transformer::reserve_pages(int32_t pages) {
  require(!pages_.data && pages > 0, "pages are reserved once, and at least one");
  pages_ = {nullptr, compute_, pages, layout_.layers, layout_.kv_heads, layout_.head_dim};
  pages_.data = arena_.take(static_cast<uint64_t>(pages) * layout_.page_bytes(ops_));
}

void Transformer::keep(bool on) {
  keep_ = on;
  if (on && !kept_logits_.data) kept_logits_ = arena_.take_tensor(DType::f32, logits_.rows, logits_.cols);
}

// ---- one step -------------------------------------------------------------------------------------------------------------

void Transformer::launch(const Plan& plan) {
  require(pages_.data, "no pages were reserved");
  require(plan.sources() >= 0 && plan.sources() <= limits_.sources, "too many sources");
  require(plan.rows() >= 0 && plan.rows() <= limits_.rows, "too many rows");
  require(plan.samples() >= 0 && plan.samples() <= limits_.samples, "too many samples");
  require(results_.under_way() < 2, "too many steps are under way");
  require(plan.sources() == 0 || sources_, "a decoder-only model has no sources");

  // What the ops will read, checked and sent in one piece.
  arrays_.drop();
  int32_t padded = padded_rows(plan), samples = plan.samples();
  if (padded > 0 && samples > 0) samples = std::min(bucket(samples), limits_.samples);
  int32_t vocabulary = spec_.target_vocabulary();
  if (plan.sources() > 0) sources_->fill(plan, weights_.encoder.embedding.n, pages_.pages);
  if (plan.rows() > 0) {
    rows_.fill(plan, std::max(padded, plan.rows()), weights_.decoder.embedding.n, pages_.pages, results_.count());
    samples_.fill(plan, samples, vocabulary, sample_args_);
  }
  const int32_t *copy_from = arrays_.send_from(copy_from_, plan.copyFrom, plan.copies()),
                *copy_to = arrays_.send_from(copy_to_, plan.copyTo, plan.copies());
  arrays_.upload();
  if (arrays_.grown()) ops_.drop_runs(context_, reinterpret_cast<uintptr_t>(this));

  results_.begin(keep_);
  probe_.begin();
  if (plan.copies() > 0) ops_.copy_pages(context_, {pages_, copy_from, copy_to, plan.copies()});
  if (plan.sources() > 0)
    for (SourceRun& run : sources_->runs()) encode(run);
  for (int32_t i = 0; i < plan.histories(); ++i) {
    int32_t start = plan.historyStart[i];
    ops_.set_history(context_, {history_, vocabulary, plan.historySlot[i], samples_.history_tokens() + start,
                                plan.historyStart[i + 1] - start, plan.historyPrompt[i]});
  }
  if (plan.rows() > 0) run_rows(padded, samples);
  if (probe_.on()) results_.keep_masses(probe_.self(), probe_.cross());
  results_.end(plan.samples(),
               plan.samples() > 0 ? *std::max_element(plan.alternatives, plan.alternatives + plan.samples()) : 0);
  throw_if_failed(ops_, context_);
}

void Transformer::collect(const Plan& plan) {
  require(results_.under_way() > 0, "no step is under way");
  results_.collect(plan);
  throw_if_failed(ops_, context_);
}

// Rows to which a step that only decodes is filled up, so that it is one of few sizes and can be recorded; 0: it is run as it is.
int32_t Transformer::padded_rows(const Plan& plan) const {
  int32_t rows = plan.rows();
  const bool watched = keep_ || probe_.on();
  if (ops_.host_memory || watched || rows == 0 || plan.decode_rows() != rows || plan.rowStart[rows] != rows) return 0;
  return std::min({bucket(rows), limits_.rows, limits_.tokens});
}

// The decoder and the samples of a step; as one recorded run where it was filled up.
void Transformer::run_rows(int32_t padded, int32_t samples) {
  Pass pass = rows_.pass();
  if (probe_.on()) pass.probe = &probe_;
  // What a launch's shape follows from, and no more: these are the run's key.
  pass.max_keys = std::min(key_bucket(pass.max_keys), limits_.max_target);
  pass.max_source_keys = std::min(key_bucket(pass.max_source_keys), limits_.max_source);
  // A number of each part's values, so that no two shapes have one key.
  uint64_t key = static_cast<uint64_t>(padded);
  key = key * (static_cast<uint64_t>(limits_.samples) + 1) + static_cast<uint64_t>(samples);
  key = key * (static_cast<uint64_t>(limits_.max_target) + 1) + static_cast<uint64_t>(pass.max_keys);
  key = key * (static_cast<uint64_t>(limits_.max_source) + 1) + static_cast<uint64_t>(pass.max_source_keys);
  if (padded > 0 && ops_.begin_run(context_, reinterpret_cast<uintptr_t>(this), key)) {
    count(recorded_.at(key), pass);
    return;
  }
  Work work;
  do {
    Pass attempt = pass;
    decode(attempt);
    if (samples > 0) sample(attempt.tokens, samples);
    work = layers_.take_work();
  } while (padded > 0 && !ops_.end_run(context_));
  count(work, pass);
  if (padded > 0) recorded_[key] = std::move(work);
}

void Transformer::count(const Work& work, const Pass& pass) {
  counters_.products += work.products;
  for (size_t i = 0; i < work.self.size(); ++i) counters_.attention += work.self[i] * (*pass.masks)[i].pairs;
  counters_.attention += work.cross * pass.source_pairs;
}

// ---- encoder --------------------------------------------------------------------------------------------------------------

void Transformer::encode(SourceRun& run) {
  const StackSpec& spec = *spec_.encoder;
  const StackWeights& weights = weights_.encoder;
  Pass& pass = run.pass;
  pass.x = encoder_x_.slice(run.state, pass.tokens);
  run.keys.pool = encoder_pages_;
  if (run.first_layer == 0) layers_.embed(pass, run.tokens, nullptr, spec, weights);
  for (int32_t i = run.first_layer; i < run.last_layer; ++i) {
    layers_.self_attention(pass, spec.layers[i].self, weights.layers[i].self, run.keys);
    layers_.feed_forward(pass, spec.layers[i].feed_forward, weights.layers[i].feed_forward);
  }
  count(layers_.take_work(), pass);
  if (run.last_layer < static_cast<int32_t>(spec.layers.size())) return;

  Tensor final = encoder_final_.slice(run.state, pass.tokens);
  if (weights.final_norm.on) {
    layers_.norm(weights.final_norm, pass.x, final, {}, false);
  } else {
    ops_.gather(context_, {pass.x, nullptr, final});
  }
  results_.keep_encoder(final);
  fill_cross_pages(run);
}

void Transformer::fill_cross_pages(const SourceRun& run) {
  int32_t self_groups = static_cast<int32_t>(layout_.groups.size()) - layout_.cross_groups;
  for (size_t i = 0; i < spec_.decoder.layers.size(); ++i) {
    if (!spec_.decoder.layers[i].cross) continue;
    PagePlace place = layout_.cross[i];
    Keys keys{
        pages_, place.layer, nullptr, nullptr, run.cross_pages[place.group - self_groups], run.keys.token_in_page};
    layers_.append_source(spec_.decoder.layers[i].cross->block, weights_.decoder.layers[i].cross.block,
                          encoder_final_.slice(run.state, run.pass.tokens), run.pass.position, keys);
  }
  count(layers_.take_work(), run.pass);
}

// ---- decoder --------------------------------------------------------------------------------------------------------------

void Transformer::decode(Pass& pass) {
  pass.x = view(x_, pass.tokens, spec_.decoder.width);
  layers_.embed(pass, rows_.tokens(), results_.chosen(), spec_.decoder, weights_.decoder);
  for (size_t i = 0; i < spec_.decoder.layers.size(); ++i) {
    const LayerSpec& layer = spec_.decoder.layers[i];
    const LayerWeights& weights = weights_.decoder.layers[i];
    auto keys = [&](PagePlace place) {
      Keys keys = rows_.keys(place);
      keys.pool = pages_;
      return keys;
    };
    layers_.self_attention(pass, layer.self, weights.self, keys(layout_.self[i]));
    if (layer.cross) layers_.cross_attention(pass, *layer.cross, weights.cross, keys(layout_.cross[i]));
    layers_.feed_forward(pass, layer.feed_forward, weights.feed_forward);
  }
}

// Every sample is of kind decode, of whatever kind its row is: the head is bound by the traffic of its weights.
void Transformer::sample(int32_t tokens, int32_t count) {
  int32_t width = spec_.decoder.width, vocabulary = spec_.target_vocabulary();
  Tensor x = view(sampled_x_, count, width), input = view(sampled_input_, count, width);
  Tensor logits = view(logits_, count, vocabulary), all = view(x_, tokens, width);
  if (weights_.decoder.final_norm.on) {
    ops_.gather(context_, {all, samples_.token(), x});
    layers_.norm(weights_.decoder.final_norm, x, input, {}, false);
  } else {
    ops_.gather(context_, {all, samples_.token(), input});
  }
  layers_.product(count, weights_.head, input, logits, Activation::none, spec_.head.scale, false);
  if (keep_) {
    Tensor kept = view(kept_logits_, count, vocabulary);
    ops_.gather(context_, {logits, nullptr, kept});
    results_.keep_logits(kept);
  }
  SampleArgs args = sample_args_;
  args.logits = logits;
  args.history = history_;
  ops_.sample(context_, args);
}

}  // namespace redllm
