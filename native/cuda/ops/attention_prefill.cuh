// Attention of prompts over pools in bf16.
#pragma once

#include "cuda/context.cuh"
#include "cuda/ops/attention_params.cuh"

namespace redllm::cuda {

// head_dim <= 256; both segments' pools in bf16.
void attention_prefill(Context*, AttentionParams, int64_t tokens);

}  // namespace redllm::cuda
