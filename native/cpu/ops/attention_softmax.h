// The running softmax of attention (arXiv 1805.02867): one query's scores of a block of keys to weights, with the maximum and the sum
// so far. Blocks lie at absolute multiples of kBlockKeys, and a block in which the query sees nothing is left out, so the
// steps of a query depend on its own key range alone.
#pragma once

#include "cpu/ops/attention_tile.h"
#include "cpu/ops/simd.h"

namespace REDLLM_ISA_NAMESPACE {

// What happens to a score after scaling.
struct Logit {
  float softcap;      // 0: none
  const float* bias;  // f32 [2 * reach + 1] of the query's head, or null
  int32_t reach;
  int32_t offset;  // of the block's first key from the query: key - query_index
};

// bias[clamp(distance, -reach, reach) + reach] for kLanes distances from `distance` on.
inline vf bias_lanes(const Logit& logit, int32_t distance) {
  const int32_t first = distance + logit.reach, top = 2 * logit.reach;
  if (first >= 0 && first + kLanes - 1 <= top) return load(logit.bias + first);
  if (first + kLanes - 1 <= 0) return splat(logit.bias[0]);
  if (first >= top) return splat(logit.bias[top]);
  alignas(64) float lanes[kLanes];
  for (int32_t i = 0; i < kLanes; ++i) {
    const int32_t at = first + i;
    lanes[i] = logit.bias[at < 0 ? 0 : at > top ? top : at];
  }
  return load(lanes);
}

// Scores of keys first <= i < last to weights e^(logit - maximum), zeros in the rest of the vectors they touch. Updates the running
// `maximum` and `sum` (of kLanes partial sums), and returns the factor that earlier sums and outputs take.
inline float softmax_block(const Logit& logit, int32_t first, int32_t last, float* s, float* maximum, float* sum) {
  const int32_t start = first / kLanes * kLanes;
  vf high = splat(-kInfinity);
  for (int32_t i = start; i < last; i += kLanes) {
    vf x = load(s + i);
    if (logit.softcap != 0) x = mul(splat(logit.softcap), tanh(mul(x, splat(1.0f / logit.softcap))));
    if (logit.bias != nullptr) x = add(x, bias_lanes(logit, logit.offset + i));
    if (i < first || i + kLanes > last) x = keep_range(x, splat(-kInfinity), first - i, last - i);
    store(s + i, x);
    high = max(high, x);
  }
  const float top = reduce_max(high), old = *maximum;
  const float now = top > old ? top : old;
  *maximum = now;
  // Where all that was seen is -infinity any finite shift does: every weight is then 0.
  const float shift = now == -kInfinity ? 0 : now;
  float factor = 1;
  vf total = load(sum);
  if (now != old) {
    alignas(64) float lanes[kLanes];
    store(lanes, exp(splat(old - shift)));
    factor = lanes[0];
    total = mul(total, splat(factor));
  }
  for (int32_t i = start; i < last; i += kLanes) {
    const vf p = exp(sub(load(s + i), splat(shift)));
    store(s + i, p);
    total = add(total, p);
  }
  store(sum, total);
  return factor;
}

}  // namespace REDLLM_ISA_NAMESPACE
