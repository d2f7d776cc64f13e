// Sums, extremes and running sums over the lanes of a warp.
#pragma once

#include "cuda/ops/ops_internal.cuh"

namespace redllm::cuda {

template <typename T>
__device__ __forceinline__ T warp_sum(T x) {
  for (int step = kWarp / 2; step > 0; step /= 2) x += shuffle_xor(x, step);
  return x;
}
template <typename T>
__device__ __forceinline__ T warp_min(T x) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const T other = shuffle_xor(x, step);
    x = other < x ? other : x;
  }
  return x;
}
template <typename T>
__device__ __forceinline__ T warp_max(T x) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const T other = shuffle_xor(x, step);
    x = other > x ? other : x;
  }
  return x;
}
// Of the lanes up to this one.
template <typename T>
__device__ __forceinline__ T warp_prefix(T x) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int step = 1; step < kWarp; step *= 2) {
    const T before = shuffle_up(x, step);
    if (lane >= step) x += before;
  }
  return x;
}

}  // namespace redllm::cuda
