// What the model itself thought of a row: log-probability and rank of the chosen token, and the most probable tokens. The last are
// found as a threshold is: a histogram of distances, then digit by digit over (logit, token), which no two tokens share, until few
// enough are left; these are gathered, and each counts those before it.
#pragma once

#include "cuda/ops/sample_filter.cuh"
#include "cuda/ops/sample_prepare.cuh"

namespace redllm::cuda {

// Where a token stands among all: most probable first, lower token first among equals.
__device__ __forceinline__ uint64_t place_of(float x, int32_t token) {
  return static_cast<uint64_t>(~ordered(x)) << 32 | static_cast<uint32_t>(token);
}

// Tokens of the first histogram's buckets below `bucket`, and of this one those that stand no further back than `last`.
struct Foremost {
  uint32_t bucket;
  uint64_t last;
  uint32_t count;
};

// At least the first `wanted` tokens (fewer where there are fewer), and no more than kReportRoom, all of keys up to `bound`.
// excluded(token, logit) leaves out.
template <typename Excluded>
__device__ __forceinline__ Foremost foremost(Board& board, const Row& row, float top, uint32_t wanted, uint32_t bound,
                                             const Excluded& excluded) {
  clear_buckets<false>(board);
  sync_block();
  visit_row(
      row, [=](float chunk) { return key_of(top, chunk) <= bound; },
      [&](int32_t token, float x) {
        const uint32_t key = key_of(top, x);
        if (key <= bound && !excluded(token, x)) atomic_add(board.count + first_digit().of(key), 1u);
      });
  sync_block();
  uint64_t goal =
      find_bucket<false>(board, [=](uint64_t total) -> uint64_t { return total < wanted ? total : wanted; });
  if (goal == 0) return {0, 0, 0};
  const uint32_t bucket = board.bucket;
  uint64_t before = board.before, count = before + board.inside;
  uint64_t least = 0, greatest = ~uint64_t{0};
  while (count > kReportRoom) {
    const int bits = 64 - __clzll(greatest - least), shift = bits > kDigitBits ? bits - kDigitBits : 0;
    clear_buckets<false>(board);
    sync_block();
    visit_row(
        row, [=](float chunk) { return first_digit().of(key_of(top, chunk)) <= bucket; },
        [&](int32_t token, float x) {
          const uint64_t place = place_of(x, token);
          if (place < least || place > greatest || excluded(token, x) || first_digit().of(key_of(top, x)) != bucket)
            return;
          atomic_add(board.count + ((place - least) >> shift), 1u);
        });
    sync_block();
    find_bucket<false>(board, [=](uint64_t) { return goal - before; });
    before += board.before;
    count = before + board.inside;
    least += static_cast<uint64_t>(board.bucket) << shift;
    const uint64_t inside = least + ((uint64_t{1} << shift) - 1);
    greatest = inside < greatest ? inside : greatest;
  }
  return {bucket, greatest, static_cast<uint32_t>(count)};
}

// Step 1 for row `row`, into the tables of `a`. top, total: the model's greatest logit, and the sum of e^(logit - top) in kMassUnit.
__device__ __forceinline__ void report(Board& board, const SampleParams& p, int64_t row, const Row& logits,
                                       int32_t chosen, float top, uint64_t total) {
  const SampleArgs& a = p.a;
  const int32_t vocabulary = static_cast<int32_t>(a.logits.cols), asked = a.alternatives[row];
  int32_t wanted = asked < a.max_alternatives ? asked : a.max_alternatives;
  wanted = wanted < 0 ? 0 : wanted < kReportRoom ? wanted : kReportRoom;
  const bool empty = is_banned(top);
  if (threadIdx.x == 0) board.log_total = log(static_cast<double>(total) * kMassUnit);
  const auto log_probability = [&](float x) {
    return empty ? -float_of_bits(kInfiniteBits)
                 : static_cast<float>(static_cast<double>(x) - static_cast<double>(top) - board.log_total);
  };
  const float base = empty ? 0.0f : top, own = asked < 0 ? top : cleaned(logits.logits[chosen]);
  const bool narrowed = a.candidates[row] != 0;
  const float* altered_row =
      narrowed && (biased(a, row) || listed(a, row)) ? p.altered + (row - p.first) * vocabulary : nullptr;
  const auto excluded = [=](int32_t token, float x) {
    return narrowed && (is_banned(x) || (altered_row != nullptr && is_banned(altered_row[token])));
  };
  Foremost some = {0, 0, 0};
  if (wanted > 0) {
    // Biases ban at most one token each; what a list of allowed tokens bans is not counted here.
    const int32_t banned = narrowed ? a.bias_start[row + 1] - a.bias_start[row] : 0;
    const bool counted = !(narrowed && listed(a, row));
    const uint32_t bound =
        counted ? bound_by_chunks(board, logits, base, static_cast<uint32_t>(wanted + banned)) : kNoKey;
    some = foremost(board, logits, base, static_cast<uint32_t>(wanted), bound, excluded);
  }

  if (threadIdx.x == 0) board.above = board.listed = 0;
  sync_block();
  if (own < top || some.count > 0) {
    uint32_t above = 0;
    const auto matters = [=](float chunk) {
      return chunk > own || (some.count > 0 && first_digit().of(key_of(base, chunk)) <= some.bucket);
    };
    visit_row(logits, matters, [&](int32_t token, float x) {
      if (x > own) ++above;
      if (some.count == 0) return;
      const uint32_t digit = first_digit().of(key_of(base, x));
      if (digit > some.bucket || (digit == some.bucket && place_of(x, token) > some.last) || excluded(token, x)) return;
      board.place[atomic_add(&board.listed, 1u)] = place_of(x, token);
    });
    above = warp_sum(above);
    if (threadIdx.x % kWarp == 0 && above > 0) atomic_add(&board.above, above);
  }
  sync_block();
  if (threadIdx.x == 0) {
    a.logprob[row] = asked < 0 ? 0.0f : log_probability(own);
    a.rank[row] = asked < 0 ? 0 : 1 + static_cast<int32_t>(board.above);
  }
  const uint32_t found = some.count < static_cast<uint32_t>(wanted) ? some.count : static_cast<uint32_t>(wanted);
  int32_t* token = a.top_token + row * a.max_alternatives;
  float* logprob = a.top_logprob + row * a.max_alternatives;
  for (uint32_t i = threadIdx.x; i < some.count; i += blockDim.x) {
    const uint64_t mine = board.place[i];
    uint32_t place = 0;
    for (uint32_t j = 0; j < some.count; ++j) place += board.place[j] < mine;
    if (place >= found) continue;
    token[place] = static_cast<int32_t>(static_cast<uint32_t>(mine));
    logprob[place] = log_probability(unordered(~static_cast<uint32_t>(mine >> 32)));
  }
  for (int32_t i = static_cast<int32_t>(found + threadIdx.x); i < a.max_alternatives;
       i += static_cast<int32_t>(blockDim.x)) {
    token[i] = -1;
    logprob[i] = 0;
  }
}

}  // namespace redllm::cuda
