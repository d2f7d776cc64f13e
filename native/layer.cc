#include "layer.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace redllm {

// ---- scratch --------------------------------------------------------------------------------------------------------------

Layers::Layers(const ModelSpec& spec, DType compute, const Ops& ops, Context* context, const StepLimits& limits)
    : compute_(compute), ops_(ops), context_(context), arena_(ops, context) {
  int64_t tokens = std::max(limits.tokens, limits.source_tokens);
  int64_t positions = static_cast<int64_t>(limits.max_source) + limits.max_target;
  int64_t width = 0, heads = 0, query = 0, inner = 0;
  auto measure = [&](const AttentionSpec& attention) {
    int64_t q = static_cast<int64_t>(attention.heads) * attention.head_dim;
    heads = std::max(heads, q + 2 * static_cast<int64_t>(attention.kv_heads) * attention.head_dim);
    query = std::max(query, q);
    if (attention.rope) make_rope(attention, positions);
  };
  for (const StackSpec* stack : {spec.encoder ? &*spec.encoder : nullptr, &spec.decoder}) {
    if (!stack) continue;
    width = std::max<int64_t>(width, stack->width);
    for (const LayerSpec& layer : stack->layers) {
      measure(layer.self.block);
      if (layer.cross) measure(layer.cross->block);
      inner = std::max(inner, layer.feed_forward.block.up.weight.shape[0]);
    }
  }
  input_ = arena_.take_tensor(compute, tokens, width);
  heads_ = arena_.take_tensor(DType::f32, tokens, heads);
  query_ = arena_.take_tensor(DType::f32, tokens, query);
  mixed_ = arena_.take_tensor(compute, tokens, query);
  inner_ = arena_.take_tensor(compute, tokens, inner);
  output_ = arena_.take_tensor(DType::f32, tokens, width);
}

void Layers::make_rope(const AttentionSpec& spec, int64_t positions) {
  Rope& rope = ropes_[{spec.rope->theta, spec.rope->dimensions, spec.rope->factor}];
  if (rope.cos) return;
  rope.half = spec.rope->dimensions / 2;
  const size_t size = static_cast<size_t>(positions) * rope.half;
  std::vector<float> cos(size), sin(size);
  for (int32_t i = 0; i < rope.half; ++i) {
    double frequency = std::pow(spec.rope->theta, -static_cast<double>(i) / rope.half) / spec.rope->factor;
    for (int64_t position = 0; position < positions; ++position) {
      cos[position * rope.half + i] = static_cast<float>(std::cos(static_cast<double>(position) * frequency));
      sin[position * rope.half + i] = static_cast<float>(std::sin(static_cast<double>(position) * frequency));
    }
  }
  float *device_cos = arena_.take_array<float>(size), *device_sin = arena_.take_array<float>(size);
  const Piece pieces[] = {{device_cos, cos.data(), size * sizeof(float)},
                          {device_sin, sin.data(), size * sizeof(float)}};
  ops_.upload(context_, pieces, 2);
  rope.cos = device_cos;
  rope.sin = device_sin;
}

Rope Layers::rope(const AttentionSpec& spec, bool query) const {
  if (!spec.rope || !(query ? spec.rope->rotates_query : spec.rope->rotates_key)) return {};
  return ropes_.at({spec.rope->theta, spec.rope->dimensions, spec.rope->factor});
}

// ---- blocks ---------------------------------------------------------------------------------------------------------------

void Layers::embed(Pass& pass, const int32_t* tokens, const int32_t* chosen, const StackSpec& spec,
                   const StackWeights& weights) {
  ops_.embed(context_, {tokens, chosen, pass.tokens, weights.embedding, spec.embedding_scale, weights.positions,
                        pass.position, pass.x});
  pass.copied = false;
  if (weights.embedding_norm.on) {
    bool copy = compute_ != DType::f32;
    norm(weights.embedding_norm, pass.x, pass.x, copy ? view(input_, pass.tokens, spec.width) : Tensor{}, false);
    pass.copied = copy;
  }
}

void Layers::self_attention(Pass& pass, const Residual<AttentionSpec>& residual,
                            const ResidualWeights<AttentionWeights>& weights, const Keys& keys) {
  const AttentionSpec& spec = residual.block;
  const AttentionWeights& block = weights.block;
  AppendArgs append = project(pass, spec, weights);
  add_keys(append, spec, block, keys);
  ops_.append(context_, append);

  Tensor mixed = view(mixed_, pass.tokens, append.q.cols);
  attend(pass, spec, block, append.q, keys, true, mixed);
  close(pass, block.output, mixed, weights);
}

void Layers::cross_attention(Pass& pass, const Residual<AttentionSpec>& residual,
                             const ResidualWeights<AttentionWeights>& weights, const Keys& keys) {
  const AttentionSpec& spec = residual.block;
  const AttentionWeights& block = weights.block;
  AppendArgs append = project(pass, spec, weights);
  ops_.append(context_, append);

  Tensor mixed = view(mixed_, pass.tokens, append.q.cols);
  attend(pass, spec, block, append.q, keys, false, mixed);
  close(pass, block.output, mixed, weights);
}

// The block's input product, and what an append does to the queries in it.
AppendArgs Layers::project(Pass& pass, const AttentionSpec& spec, const ResidualWeights<AttentionWeights>& weights) {
  const AttentionWeights& block = weights.block;
  AppendArgs append{};
  append.x = view(heads_, pass.tokens, block.input.weight.n);
  product(pass.decode_tokens, block.input, input_of(pass, weights.pre), append.x, Activation::none, 1, false);
  append.heads = spec.heads;
  append.head_dim = spec.head_dim;
  append.q_norm = block.query_norm;
  append.q_rope = rope(spec, true);
  append.position = pass.position;
  append.q = view(query_, pass.tokens, static_cast<int64_t>(spec.heads) * spec.head_dim);
  return append;
}

// What an append does to keys and values, and where they go.
void Layers::add_keys(AppendArgs& append, const AttentionSpec& spec, const AttentionWeights& weights,
                      const Keys& keys) {
  append.kv_heads = spec.kv_heads;
  append.k_norm = weights.key_norm;
  append.v_norm = weights.value_norm;
  append.k_rope = rope(spec, false);
  append.pool = keys.pool;
  append.layer = keys.layer;
  append.page = keys.token_page;
  append.in_page = keys.token_in_page;
}

void Layers::attend(const Pass& pass, const AttentionSpec& spec, const AttentionWeights& weights, Tensor query,
                    const Keys& keys, bool self, Tensor out) {
  Mask mask{{}, pass.source_left, pass.source_right};
  // Queries times keys, and probabilities times values.
  const uint64_t pair_work = 2 * static_cast<uint64_t>(spec.heads) * spec.head_dim;
  if (self) {
    auto found = std::find_if(pass.masks->begin(), pass.masks->end(),
                              [&](const Mask& each) { return each.window == window_of(spec); });
    mask = *found;
    work_.self.resize(pass.masks->size());
    work_.self[found - pass.masks->begin()] += pair_work;
  } else {
    work_.cross += pair_work;
  }
  AttentionArgs args{};
  args.heads = spec.heads;
  args.head_dim = spec.head_dim;
  args.max_keys = self ? pass.max_keys : pass.max_source_keys;
  args.segments = 1;
  args.scale = spec.scale;
  args.softcap = spec.softcap;
  // Parameter-free norms make |q| and |k| at most sqrt(head_dim); roundings on the way are well below 2 %.
  const bool bounded =
      weights.query_norm.on && weights.key_norm.on && !weights.query_norm.gain && !weights.key_norm.gain;
  args.logit_bound = bounded ? 1.02f * std::abs(spec.scale) * static_cast<float>(spec.head_dim) : 0;
  args.bias = weights.relative_bias;
  args.reach = weights.reach;
  args.out_norm = weights.output_norm;
  auto run = [&](RowKind kind, int32_t token, int32_t tokens, int32_t sequence, int32_t sequences) {
    if (tokens == 0) return;
    args.kind = kind;
    args.q = query.slice(token, tokens);
    args.out = out.slice(token, tokens);
    const bool decode = kind == RowKind::decode;
    args.query_start = decode ? pass.decode_start : pass.query_start;
    args.sequence = pass.sequence + token;
    args.sequences = sequences;
    args.max_queries = decode ? pass.max_decode_queries : pass.max_queries;
    args.query_index = pass.index + token;
    args.group = self || !pass.group ? nullptr : pass.group + sequence;
    args.segment[0] = {keys.pool,         keys.layer,        keys.pages, keys.page_start + sequence,
                       mask.left + token, mask.right + token};
    ops_.attention(context_, args);
    if (pass.probe) pass.probe->look(args, self);
  };
  run(RowKind::decode, 0, pass.decode_tokens, 0, pass.decode_sequences);
  run(RowKind::prefill, pass.decode_tokens, pass.tokens - pass.decode_tokens, pass.decode_sequences,
      pass.sequences - pass.decode_sequences);
}

void Layers::feed_forward(Pass& pass, const Residual<FeedForwardSpec>& residual,
                          const ResidualWeights<FeedForwardWeights>& weights) {
  const Weight& input = weights.block.input.weight;
  Tensor inner = view(inner_, pass.tokens, input.gated ? input.n / 2 : input.n);
  product(pass.decode_tokens, weights.block.input, input_of(pass, weights.pre), inner, residual.block.activation, 1,
          false);
  close(pass, weights.block.down, inner, weights);
}

void Layers::append_source(const AttentionSpec& spec, const AttentionWeights& weights, Tensor states,
                           const int32_t* position, const Keys& keys) {
  AppendArgs append{};
  append.x = view(heads_, states.rows, weights.key_value.weight.n);
  product(0, weights.key_value, states, append.x, Activation::none, 1, false);
  append.head_dim = spec.head_dim;
  append.position = position;
  add_keys(append, spec, weights, keys);
  ops_.append(context_, append);
}

// ---- the residual stream --------------------------------------------------------------------------------------------------

// What a block reads: its own norm of the stream, or the stream itself in the compute type.
Tensor Layers::input_of(Pass& pass, const NormWeights& pre) {
  Tensor input = view(input_, pass.tokens, pass.x.cols);
  if (pre.on) {
    norm(pre, pass.x, input, {}, false);
    pass.copied = false;
    return input;
  }
  if (compute_ == DType::f32) return pass.x;
  if (!pass.copied) ops_.gather(context_, {pass.x, nullptr, input});
  pass.copied = true;
  return input;
}

// The last product of a block, back into the stream, with the norms that stand after it.
template <typename Block>
void Layers::close(Pass& pass, const LinearWeights& last, Tensor inner, const ResidualWeights<Block>& norms) {
  if (norms.post.on) {
    Tensor output = view(output_, pass.tokens, pass.x.cols);
    product(pass.decode_tokens, last, inner, output, Activation::none, 1, false);
    norm(norms.post, output, pass.x, {}, true);
  } else {
    product(pass.decode_tokens, last, inner, pass.x, Activation::none, 1, true);
  }
  pass.copied = false;
  if (norms.after.on) {
    bool copy = compute_ != DType::f32;
    norm(norms.after, pass.x, pass.x, copy ? view(input_, pass.tokens, pass.x.cols) : Tensor{}, false);
    pass.copied = copy;
  }
}

void Layers::product(int64_t decode, const LinearWeights& linear, Tensor x, Tensor out, Activation activation,
                     float scale, bool accumulate) {
  work_.products += static_cast<uint64_t>(x.rows) * linear.weight.n * linear.weight.k;
  auto run = [&](RowKind kind, int64_t first, int64_t rows) {
    if (rows == 0) return;
    ops_.matmul(context_, {kind, x.slice(first, rows), linear.weight, linear.bias, activation, scale, accumulate,
                           out.slice(first, rows)});
  };
  run(RowKind::decode, 0, decode);
  run(RowKind::prefill, decode, x.rows - decode);
}

Work Layers::take_work() {
  return std::exchange(work_, {});
}

void Layers::norm(const NormWeights& norm, Tensor x, Tensor out, Tensor copy, bool accumulate) {
  ops_.norm(context_, {x, out, copy, norm.kind, norm.eps, norm.gain, norm.bias, accumulate});
}

}  // namespace redllm
