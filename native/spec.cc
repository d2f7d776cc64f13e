#include "spec.h"

#include <stdexcept>

namespace redllm {
namespace {

using Kind = Value::Kind;

constexpr int32_t kMaxHeadDim = 4096;  // what attention's scratch has room for

// rank: of its shape.
WeightRef read_weight(const Value& value, size_t rank) {
  WeightRef ref;
  ref.name = value.str("name");
  for (const Value& size : value.at("shape", Kind::array).array) ref.shape.push_back(static_cast<int64_t>(size.number));
  ref.skip = static_cast<int64_t>(value.num("skip", 0));
  // A vector may be stored as one row of a matrix.
  bool row = rank == 1 && ref.shape.size() == 2 && ref.shape[0] == 1;
  if (ref.shape.size() != rank && !row)
    throw std::runtime_error("model spec: " + ref.name + " has another rank than its use");
  for (int64_t size : ref.shape) {
    if (size < 1) throw std::runtime_error("model spec: " + ref.name + " is empty");
  }
  return ref;
}

WeightRef read_matrix(const Value& value) {
  return read_weight(value, 2);
}
WeightRef read_vector(const Value& value) {
  return read_weight(value, 1);
}

template <typename Read>
auto read_optional(const Value& parent, const std::string& key, Read read)
    -> std::optional<decltype(read(std::declval<const Value&>()))> {
  const Value* value = parent.find(key);
  if (!value) return std::nullopt;
  return read(*value);
}

NormSpec read_norm(const Value& value) {
  NormSpec norm;
  norm.kind = value.str("kind") == "layer" ? NormKind::layer : NormKind::rms;
  norm.eps = static_cast<float>(value.num("eps"));
  norm.gain = read_optional(value, "gain", read_vector);
  norm.gain_offset = static_cast<float>(value.num("gainOffset", 0));
  norm.bias = read_optional(value, "bias", read_vector);
  return norm;
}

LinearSpec read_linear(const Value& value) {
  return {read_matrix(value.at("weight", Kind::object)), read_optional(value, "bias", read_vector)};
}

RopeSpec read_rope(const Value& value) {
  RopeSpec rope;
  rope.theta = value.num("theta");
  rope.dimensions = static_cast<int32_t>(value.num("dimensions"));
  rope.factor = value.num("factor", 1);
  rope.rotates_query = value.at("rotatesQuery", Kind::boolean).boolean;
  rope.rotates_key = value.at("rotatesKey", Kind::boolean).boolean;
  return rope;
}

RelativeBiasSpec read_relative_bias(const Value& value) {
  return {read_matrix(value.at("table", Kind::object)), static_cast<int32_t>(value.num("buckets")),
          static_cast<int32_t>(value.num("maxDistance")), value.at("bidirectional", Kind::boolean).boolean};
}

Activation read_activation(const std::string& name) {
  if (name == "relu") return Activation::relu;
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu_tanh") return Activation::gelu_tanh;
  if (name == "silu") return Activation::silu;
  throw std::runtime_error("model spec: no activation is called " + name);
}

AttentionSpec read_attention(const Value& value) {
  AttentionSpec spec;
  spec.heads = static_cast<int32_t>(value.num("heads"));
  spec.kv_heads = static_cast<int32_t>(value.num("kvHeads"));
  spec.head_dim = static_cast<int32_t>(value.num("headDim"));
  spec.scale = static_cast<float>(value.num("scale"));
  spec.query = read_linear(value.at("query", Kind::object));
  spec.key = read_linear(value.at("key", Kind::object));
  spec.value = read_linear(value.at("value", Kind::object));
  spec.output = read_linear(value.at("output", Kind::object));
  spec.query_norm = read_optional(value, "queryNorm", read_norm);
  spec.key_norm = read_optional(value, "keyNorm", read_norm);
  spec.value_norm = read_optional(value, "valueNorm", read_norm);
  spec.output_norm = read_optional(value, "outputNorm", read_norm);
  spec.rope = read_optional(value, "rope", read_rope);
  spec.softcap = static_cast<float>(value.num("softcap", 0));
  if (const Value* window = value.find("window")) {
    spec.window_back = static_cast<int32_t>(window->num("back"));
    spec.window_ahead = static_cast<int32_t>(window->num("ahead"));
  }
  spec.relative_bias = read_optional(value, "relativeBias", read_relative_bias);
  if (value.has("merged")) throw std::runtime_error("model spec: merged self and cross attention is not served");
  if (spec.heads < 1 || spec.kv_heads < 1 || spec.heads % spec.kv_heads != 0 || spec.head_dim < 1 ||
      spec.head_dim > kMaxHeadDim) {
    throw std::runtime_error("model spec: heads, kvHeads and headDim do not fit together");
  }
  return spec;
}

FeedForwardSpec read_feed_forward(const Value& value) {
  return {read_activation(value.str("activation")), read_optional(value, "gate", read_linear),
          read_linear(value.at("up", Kind::object)), read_linear(value.at("down", Kind::object))};
}

template <typename Read>
auto read_residual(const Value& value, Read read) {
  Residual<decltype(read(value))> residual;
  residual.pre = read_optional(value, "pre", read_norm);
  residual.post = read_optional(value, "post", read_norm);
  residual.after = read_optional(value, "after", read_norm);
  residual.block = read(value.at("block", Kind::object));
  return residual;
}

LayerSpec read_layer(const Value& value) {
  LayerSpec layer;
  layer.self = read_residual(value.at("self", Kind::object), read_attention);
  if (const Value* cross = value.find("cross")) layer.cross = read_residual(*cross, read_attention);
  layer.feed_forward = read_residual(value.at("feedForward", Kind::object), read_feed_forward);
  return layer;
}

StackSpec read_stack(const Value& value) {
  StackSpec stack;
  stack.width = static_cast<int32_t>(value.num("width"));
  stack.embedding = read_matrix(value.at("embedding", Kind::object));
  stack.embedding_scale = static_cast<float>(value.num("embeddingScale"));
  if (const Value* positions = value.find("positions")) {
    if (positions->str("kind") != "learned")
      throw std::runtime_error("model spec: sinusoidal positions are not served");
    stack.positions = read_matrix(positions->at("table", Kind::object));
  }
  stack.embedding_norm = read_optional(value, "embeddingNorm", read_norm);
  for (const Value& layer : value.at("layers", Kind::array).array) stack.layers.push_back(read_layer(layer));
  if (stack.layers.empty()) throw std::runtime_error("model spec: a stack has no layers");
  stack.final_norm = read_optional(value, "finalNorm", read_norm);
  return stack;
}

}  // namespace

ModelSpec read_spec(const Value& value) {
  ModelSpec spec;
  spec.encoder = read_optional(value, "encoder", read_stack);
  spec.decoder = read_stack(value.at("decoder", Kind::object));
  const Value& head = value.at("head", Kind::object);
  spec.head.weight = read_matrix(head.at("weight", Kind::object));
  spec.head.bias = read_optional(head, "bias", read_vector);
  spec.head.scale = static_cast<float>(head.num("scale"));
  if (head.has("softcap")) throw std::runtime_error("model spec: a soft-cap on the logits is not served");
  spec.positions_after_source = value.str("decoderPositions") == "after-source";
  return spec;
}

}  // namespace redllm
