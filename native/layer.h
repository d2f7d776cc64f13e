// The parts of a layer, for any stack: what a block reads, runs and adds back to the residual stream. The only code that knows
// the order of those parts. It holds the scratch of one pass, allocated once.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>

#include "arena.h"
#include "ops.h"
#include "pass.h"
#include "plan.h"
#include "spec.h"
#include "weights.h"
#include "work.h"

namespace redllm {

class Layers {
 public:
  // Scratch for `tokens` tokens of either stack; tables of positions as far as the limits reach. Throws std::bad_alloc.
  Layers(const ModelSpec& spec, DType compute, const Ops& ops, Context* context, const StepLimits& limits);

  // x = norm(table[tokens] * scale + positions). chosen: what the samples of the launch before chose, or null.
  void embed(Pass& pass, const int32_t* tokens, const int32_t* chosen, const StackSpec& spec,
             const StackWeights& weights);
  // Appends the pass's keys and values to `keys`, then attends to them.
  void self_attention(Pass& pass, const Residual<AttentionSpec>& spec, const ResidualWeights<AttentionWeights>& weights,
                      const Keys& keys);
  void cross_attention(Pass& pass, const Residual<AttentionSpec>& spec,
                       const ResidualWeights<AttentionWeights>& weights, const Keys& keys);
  void feed_forward(Pass& pass, const Residual<FeedForwardSpec>& spec,
                    const ResidualWeights<FeedForwardWeights>& weights);
  // Appends the keys and values that a cross-attention reads: states [tokens, width] of the encoder, standing at `position`.
  void append_source(const AttentionSpec& spec, const AttentionWeights& weights, Tensor states, const int32_t* position,
                     const Keys& keys);

  // Rows [0, decode) are of kind decode, the rest of kind prefill.
  void product(int64_t decode, const LinearWeights& linear, Tensor x, Tensor out, Activation activation, float scale,
               bool accumulate);
  void norm(const NormWeights& norm, Tensor x, Tensor out, Tensor copy, bool accumulate);

  // What was computed since the last call.
  Work take_work();

 private:
  Tensor input_of(Pass& pass, const NormWeights& pre);
  AppendArgs project(Pass& pass, const AttentionSpec& spec, const ResidualWeights<AttentionWeights>& weights);
  void add_keys(AppendArgs& append, const AttentionSpec& spec, const AttentionWeights& weights, const Keys& keys);
  void attend(const Pass& pass, const AttentionSpec& spec, const AttentionWeights& weights, Tensor query,
              const Keys& keys, bool self, Tensor out);
  template <typename Block>
  void close(Pass& pass, const LinearWeights& last, Tensor inner, const ResidualWeights<Block>& norms);

  void make_rope(const AttentionSpec& spec, int64_t positions);
  Rope rope(const AttentionSpec& spec, bool query) const;

  const DType compute_;
  const Ops& ops_;
  Context* const context_;
  Arena arena_;
  std::map<std::tuple<double, int32_t, double>, Rope> ropes_;  // by theta, dimensions, factor

  // Widths are the greatest of both stacks; a pass takes views of its own shape.
  Tensor input_, heads_, query_, mixed_, inner_, output_;
  Work work_;
};

// A view of the first rows of scratch, in another shape.
inline Tensor view(Tensor scratch, int64_t rows, int64_t cols) {
  return {scratch.data, scratch.type, rows, cols};
}

}  // namespace redllm
