// What every attention kernel is told: AttentionArgs with what depends on neither the query nor the key worked out. A kernel for one
// generation of devices takes the place of another in attention.cu and nowhere else.
#pragma once

#include <cfloat>
#include <climits>
#include <cmath>

#include "cuda/ops/ops_internal.cuh"

namespace redllm::cuda {

struct AttentionSegment {
  const char* data;     // the layer's first head in page 0
  int32_t page_bytes;   // from a page to the next
  int32_t head_bytes;   // from a head to the next
  int32_t value_bytes;  // from a head's K to its V
  bool half;            // bf16, else f32
  const int32_t* pages;
  const int32_t* page_start;
  const int32_t* left;
  const int32_t* right;
};

struct AttentionParams {
  const float* q;  // [tokens, heads * head_dim]
  void* out;
  bool half_out;
  const int32_t* query_start;
  const int32_t* query_index;
  int32_t sequences;
  int32_t stages;  // tiles in shared memory; set by the kernel's launcher
  int32_t heads;
  int32_t shared;  // heads that share one K/V head
  int32_t head_dim;
  AttentionSegment segment[2];
  int32_t segments;
  // A logit in base 2 is exponent_scale x, x = q_sign q K^T, or tanh(tanh_scale q_sign q K^T) where tanh_scale is not 0; in segment 0
  // plus kLog2E bias.
  float q_sign;
  float tanh_scale;
  float exponent_scale;  // > 0
  bool bounded;          // no logit needs a maximum taken off it before it is an exponent
  const float* bias;
  int32_t reach;
  HeadNorm out_norm;
};

inline AttentionSegment attention_segment(const KeySegment& from) {
  const PageLayout layout = page_layout(from.pool, from.layer);
  const int64_t size = static_cast<int64_t>(size_of(from.pool.type));
  AttentionSegment to = {};
  to.data = static_cast<const char*>(from.pool.data) + layout.layer * size;
  to.page_bytes = static_cast<int32_t>(layout.page * size);
  to.head_bytes = static_cast<int32_t>(layout.head * size);
  to.value_bytes = static_cast<int32_t>(layout.value * size);
  to.half = from.pool.type == DType::bf16;
  to.pages = from.pages;
  to.page_start = from.page_start;
  to.left = from.left;
  to.right = from.right;
  return to;
}

inline AttentionParams attention_params(const AttentionArgs& a) {
  AttentionParams p = {};
  p.q = a.q.as<const float>();
  p.out = a.out.data;
  p.half_out = a.out.type == DType::bf16;
  p.query_start = a.query_start;
  p.query_index = a.query_index;
  p.sequences = a.sequences;
  p.heads = a.heads;
  p.shared = a.heads / a.segment[0].pool.kv_heads;
  p.head_dim = a.head_dim;
  for (int32_t s = 0; s < a.segments; ++s) p.segment[s] = attention_segment(a.segment[s]);
  p.segments = a.segments;
  // A positive scale keeps the order of scores, so that their maximum may be taken before it is applied.
  p.q_sign = a.scale < 0 ? -1.0f : 1.0f;
  const float scale = std::fmax(std::fabs(a.scale), FLT_MIN);
  p.tanh_scale = a.softcap > 0 ? scale / a.softcap : 0.0f;
  p.exponent_scale = (a.softcap > 0 ? a.softcap : scale) * kLog2E;
  // Within 2^-64 .. 2^64 weights, their sums and their products with values are far from both ends of f32 and bf16.
  const float bound = a.softcap > 0 && !(a.logit_bound > 0 && a.logit_bound < a.softcap) ? a.softcap : a.logit_bound;
  p.bounded = a.bias == nullptr && bound > 0 && bound * kLog2E <= 64;
  p.bias = a.bias;
  p.reach = a.reach;
  p.out_norm = a.out_norm;
  return p;
}

}  // namespace redllm::cuda
