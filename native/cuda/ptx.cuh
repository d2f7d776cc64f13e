// What a kernel asks of the machine beyond plain C++: the only file with inline PTX. With REDLLM_EMU the same names come from
// cuda/emu/device.h, where threads are fibres of one host thread and every instruction below is a few lines of C++; so a kernel
// that uses nothing but these names and plain arithmetic runs under both. Rules for kernels:
//  - `threadIdx`, `blockIdx`, `blockDim`, `gridDim` are as in CUDA; blocks are one-dimensional; no static __shared__ variable: all
//    shared memory is shared_memory(), whose size the launch says, and which holds garbage when a block starts.
//  - Warp-wide instructions are executed by all 32 lanes of a warp, barriers by all threads of a block: none leaves early.
//  - Between a write to shared memory and its read by another thread stands sync_block(), or sync_warp() inside a warp.
// Shapes: a lane is threadIdx.x % 32; "quad row" is lane / 4, "quad column" lane % 4 (PTX ISA, 9.7.14, matrix fragments).
#pragma once

#include <cstdint>

#include "tensor.h"

#if defined(REDLLM_EMU)
#include "cuda/emu/device.h"
#else

#include <cuda_bf16.h>

namespace redllm::cuda {

// ---- threads ------------------------------------------------------------------------------------------------------------

// Dynamic shared memory of the block, aligned to 128 bytes.
__device__ __forceinline__ char* shared_memory() {
  extern __shared__ __align__(128) char shared[];
  return shared;
}
__device__ __forceinline__ void sync_block() {
  __syncthreads();
}
__device__ __forceinline__ void sync_warp() {
  __syncwarp();
}
// The value of lane ^ mask, of lane `from` (the same in all lanes or not), of lane + delta (its own beyond the last lane).
template <typename T>
__device__ __forceinline__ T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
template <typename T>
__device__ __forceinline__ T shuffle(T value, int from) {
  return __shfl_sync(0xffffffffu, value, from);
}
template <typename T>
__device__ __forceinline__ T shuffle_down(T value, int delta) {
  return __shfl_down_sync(0xffffffffu, value, delta);
}
template <typename T>
__device__ __forceinline__ T shuffle_up(T value, int delta) {
  return __shfl_up_sync(0xffffffffu, value, delta);
}
__device__ __forceinline__ uint32_t ballot(bool held) {
  return __ballot_sync(0xffffffffu, held);
}
__device__ __forceinline__ bool any_lane(bool held) {
  return __any_sync(0xffffffffu, held);
}
__device__ __forceinline__ bool all_lanes(bool held) {
  return __all_sync(0xffffffffu, held);
}
// All writes of this thread before it are seen by the device's other threads before those after it.
__device__ __forceinline__ void fence_device() {
  __threadfence();
}
// On global or shared memory; each returns what was there before.
__device__ __forceinline__ int32_t atomic_add(int32_t* at, int32_t value) {
  return atomicAdd(at, value);
}
__device__ __forceinline__ uint32_t atomic_add(uint32_t* at, uint32_t value) {
  return atomicAdd(at, value);
}
__device__ __forceinline__ uint64_t atomic_add(uint64_t* at, uint64_t value) {
  return atomicAdd(reinterpret_cast<unsigned long long*>(at), static_cast<unsigned long long>(value));
}
__device__ __forceinline__ uint32_t atomic_max(uint32_t* at, uint32_t value) {
  return atomicMax(at, value);
}
__device__ __forceinline__ int32_t atomic_min(int32_t* at, int32_t value) {
  return atomicMin(at, value);
}

// A kernel may be started while those launched before it still run (context.cuh). This waits until they are done and what they wrote is
// seen, then lets the next kernel start in its turn. Every thread of every kernel calls it once, before it reads or writes any memory
// that another launch writes or reads: only weights may be read earlier, so that they are on their way meanwhile.
constexpr bool kStartsEarly =
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    true;
#else
    false;
#endif
__device__ __forceinline__ void await_earlier_launches() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;\n\tgriddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// x, of which the compiler knows nothing: what a loop works out from it is not worked out before the loop, and kept in registers.
__device__ __forceinline__ uint32_t opaque(uint32_t x) {
  asm volatile("" : "+r"(x));
  return x;
}

// ---- memory -------------------------------------------------------------------------------------------------------------

// 16 bytes that are read once: past the first-level cache, and in 256-byte pieces into the second. Read-only for the whole kernel.
__device__ __forceinline__ uint4 load_stream(const void* from) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
  return v;
}
// A read that no cache of this multiprocessor answers: for what other blocks of the same launch wrote.
__device__ __forceinline__ float load_fresh(const float* from) {
  return __ldcg(from);
}

// Copies 16 bytes from global to shared memory, asynchronously; zeros where !valid (`from` is then not read, but may not be null).
// Both addresses are aligned to 16 bytes.
__device__ __forceinline__ void copy_async(void* to, const void* from, bool valid) {
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(valid ? 16 : 0)
               : "memory");
}
// Closes a group of this thread's copies.
__device__ __forceinline__ void copy_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Waits until at most kPending of this thread's latest groups are under way. The others' copies are seen by this thread; by other
// threads after a barrier.
template <int kPending>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// ---- matrix fragments ---------------------------------------------------------------------------------------------------

// Four 8 x 8 matrices of 16-bit elements. Lane i gives the address (shared, aligned to 16 bytes) of row i % 8 of matrix i / 8. r[j]
// receives, of matrix j, row lane / 4, columns 2 (lane % 4) and the next; transposed: those rows of that column.
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void* row) {
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(at)
               : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(at)
               : "memory");
}

// d += a b, bf16 into f32: a [16 rows, 16 k], b [16 k, 8 columns]. With g = lane / 4, t = lane % 4, low halves first:
// a[0] = row g, k 2t, 2t+1; a[1] = row g+8, the same k; a[2] = row g, k 2t+8, 2t+9; a[3] = row g+8, the same;
// b[0] = k 2t, 2t+1 of column g; b[1] = k 2t+8, 2t+9; d[0], d[1] = row g, columns 2t, 2t+1; d[2], d[3] = row g+8.
__device__ __forceinline__ void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ---- arithmetic ---------------------------------------------------------------------------------------------------------

// Two floats to bf16, nearest, ties to even; `low` in the low half.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
__device__ __forceinline__ uint16_t to_bf16(float x) {
  return static_cast<uint16_t>(pack_bf16(x, 0.0f));
}
__device__ __forceinline__ float from_bf16(uint16_t bits) {
  return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}
__device__ __forceinline__ float low_bf16(uint32_t pair) {
  return __uint_as_float(pair << 16);
}
__device__ __forceinline__ float high_bf16(uint32_t pair) {
  return __uint_as_float(pair & 0xffff0000u);
}
// The low, or the high, halves of two registers; a's in the low half.
__device__ __forceinline__ uint32_t low_halves(uint32_t a, uint32_t b) {
  return __byte_perm(a, b, 0x5410);
}
__device__ __forceinline__ uint32_t high_halves(uint32_t a, uint32_t b) {
  return __byte_perm(a, b, 0x7632);
}
__device__ __forceinline__ float float_of_bits(uint32_t bits) {
  return __uint_as_float(bits);
}
__device__ __forceinline__ uint32_t bits_of_float(float x) {
  return __float_as_uint(x);
}
// 2^x, relative error near 2^-22; subnormal results are 0; 2^-infinity is 0.
__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// Absolute error near 2^-11: for logits that are to be rounded to bf16 anyway.
__device__ __forceinline__ float tanh_fast(float x) {
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace redllm::cuda
#endif
