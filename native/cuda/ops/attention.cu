// Attention: which kernel takes it. The choice is of the kind of rows and the pools' types alone (COMPANY in ops.h).
#include "cuda/ops/attention_decode.cuh"
#include "cuda/ops/attention_float.cuh"
#include "cuda/ops/attention_prefill.cuh"

namespace redllm::cuda {

void attention(Context* context, const AttentionArgs& a) {
  bool half = true;
  for (int32_t s = 0; s < a.segments; ++s) half &= a.segment[s].pool.type == DType::bf16;
  if (!half) {
    attention_float(context, attention_params(a), a.q.rows);
  } else if (a.kind == RowKind::decode) {
    attention_decode(context, a);
  } else {
    attention_prefill(context, attention_params(a), a.q.rows);
  }
}

}  // namespace redllm::cuda
