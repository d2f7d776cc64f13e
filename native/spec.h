// ModelSpec: what a checkpoint computes, as data. Mirrors src/models/spec.ts field by field; that file says what each means.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ops.h"
#include "value.h"

namespace redllm {

struct WeightRef {
  std::string name;
  std::vector<int64_t> shape;
  int64_t skip = 0;
};

struct NormSpec {
  NormKind kind = NormKind::rms;
  float eps = 0;
  std::optional<WeightRef> gain;
  float gain_offset = 0;
  std::optional<WeightRef> bias;
};

struct LinearSpec {
  WeightRef weight;  // [out, in]
  std::optional<WeightRef> bias;
};

struct RopeSpec {
  double theta = 0;
  int32_t dimensions = 0;
  double factor = 1;
  bool rotates_query = true;
  bool rotates_key = true;
};

struct RelativeBiasSpec {
  WeightRef table;  // [buckets, heads]
  int32_t buckets = 0;
  int32_t max_distance = 0;
  bool bidirectional = false;
};

struct AttentionSpec {
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  float scale = 1;
  LinearSpec query, key, value, output;
  std::optional<NormSpec> query_norm, key_norm, value_norm, output_norm;
  std::optional<RopeSpec> rope;
  float softcap = 0;
  std::optional<int32_t> window_back, window_ahead;
  std::optional<RelativeBiasSpec> relative_bias;
  bool merged = false;
};

struct FeedForwardSpec {
  Activation activation = Activation::none;
  std::optional<LinearSpec> gate;
  LinearSpec up, down;
};

template <typename Block>
struct Residual {
  std::optional<NormSpec> pre, post, after;
  Block block;
};

struct LayerSpec {
  Residual<AttentionSpec> self;
  std::optional<Residual<AttentionSpec>> cross;
  Residual<FeedForwardSpec> feed_forward;
};

struct StackSpec {
  int32_t width = 0;
  WeightRef embedding;  // [vocabulary, width]
  float embedding_scale = 1;
  std::optional<WeightRef> positions;  // learned, [rows, width]
  std::optional<NormSpec> embedding_norm;
  std::vector<LayerSpec> layers;
  std::optional<NormSpec> final_norm;
};

struct HeadSpec {
  WeightRef weight;  // [vocabulary, width]
  std::optional<WeightRef> bias;
  float scale = 1;
};

struct ModelSpec {
  std::optional<StackSpec> encoder;
  StackSpec decoder;
  HeadSpec head;
  bool positions_after_source = false;

  int32_t target_vocabulary() const { return static_cast<int32_t>(head.weight.shape[0]); }
};

// Throws std::runtime_error where the value is no spec, or asks for what no op here serves.
ModelSpec read_spec(const Value& value);

}  // namespace redllm
