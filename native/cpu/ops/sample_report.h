// What the model itself thought of a row: log-probability and rank of the chosen token, and the most probable tokens.
#pragma once

#include <math.h>

#include "cpu/ops/sample_filter.h"
#include "ops.h"

namespace REDLLM_ISA_NAMESPACE {

inline float cleaned(float x) {
  return x != x ? -kInfinity : x > __FLT_MAX__ ? __FLT_MAX__ : x;
}

// The `wanted` greatest logits, greatest first, the lower id first among equals. Ids come in ascending order, so a later equal
// never displaces an earlier one; most vectors hold nothing above the last of the list and cost one comparison.
inline void greatest_tokens(const float* logits, int32_t vocabulary, int32_t wanted, int32_t* token, float* value) {
  int32_t found = 0;
  const auto insert = [&](int32_t id, float x) {
    if (found == wanted && !(x > value[wanted - 1])) return;
    int32_t place = found < wanted ? found++ : wanted - 1;
    for (; place > 0 && value[place - 1] < x; --place) {
      value[place] = value[place - 1];
      token[place] = token[place - 1];
    }
    value[place] = x;
    token[place] = id;
  };
  for_lanes(vocabulary, [&](int32_t i, int32_t n) {
    if (found == wanted && count_greater(cleaned(load_logits(logits + i, n)), splat(value[wanted - 1])) == 0) return;
    for (int32_t j = i; j < i + n; ++j) insert(j, cleaned(logits[j]));
  });
}

// The logits of the row's allowed tokens, -infinity for all others, in `room`.
inline const float* only_allowed(const SampleArgs& a, int64_t row, const float* x, int32_t vocabulary, float* room) {
  const vf banned = splat(-kInfinity);
  for_lanes(vocabulary, [&](int32_t i, int32_t n) { store_upto(room + i, banned, n); });
  for (int32_t i = a.allow_start[row]; i < a.allow_start[row + 1]; ++i) room[a.allow_token[i]] = x[a.allow_token[i]];
  return room;
}

// The logits without those of banned tokens. room: twice [vocabulary], each rounded up to whole vectors
inline const float* candidates(const SampleArgs& a, int64_t row, const float* logits, int32_t vocabulary, float* room) {
  if (a.bias_start[row] < a.bias_start[row + 1]) {
    for_lanes(vocabulary, [&](int32_t i, int32_t n) { store_upto(room + i, load_upto(logits + i, n), n); });
    for (int32_t i = a.bias_start[row]; i < a.bias_start[row + 1]; ++i)
      if (a.bias_value[i] == -kInfinity) room[a.bias_token[i]] = -kInfinity;
    logits = room;
  }
  if (a.allow_start[row] == a.allow_start[row + 1]) return logits;
  return only_allowed(a, row, logits, vocabulary, room + (vocabulary + kLanes - 1) / kLanes * kLanes);
}

// Step 1 for row `row`, into the tables of `a`. room: as of candidates()
inline void report(const SampleArgs& a, int64_t row, const float* logits, int32_t vocabulary, int32_t chosen,
                   float* room) {
  const int32_t asked = a.alternatives[row];
  const int32_t limit = a.max_alternatives < vocabulary ? a.max_alternatives : vocabulary;
  const int32_t wanted = asked < 0 ? 0 : asked < limit ? asked : limit;
  int32_t* token = a.top_token + row * a.max_alternatives;
  float* logprob = a.top_logprob + row * a.max_alternatives;
  for (int32_t i = wanted; i < a.max_alternatives; ++i) {
    token[i] = -1;
    logprob[i] = 0;
  }
  a.logprob[row] = 0;
  a.rank[row] = 0;
  if (asked < 0) return;
  const float top = greatest(logits, vocabulary);
  const bool empty = top == -kInfinity;
  const double total = empty ? 1 : ::log(mass(logits, vocabulary, top, -kInfinity));
  const auto log_probability = [&](float x) {
    return empty ? -kInfinity : static_cast<float>(static_cast<double>(x) - top - total);
  };
  const float own = cleaned(logits[chosen]);
  a.logprob[row] = log_probability(own);
  int32_t above = 0;
  for_lanes(vocabulary,
            [&](int32_t i, int32_t n) { above += count_greater(cleaned(load_logits(logits + i, n)), splat(own)); });
  a.rank[row] = 1 + above;
  if (wanted == 0) return;
  const bool narrowed = a.candidates[row] != 0;
  greatest_tokens(narrowed ? candidates(a, row, logits, vocabulary, room) : logits, vocabulary, wanted, token, logprob);
  for (int32_t i = 0; i < wanted; ++i) {
    const bool none = narrowed && logprob[i] == -kInfinity;
    if (none) token[i] = -1;
    logprob[i] = none ? 0 : log_probability(logprob[i]);
  }
}

}  // namespace REDLLM_ISA_NAMESPACE
