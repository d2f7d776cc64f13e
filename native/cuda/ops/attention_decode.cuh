// Attention of generated tokens over bf16 pages: bound by the traffic of keys and values.
#pragma once

#include "cuda/context.cuh"

namespace redllm::cuda {

// attention() of rows of RowKind::decode where every pool is bf16.
void attention_decode(Context*, const AttentionArgs&);

}  // namespace redllm::cuda
