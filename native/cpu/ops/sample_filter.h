// What the sampler asks of a row of logits: its greatest, sums of e^x, and the thresholds of top-k and top-p. Every filter keeps
// "all tokens of at least some logit", so each comes down to one threshold, found by bisection over the floats themselves: no sort,
// and ties stay together by themselves.
#pragma once

#include "cpu/bf16.h"
#include "cpu/ops/simd.h"

namespace REDLLM_ISA_NAMESPACE {

// A NaN counts as -infinity, +infinity as the greatest finite number, so that differences are never NaN.
inline vf cleaned(vf x) {
  return min(if_nan(x, splat(-kInfinity)), splat(__FLT_MAX__));
}

// First kLanes lanes as they are; where n < kLanes, -infinity beyond n.
inline vf load_logits(const float* x, int32_t n) {
  return n == kLanes ? load(x) : keep_range(load_first(x, n), splat(-kInfinity), 0, n);
}

// Greatest of the cleaned logits.
inline float greatest(const float* x, int32_t count) {
  vf high = splat(-kInfinity);
  for_lanes(count, [&](int32_t i, int32_t n) { high = max(high, cleaned(load_logits(x + i, n))); });
  return reduce_max(high);
}

// Lowest index whose cleaned logit is `value`, which is there.
inline int32_t index_of(const float* x, int32_t count, float value) {
  for (int32_t i = 0; i < count; i += kLanes) {
    const int32_t n = count - i < kLanes ? count - i : kLanes;
    // No logit is above the greatest: "not less" is "equal".
    if (count_greater(splat(value), cleaned(load_logits(x + i, n))) == kLanes) continue;
    for (int32_t j = i; j < i + n; ++j) {
      const float clean = x[j] != x[j] ? -kInfinity : x[j] > __FLT_MAX__ ? __FLT_MAX__ : x[j];
      if (clean == value) return j;
    }
  }
  return 0;
}

constexpr int32_t kSumBlock = 256;  // terms added in f32 before the sum goes on in double

// Sum of e^x over x >= threshold. Rounded sums of non-negative terms in one order never fall when a term is added, so the bisection
// below may rely on it.
inline double mass_block(const float* x, int32_t count, float shift, float threshold) {
  vf sum = splat(0);
  for_lanes(count, [&](int32_t i, int32_t n) {
    const vf v = sub(cleaned(load_logits(x + i, n)), splat(shift));
    if (count_greater(splat(threshold), v) < kLanes) sum = add(sum, if_less(v, splat(threshold), splat(0), exp(v)));
  });
  return reduce_add(sum);
}
inline double mass(const float* x, int32_t count, float shift, float threshold) {
  double total = 0;
  for (int32_t i = 0; i < count; i += kSumBlock)
    total += mass_block(x + i, count - i < kSumBlock ? count - i : kSumBlock, shift, threshold);
  return total;
}

inline int64_t count_at_least(const float* x, int32_t count, float threshold) {
  int64_t below = 0;
  for_lanes(count, [&](int32_t i, int32_t n) {
    const vf v = n == kLanes ? load(x + i) : keep_range(load_first(x + i, n), splat(kInfinity), 0, n);
    below += count_greater(splat(threshold), v);
  });
  return count - below;
}

// The greatest t <= 0 for which enough(t) holds, by bisection over the bits of -t; -infinity where it holds for none above.
// enough() must go on holding as t falls.
template <typename Enough>
inline float greatest_threshold(const Enough& enough) {
  uint32_t low = 0, high = 0x7f800000;  // bits of 0 and of infinity
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (enough(-cpu::float_of_bits(middle))) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return -cpu::float_of_bits(low);
}

// Copies the elements x >= threshold together, in order; returns how many. `to` has room for `count`, rounded up to kLanes; it may
// be x itself.
inline int32_t compact(const float* x, int32_t count, float threshold, float* to) {
  int32_t kept = 0;
  for_lanes(count, [&](int32_t i, int32_t n) {
    if (n == kLanes) {
      kept += store_not_less(to + kept, load(x + i), splat(threshold));
      return;
    }
    for (int32_t j = i; j < i + n; ++j)
      if (x[j] >= threshold) to[kept++] = x[j];
  });
  return kept;
}

}  // namespace REDLLM_ISA_NAMESPACE
