// T5's relative position bias: buckets of distances become a table by distance, once, at load.
#pragma once

#include <cstdint>

#include "spec.h"

namespace redllm {

// The bucket of a distance key - query (arXiv 1910.10683, section 2.1; the logarithm in float32, as the checkpoints were trained).
int32_t relative_bucket(int32_t distance, const RelativeBiasSpec& spec);

// Distances beyond this on either side share the last bucket of their side.
inline int32_t relative_reach(const RelativeBiasSpec& spec) {
  return spec.max_distance;
}

// table[h][distance + reach] = weights[bucket(distance)][h], for distance in [-reach, reach].
// weights: f32 [buckets, heads]; table: f32 [heads, 2 * reach + 1].
void fill_relative_bias(const RelativeBiasSpec& spec, int32_t heads, const float* weights, float* table);

}  // namespace redllm
