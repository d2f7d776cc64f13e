// Four neighbouring elements of a row, in one access.
#pragma once

#include "cuda/ops/ops_internal.cuh"

namespace redllm::cuda {

// Whether four floats can be accessed at once there.
inline bool is_aligned(const void* data) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0;
}

__device__ __forceinline__ void load_four(float (&x)[4], const float* from) {
  const float4 v = *reinterpret_cast<const float4*>(from);
  x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
}
__device__ __forceinline__ void load_four(float (&x)[4], const uint16_t* from) {
  const uint2 v = *reinterpret_cast<const uint2*>(from);
  x[0] = low_bf16(v.x), x[1] = high_bf16(v.x), x[2] = low_bf16(v.y), x[3] = high_bf16(v.y);
}
__device__ __forceinline__ void store_four(float* to, const float (&x)[4]) {
  *reinterpret_cast<float4*>(to) = make_float4(x[0], x[1], x[2], x[3]);
}
__device__ __forceinline__ void store_four(uint16_t* to, const float (&x)[4]) {
  *reinterpret_cast<uint2*>(to) = make_uint2(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]));
}

}  // namespace redllm::cuda
