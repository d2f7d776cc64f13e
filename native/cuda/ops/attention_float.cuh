// Attention in float32 throughout: pools in f32, or segments of two types.
#pragma once

#include "cuda/context.cuh"
#include "cuda/ops/attention_params.cuh"

namespace redllm::cuda {

// head_dim <= 256.
void attention_float(Context*, const AttentionParams&, int64_t tokens);

}  // namespace redllm::cuda
