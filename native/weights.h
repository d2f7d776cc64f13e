// The weights of a model: read from files (or drawn from a seed) and packed once, in pieces, into the backend's layout.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "arena.h"
#include "ops.h"
#include "spec.h"

namespace redllm {

// Where a tensor's bytes lie; type and length were checked against the spec.
struct TensorFile {
  std::string path;
  uint64_t offset = 0;
  DType type = DType::f32;
};

struct WeightSource {
  std::map<std::string, TensorFile> tensors;  // by name; empty where random
  bool random = false;
  uint64_t seed = 0;
};

struct NormWeights {
  bool on = false;
  NormKind kind = NormKind::rms;
  float eps = 0;
  const float* gain = nullptr;
  const float* bias = nullptr;
};

struct LinearWeights {
  Weight weight;
  const float* bias = nullptr;
};

template <typename Block>
struct ResidualWeights {
  NormWeights pre, post, after;
  Block block;
};

struct AttentionWeights {
  LinearWeights input;      // self: Q, K, V in one product; cross: Q
  LinearWeights key_value;  // cross: K, V in one product
  LinearWeights output;
  HeadNorm query_norm, key_norm, value_norm, output_norm;
  const float* relative_bias = nullptr;  // f32 [heads, 2 * reach + 1]
  int32_t reach = 0;
};

struct FeedForwardWeights {
  LinearWeights input;  // gate and up in one gated product, or up alone
  LinearWeights down;
};

struct LayerWeights {
  ResidualWeights<AttentionWeights> self, cross;
  ResidualWeights<FeedForwardWeights> feed_forward;
};

struct StackWeights {
  Weight embedding;
  const float* positions = nullptr;  // f32 [rows, width]
  NormWeights embedding_norm, final_norm;
  std::vector<LayerWeights> layers;
};

class StoredFiles;

class Weights {
 public:
  // Lays everything out; no weight is read yet. counting: for packed_bytes() alone, without any memory. Throws std::bad_alloc.
  Weights(const ModelSpec& spec, DType compute, const Ops& ops, Context* context, WeightSource source,
          bool counting = false);
  ~Weights();

  // Reads and packs about `bytes` of the checkpoint's bytes; done() after the last piece. Throws std::runtime_error where a file
  // cannot be read or has shrunk since it was checked.
  void load_some(uint64_t bytes);
  uint64_t loaded_bytes() const { return loaded_; }
  uint64_t total_bytes() const { return total_; }
  bool done() const { return next_ == items_.size(); }

  uint64_t packed_bytes() const { return arena_.taken(); }

  StackWeights encoder, decoder;
  LinearWeights head;

 private:
  // One tensor on its way to one place.
  struct Item {
    WeightRef ref;
    Weight matrix;  // matrix.data != null: rows go to `first` and on
    int32_t first = 0;
    float* vector = nullptr;  // else: where the backend keeps them: values + add, times scale
    float add = 0;
    float scale = 1;
    const RelativeBiasSpec* relative_bias = nullptr;  // the values are of buckets, and become a table by distance
    int64_t elements() const;
  };

  StackWeights lay_out_stack(const StackSpec& spec);
  AttentionWeights lay_out_attention(const AttentionSpec& spec, bool cross);
  FeedForwardWeights lay_out_feed_forward(const FeedForwardSpec& spec);
  NormWeights lay_out_norm(const std::optional<NormSpec>& spec);
  HeadNorm lay_out_head_norm(const std::optional<NormSpec>& spec);
  LinearWeights lay_out_linear(const std::vector<const LinearSpec*>& parts, bool gated);
  Weight lay_out_table(const WeightRef& ref);
  const float* lay_out_vector(const WeightRef& ref, float add = 0, float scale = 1);
  Weight new_matrix(int64_t n, int64_t k, bool gated);

  void load_rows(const Item& item, int64_t row, int64_t rows);
  void load_vector(const Item& item);
  const void* source_rows(const WeightRef& ref, int64_t row, int64_t rows, int64_t cols, DType* type);

  const Ops& ops_;
  Context* context_;
  DType compute_;
  WeightSource source_;
  Arena arena_;
  std::unique_ptr<StoredFiles> files_;
  std::map<std::string, Weight> tables_;        // embeddings and heads, shared where tied
  std::map<std::string, const float*> biases_;  // relative bias tables, shared by all layers of a stack
  std::vector<Item> items_;
  std::vector<float> piece_;  // rows read or drawn, until they are packed; aligned for every type
  size_t next_ = 0;
  int64_t next_row_ = 0;
  uint64_t loaded_ = 0;
  uint64_t total_ = 0;
};

}  // namespace redllm
