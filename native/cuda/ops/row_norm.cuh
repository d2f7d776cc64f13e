// Sums over a row that a group of lanes or the warps of a block hold between them, in an order that depends on the group's size alone.
#pragma once

#include "cuda/ops/ops_internal.cuh"

namespace redllm::cuda {

// Over `lanes` neighbouring lanes, a power of two; every one of them receives the sum.
__device__ __forceinline__ float group_sum(float x, int lanes) {
  for (int step = lanes / 2; step > 0; step /= 2) x += shuffle_xor(x, step);
  return x;
}

// Over `warps` whole warps that stand side by side in the block; all of the block's threads call it. `room`: a float for each of the
// block's warps.
__device__ __forceinline__ float warps_sum(float x, int warps, float* room) {
  x = group_sum(x, kWarp);
  if (warps == 1) return x;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, first = warp / warps * warps;
  sync_block();  // the room may still be read
  if (threadIdx.x % kWarp == 0) room[warp] = x;
  sync_block();
  float sum = 0;
  for (int i = 0; i < warps; ++i) sum += room[first + i];
  return sum;
}

__device__ __forceinline__ float rms_factor(float squares, int32_t width, float eps) {
  return 1.0f / sqrtf(squares / static_cast<float>(width) + eps);
}

}  // namespace redllm::cuda
