#include "weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "backend_interface.h"
#include "cpu/bf16.h"
#include "relative_bias.h"
#include "stored_file.h"

namespace redllm {
namespace {

constexpr int64_t kMaxRows = 1 << 24, kMaxColumns = 1 << 18;  // of a matrix; the ops' scratch holds a row of so many

uint64_t mix(uint64_t x) {  // splitmix64's finaliser
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

uint64_t hash_name(const std::string& name, uint64_t seed) {
  uint64_t hash = 0xCBF29CE484222325ull ^ seed;
  for (unsigned char letter : name) hash = (hash ^ letter) * 0x100000001B3ull;
  return mix(hash);
}

// Near-normal, mean 0 and variance 1: the sum of four uniform 16-bit numbers of one hash, so that a draw costs a nanosecond.
float near_normal(uint64_t bits) {
  int64_t sum = static_cast<int64_t>(bits & 0xFFFF) + static_cast<int64_t>((bits >> 16) & 0xFFFF) +
                static_cast<int64_t>((bits >> 32) & 0xFFFF) + static_cast<int64_t>(bits >> 48);
  return static_cast<float>(sum - 131070) * (1.7320508f / 65536.0f);
}

float element(const void* data, DType type, int64_t i) {
  float value;
  if (type == DType::f32) {
    std::memcpy(&value, static_cast<const char*>(data) + 4 * i, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, static_cast<const char*>(data) + 2 * i, 2);
  return type == DType::f16 ? cpu::float_from_f16(bits) : cpu::float_from_bf16(bits);
}

int64_t count_of(const WeightRef& ref) {
  int64_t count = 1;
  for (int64_t size : ref.shape) count *= size;
  return count;
}

}  // namespace

int64_t Weights::Item::elements() const {
  return count_of(ref);
}

Weights::Weights(const ModelSpec& spec, DType compute, const Ops& ops, Context* context, WeightSource source,
                 bool counting)
    : ops_(ops),
      context_(context),
      compute_(compute),
      source_(std::move(source)),
      arena_(ops, context, counting),
      files_(std::make_unique<StoredFiles>()) {
  if (spec.encoder) encoder = lay_out_stack(*spec.encoder);
  decoder = lay_out_stack(spec.decoder);
  head.weight = lay_out_table(spec.head.weight);
  // The op scales the product and the bias together; the spec scales the product alone.
  if (spec.head.bias) head.bias = lay_out_vector(*spec.head.bias, 0, 1 / spec.head.scale);
  for (const Item& item : items_) total_ += static_cast<uint64_t>(item.elements()) * size_of(compute_);
}

Weights::~Weights() = default;

StackWeights Weights::lay_out_stack(const StackSpec& spec) {
  StackWeights stack;
  stack.embedding = lay_out_table(spec.embedding);
  if (spec.positions) stack.positions = lay_out_vector(*spec.positions);
  stack.embedding_norm = lay_out_norm(spec.embedding_norm);
  auto residual = [&](auto& to, const auto& from) {
    to.pre = lay_out_norm(from.pre);
    to.post = lay_out_norm(from.post);
    to.after = lay_out_norm(from.after);
  };
  for (const LayerSpec& from : spec.layers) {
    LayerWeights layer;
    residual(layer.self, from.self);
    layer.self.block = lay_out_attention(from.self.block, false);
    if (from.cross) {
      residual(layer.cross, *from.cross);
      layer.cross.block = lay_out_attention(from.cross->block, true);
    }
    residual(layer.feed_forward, from.feed_forward);
    layer.feed_forward.block = lay_out_feed_forward(from.feed_forward.block);
    stack.layers.push_back(layer);
  }
  stack.final_norm = lay_out_norm(spec.final_norm);
  return stack;
}

AttentionWeights Weights::lay_out_attention(const AttentionSpec& spec, bool cross) {
  AttentionWeights attention;
  if (cross) {
    attention.input = lay_out_linear({&spec.query}, false);
    attention.key_value = lay_out_linear({&spec.key, &spec.value}, false);
  } else {
    attention.input = lay_out_linear({&spec.query, &spec.key, &spec.value}, false);
  }
  attention.output = lay_out_linear({&spec.output}, false);
  attention.query_norm = lay_out_head_norm(spec.query_norm);
  attention.key_norm = lay_out_head_norm(spec.key_norm);
  attention.value_norm = lay_out_head_norm(spec.value_norm);
  attention.output_norm = lay_out_head_norm(spec.output_norm);
  if (spec.relative_bias) {
    attention.reach = relative_reach(*spec.relative_bias);
    const float*& table = biases_[spec.relative_bias->table.name];
    if (!table) {
      Item item;
      item.ref = spec.relative_bias->table;
      item.relative_bias = &*spec.relative_bias;
      item.vector = arena_.take_array<float>(static_cast<uint64_t>(spec.heads) * (2 * attention.reach + 1));
      table = item.vector;
      items_.push_back(item);
    }
    attention.relative_bias = table;
  }
  return attention;
}

FeedForwardWeights Weights::lay_out_feed_forward(const FeedForwardSpec& spec) {
  FeedForwardWeights feed_forward;
  feed_forward.input = spec.gate ? lay_out_linear({&*spec.gate, &spec.up}, true) : lay_out_linear({&spec.up}, false);
  feed_forward.down = lay_out_linear({&spec.down}, false);
  return feed_forward;
}

NormWeights Weights::lay_out_norm(const std::optional<NormSpec>& spec) {
  if (!spec) return {};
  return {true, spec->kind, spec->eps, spec->gain ? lay_out_vector(*spec->gain, spec->gain_offset) : nullptr,
          spec->bias ? lay_out_vector(*spec->bias) : nullptr};
}

HeadNorm Weights::lay_out_head_norm(const std::optional<NormSpec>& spec) {
  if (!spec) return {};
  return {true, spec->eps, spec->gain ? lay_out_vector(*spec->gain, spec->gain_offset) : nullptr};
}

LinearWeights Weights::lay_out_linear(const std::vector<const LinearSpec*>& parts, bool gated) {
  int64_t n = 0, k = parts[0]->weight.shape[1];
  bool biased = false;
  for (const LinearSpec* part : parts) {
    if (part->weight.shape[1] != k)
      throw std::runtime_error("model spec: " + part->weight.name + " has another width than its twin");
    n += part->weight.shape[0];
    biased = biased || part->bias.has_value();
  }
  LinearWeights linear;
  linear.weight = new_matrix(n, k, gated);
  float* bias = biased ? arena_.take_array<float>(static_cast<uint64_t>(n)) : nullptr;
  linear.bias = bias;
  int64_t first = 0;
  for (const LinearSpec* part : parts) {
    Item rows;
    rows.ref = part->weight;
    rows.matrix = linear.weight;
    rows.first = static_cast<int32_t>(first);
    items_.push_back(rows);
    if (part->bias) {
      Item values;
      values.ref = *part->bias;
      values.vector = bias + first;
      items_.push_back(values);
    }
    first += part->weight.shape[0];
  }
  return linear;
}

Weight Weights::lay_out_table(const WeightRef& ref) {
  Weight& table = tables_[ref.name];
  if (!table.data) {
    table = new_matrix(ref.shape[0], ref.shape[1], false);
    Item item;
    item.ref = ref;
    item.matrix = table;
    items_.push_back(item);
  }
  return table;
}

const float* Weights::lay_out_vector(const WeightRef& ref, float add, float scale) {
  Item item;
  item.ref = ref;
  item.add = add;
  item.scale = scale;
  item.vector = arena_.take_array<float>(static_cast<uint64_t>(count_of(ref)));
  items_.push_back(item);
  return item.vector + (ref.skip ? ref.skip * ref.shape[1] : 0);
}

Weight Weights::new_matrix(int64_t n, int64_t k, bool gated) {
  if (n < 1 || k < 1 || n > kMaxRows || k > kMaxColumns)
    throw std::runtime_error("model spec: a matrix of no served size");
  Weight weight{nullptr, compute_, static_cast<int32_t>(n), static_cast<int32_t>(k), gated};
  weight.data = arena_.take(ops_.weight_bytes(compute_, weight.n, weight.k, gated));
  return weight;
}

const void* Weights::source_rows(const WeightRef& ref, int64_t row, int64_t rows, int64_t cols, DType* type) {
  if (!source_.random) {
    const TensorFile& file = source_.tensors.at(ref.name);
    uint64_t row_bytes = static_cast<uint64_t>(cols) * size_of(file.type), bytes = rows * row_bytes;
    *type = file.type;
    piece_.resize((bytes + sizeof(float) - 1) / sizeof(float));
    files_->open(file.path).read(file.offset + row * row_bytes, bytes, piece_.data());
    return piece_.data();
  }
  *type = DType::f32;
  piece_.resize(static_cast<size_t>(rows * cols));
  // Gains become 1 whatever their offset, other vectors 0: load_vector sees to it. Matrices keep the variance of their input.
  uint64_t key = hash_name(ref.name, source_.seed);
  float deviation = 1 / std::sqrt(static_cast<float>(cols));
  for (int64_t i = 0; i < rows * cols; ++i) {
    piece_[static_cast<size_t>(i)] =
        near_normal(mix(key + 0x9E3779B97F4A7C15ull * static_cast<uint64_t>(row * cols + i))) * deviation;
  }
  return piece_.data();
}

void Weights::load_rows(const Item& item, int64_t row, int64_t rows) {
  DType type;
  const void* from = source_rows(item.ref, row, rows, item.matrix.k, &type);
  ops_.pack(context_, {item.matrix, static_cast<int32_t>(item.first + row), static_cast<int32_t>(rows), from, type});
}

void Weights::load_vector(const Item& item) {
  int64_t count = item.elements();
  std::vector<float> values(static_cast<size_t>(count));
  if (source_.random && count == item.ref.shape.back()) {
    std::fill(values.begin(), values.end(), item.ref.name.ends_with("weight") ? 1.0f : 0.0f);
  } else {
    DType type;
    int64_t cols = item.ref.shape.back();
    const void* from = source_rows(item.ref, 0, count / cols, cols, &type);
    for (int64_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = element(from, type, i);
    if (item.relative_bias) {
      std::vector<float> buckets = std::move(values);
      values.resize(static_cast<size_t>(cols) * (2 * relative_reach(*item.relative_bias) + 1));
      fill_relative_bias(*item.relative_bias, static_cast<int32_t>(cols), buckets.data(), values.data());
    } else {
      for (float& value : values) value = (value + item.add) * item.scale;
    }
  }
  Piece piece{item.vector, values.data(), values.size() * sizeof(float)};
  ops_.upload(context_, &piece, 1);
}

void Weights::load_some(uint64_t bytes) {
  uint64_t element_bytes = size_of(compute_);
  for (uint64_t left = bytes; left > 0 && !done();) {
    const Item& item = items_[next_];
    uint64_t taken;
    if (item.matrix.data) {
      int64_t all = item.ref.shape[0], row_bytes = static_cast<int64_t>(item.matrix.k * element_bytes);
      int64_t rows = std::clamp<int64_t>(static_cast<int64_t>(left) / row_bytes, 1, all - next_row_);
      load_rows(item, next_row_, rows);
      next_row_ += rows;
      taken = static_cast<uint64_t>(rows * row_bytes);
      if (next_row_ == all) next_row_ = 0, ++next_;
    } else {
      load_vector(item);
      taken = static_cast<uint64_t>(item.elements()) * element_bytes;
      ++next_;
    }
    loaded_ += taken;
    left -= std::min(left, taken);
  }
  throw_if_failed(ops_, context_);
  if (done()) {
    files_ = std::make_unique<StoredFiles>();
    piece_.clear();
    piece_.shrink_to_fit();
  }
}

}  // namespace redllm
