#include "relative_bias.h"

#include <algorithm>
#include <cmath>

namespace redllm {

int32_t relative_bucket(int32_t distance, const RelativeBiasSpec& spec) {
  int32_t buckets = spec.buckets;
  int32_t first = 0;
  int32_t far;
  if (spec.bidirectional) {
    buckets /= 2;
    if (distance > 0) first = buckets;
    far = std::abs(distance);
  } else {
    far = std::max(-distance, 0);
  }
  int32_t exact = buckets / 2;
  if (far < exact) return first + far;
  float position = std::log(static_cast<float>(far) / static_cast<float>(exact)) /
                   static_cast<float>(std::log(static_cast<double>(spec.max_distance) / exact)) *
                   static_cast<float>(buckets - exact);
  return first + std::min(exact + static_cast<int32_t>(position), buckets - 1);
}

void fill_relative_bias(const RelativeBiasSpec& spec, int32_t heads, const float* weights, float* table) {
  int32_t reach = relative_reach(spec);
  for (int32_t distance = -reach; distance <= reach; ++distance) {
    const float* row = weights + static_cast<int64_t>(relative_bucket(distance, spec)) * heads;
    for (int32_t h = 0; h < heads; ++h) table[static_cast<int64_t>(h) * (2 * reach + 1) + distance + reach] = row[h];
  }
}

}  // namespace redllm
