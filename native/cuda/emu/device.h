// The names of ptx.cuh, on the host: same signatures but for a last argument that nobody gives, the place of the call.
#pragma once

#include <cfloat>

#include "cuda/emu/block.h"

namespace redllm::cuda {

namespace emu {

template <typename T>
T atomic_add(T* at, T value) {
  const T before = __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
  if constexpr (races::kOn) pass_on(at);
  return before;
}
template <typename T>
T atomic_update(T* at, T value, bool (*replaces)(T value, T before)) {
  T before = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (replaces(value, before) &&
         !__atomic_compare_exchange_n(at, &before, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  if constexpr (races::kOn) pass_on(at);
  return before;
}

}  // namespace emu

// ---- threads ------------------------------------------------------------------------------------------------------------

inline char* shared_memory() {
  return emu::shared_memory();
}
inline void sync_block(const emu::Site& at = emu::Site::current()) {
  emu::arrive(emu::Together::sync_block, at);
}
inline void sync_warp(const emu::Site& at = emu::Site::current()) {
  emu::arrive(emu::Together::sync_warp, at);
}
template <typename T>
inline T shuffle_xor(T value, int mask, const emu::Site& at = emu::Site::current()) {
  const int from = emu::lane() ^ mask;
  return emu::exchange(value, from >= 0 && from < emu::kLanes ? from : emu::lane(), emu::Together::shuffle_xor, at);
}
template <typename T>
inline T shuffle(T value, int from, const emu::Site& at = emu::Site::current()) {
  return emu::exchange(value, from & (emu::kLanes - 1), emu::Together::shuffle, at);
}
template <typename T>
inline T shuffle_down(T value, int delta, const emu::Site& at = emu::Site::current()) {
  const int from = emu::lane() + delta;
  return emu::exchange(value, from < emu::kLanes ? from : emu::lane(), emu::Together::shuffle_down, at);
}
template <typename T>
inline T shuffle_up(T value, int delta, const emu::Site& at = emu::Site::current()) {
  const int from = emu::lane() - delta;
  return emu::exchange(value, from >= 0 ? from : emu::lane(), emu::Together::shuffle_up, at);
}
inline uint32_t ballot(bool held, const emu::Site& at = emu::Site::current()) {
  return emu::vote(held, at);
}
inline bool any_lane(bool held, const emu::Site& at = emu::Site::current()) {
  return emu::vote(held, at) != 0;
}
inline bool all_lanes(bool held, const emu::Site& at = emu::Site::current()) {
  return emu::vote(held, at) == 0xffffffffu;
}
inline void fence_device() {
  if constexpr (emu::races::kOn) emu::fence_device();
}
constexpr bool kStartsEarly = false;
inline void await_earlier_launches() {
  emu::await_earlier_launches();
}
inline int32_t atomic_add(int32_t* at, int32_t value) {
  return emu::atomic_add(at, value);
}
inline uint32_t atomic_add(uint32_t* at, uint32_t value) {
  return emu::atomic_add(at, value);
}
inline uint64_t atomic_add(uint64_t* at, uint64_t value) {
  return emu::atomic_add(at, value);
}
inline uint32_t atomic_max(uint32_t* at, uint32_t value) {
  return emu::atomic_update<uint32_t>(at, value, [](uint32_t value, uint32_t before) { return value > before; });
}
inline int32_t atomic_min(int32_t* at, int32_t value) {
  return emu::atomic_update<int32_t>(at, value, [](int32_t value, int32_t before) { return value < before; });
}

inline uint32_t opaque(uint32_t x) {
  return x;
}

// ---- memory -------------------------------------------------------------------------------------------------------------

inline uint4 load_stream(const void* from, const emu::Site& at = emu::Site::current()) {
  emu::check_aligned(from, 16, at);
  return *static_cast<const uint4*>(from);
}
inline float load_fresh(const float* from) {
  return *from;
}
inline void copy_async(void* to, const void* from, bool valid, const emu::Site& at = emu::Site::current()) {
  emu::copy_async(to, from, valid, at);
}
inline void copy_async_commit() {
  emu::copy_async_commit();
}
template <int kPending>
inline void copy_async_wait() {
  static_assert(kPending >= 0);
  emu::copy_async_wait(kPending);
}

// ---- matrix fragments ---------------------------------------------------------------------------------------------------

inline void load_matrices(uint32_t (&r)[4], const void* row, const emu::Site& at = emu::Site::current()) {
  emu::load_fragments(r, row, emu::Together::load_matrices, at);
}
inline void load_matrices_transposed(uint32_t (&r)[4], const void* row, const emu::Site& at = emu::Site::current()) {
  emu::load_fragments(r, row, emu::Together::load_matrices_transposed, at);
}
REDLLM_EMU_UNSEEN inline void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                           const emu::Site& at = emu::Site::current()) {
  emu::Slot& slot = emu::warp->slots[emu::warp->parity][emu::lane()];
  for (int i = 0; i < 4; ++i) slot.words[i] = a[i];
  slot.words[4] = b0;
  slot.words[5] = b1;
  for (int i = 0; i < 4; ++i) slot.d[i] = d[i];
  emu::arrive(emu::Together::multiply_add, at);
  for (int i = 0; i < 4; ++i) d[i] = slot.d[i];
}

// ---- arithmetic ---------------------------------------------------------------------------------------------------------

inline float float_of_bits(uint32_t bits) {
  return std::bit_cast<float>(bits);
}
inline uint32_t bits_of_float(float x) {
  return std::bit_cast<uint32_t>(x);
}
// The machine has one NaN.
inline uint16_t to_bf16(float x) {
  const uint32_t bits = bits_of_float(x);
  if (x != x) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline uint32_t pack_bf16(float low, float high) {
  return static_cast<uint32_t>(to_bf16(high)) << 16 | to_bf16(low);
}
inline float from_bf16(uint16_t bits) {
  return float_of_bits(static_cast<uint32_t>(bits) << 16);
}
inline float low_bf16(uint32_t pair) {
  return float_of_bits(pair << 16);
}
inline float high_bf16(uint32_t pair) {
  return float_of_bits(pair & 0xffff0000u);
}
inline uint32_t low_halves(uint32_t a, uint32_t b) {
  return (a & 0xffff) | b << 16;
}
inline uint32_t high_halves(uint32_t a, uint32_t b) {
  return a >> 16 | (b & 0xffff0000u);
}
inline float exp2_fast(float x) {
  const float y = std::exp2(x);
  return y < FLT_MIN ? 0.0f : y;
}
inline float tanh_fast(float x) {
  return std::tanh(x);
}

}  // namespace redllm::cuda
