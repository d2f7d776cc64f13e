// Thresholds of top-k and top-p without a sort. Every filter keeps all tokens of at most some key (the distance from the greatest
// logit), and the key is found digit by digit: a histogram of counts or masses over the tokens between two keys, the bucket in which
// the running sum reaches its goal, and again inside that bucket, until the two keys are one. The first digit is a whole exponent and
// 7 bits of its fraction, so that the bucket holds few tokens; those are listed, and the later digits read the list.
#pragma once

#include "cuda/ops/sample_row.cuh"

namespace redllm::cuda {

constexpr int32_t kBuckets = 2048;
constexpr int kDigitBits = 11;
constexpr uint32_t kNoKey = ~0u;
constexpr int32_t kKeyRoom = 2048;
constexpr int32_t kReportRoom = 256;

// Bits of a key from `shift` on, counted from `base`; what lies below is in the first bucket, what lies above in the last.
struct Digit {
  int shift;
  uint32_t base;
  __device__ __forceinline__ uint32_t of(uint32_t key) const {
    const uint32_t digit = key >> shift;
    return digit <= base ? 0u : digit - base >= kBuckets ? kBuckets - 1u : digit - base;
  }
  // The greatest key of a bucket.
  __device__ __forceinline__ uint32_t last_of(uint32_t bucket) const {
    return bucket == kBuckets - 1u ? ~0u : ((base + bucket + 1) << shift) - 1;
  }
};
// Of a first histogram: 128 buckets a power of two, for distances from 2^-8 to nearly 2^8.
__device__ __forceinline__ Digit first_digit() {
  return {16, 119u << 7};
}

// What is said between the threads of a block that chooses.
struct Board {
  uint32_t count[kBuckets];
  uint32_t low[kBuckets];  // words of the buckets' masses: 64-bit atomics on shared memory would be loops
  uint32_t high[kBuckets];
  union {
    uint32_t key[kKeyRoom];
    uint64_t place[kReportRoom];
  };
  uint64_t sum[kWarp];  // of the warps
  double log_total;
  uint64_t before;  // sum of the buckets below the one that was found
  uint64_t inside;  // its own
  uint32_t bucket;
  uint32_t listed;
  uint32_t above;
};

template <bool kMass>
__device__ __forceinline__ void clear_buckets(Board& board) {
  for (int32_t b = static_cast<int32_t>(threadIdx.x); b < kBuckets; b += static_cast<int32_t>(blockDim.x)) {
    if (kMass) {
      board.low[b] = board.high[b] = 0;
    } else {
      board.count[b] = 0;
    }
  }
}

__device__ __forceinline__ void add_mass(Board& board, uint32_t bucket, uint64_t mass) {
  const uint32_t low = static_cast<uint32_t>(mass);
  const uint32_t carried = atomic_add(board.low + bucket, low) > ~low ? 1 : 0;
  const uint32_t high = static_cast<uint32_t>(mass >> 32) + carried;
  if (high != 0) atomic_add(board.high + bucket, high);
}

// After a barrier: board.bucket, .before and .inside tell of the first bucket at which the running sum reaches goal(total), which is
// returned; 0: there is none.
template <bool kMass, typename Goal>
__device__ __forceinline__ uint64_t find_bucket(Board& board, const Goal& goal_of) {
  const int32_t each = kBuckets / static_cast<int32_t>(blockDim.x), first = static_cast<int32_t>(threadIdx.x) * each;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const auto value = [&](int32_t b) {
    return kMass ? static_cast<uint64_t>(board.high[b]) << 32 | board.low[b] : uint64_t{board.count[b]};
  };
  uint64_t own = 0;
  for (int32_t b = first; b < first + each; ++b) own += value(b);
  const uint64_t inclusive = warp_prefix(own);
  if (lane == kWarp - 1) board.sum[warp] = inclusive;
  sync_block();
  const uint64_t warps = warp_prefix(lane < static_cast<int>(blockDim.x) / kWarp ? board.sum[lane] : 0);
  const uint64_t goal = goal_of(shuffle(warps, kWarp - 1));
  uint64_t before = shuffle(warps, warp > 0 ? warp - 1 : 0);
  before = (warp > 0 ? before : 0) + inclusive - own;
  if (before < goal && goal <= before + own) {
    int32_t b = first;
    for (; before + value(b) < goal; ++b) before += value(b);
    board.bucket = static_cast<uint32_t>(b);
    board.before = before;
    board.inside = value(b);
  }
  sync_block();
  return goal;
}

// The least key at which the running sum over the tokens of keys up to `limit` reaches goal(total); kNoKey where the goal is 0.
template <bool kMass, typename Goal>
__device__ __forceinline__ uint32_t select_key(Board& board, const Row& row, float top, float scale, uint32_t limit,
                                               const Goal& goal_of) {
  uint32_t least = 0, greatest = limit;
  Digit digit = first_digit();
  uint64_t goal = 0;
  bool from_list = false;
  for (int level = 0; least < greatest; ++level) {
    if (level > 0) {
      const int bits = 32 - __clz(greatest - least);
      digit.shift = bits > kDigitBits ? bits - kDigitBits : 0;
      digit.base = least >> digit.shift;
    }
    clear_buckets<kMass>(board);
    if (threadIdx.x == 0 && !from_list) board.listed = 0;
    sync_block();
    const auto add = [&](uint32_t key) {
      if (!kMass) {
        atomic_add(board.count + digit.of(key), 1u);
        return;
      }
      const uint64_t mass = mass_of(key, scale);
      if (mass != 0) add_mass(board, digit.of(key), mass);
    };
    if (from_list) {
      for (uint32_t i = threadIdx.x; i < board.listed; i += blockDim.x)
        if (board.key[i] >= least && board.key[i] <= greatest) add(board.key[i]);
    } else {
      visit_row(
          row, [=](float chunk) { return key_of(top, chunk) <= greatest; },
          [&](int32_t, float x) {
            const uint32_t key = key_of(top, x);
            if (key < least || key > greatest) return;
            add(key);
            if (level == 0) return;
            const uint32_t at = atomic_add(&board.listed, 1u);
            if (at < kKeyRoom) board.key[at] = key;
          });
    }
    sync_block();
    if (level > 0) from_list = board.listed <= kKeyRoom;
    const uint64_t reached =
        find_bucket<kMass>(board, [&](uint64_t total) { return level == 0 ? goal_of(total) : goal; });
    if (reached == 0) return kNoKey;
    goal = reached - board.before;
    const uint32_t bucket = board.bucket;
    if (bucket > 0) least = max(least, digit.last_of(bucket - 1) + 1);
    greatest = min(greatest, digit.last_of(bucket));
  }
  return least;
}

// A key up to which there are at least `count` tokens, as the chunks' greatest logits tell; kNoKey where they do not.
__device__ __forceinline__ uint32_t bound_by_chunks(Board& board, const Row& row, float top, uint32_t count) {
  if (4 * uint64_t{count} > static_cast<uint32_t>(row.chunks)) return kNoKey;
  clear_buckets<false>(board);
  sync_block();
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < row.chunks; i += static_cast<int32_t>(blockDim.x))
    atomic_add(board.count + first_digit().of(key_of(top, row.tops[i])), 1u);
  sync_block();
  find_bucket<false>(board, [=](uint64_t) -> uint64_t { return count; });
  return first_digit().last_of(board.bucket);
}

// Steps 6 to 8: the greatest key that is kept. total: of the whole row, near enough, where neither top-k nor min-p are asked for.
__device__ __forceinline__ uint32_t greatest_kept(Board& board, const SampleArgs& a, int64_t row, const Row& logits,
                                                  float top, float scale, uint64_t total) {
  uint32_t limit = kInfiniteBits - 1;
  const float min_p = a.min_p[row], temperature = a.temperature[row];
  if (min_p > 0) limit = min(limit, min_p < 1 ? bits_of_float(-logf(min_p) * temperature) : 0u);
  const uint32_t top_k = a.top_k[row] > 0 ? static_cast<uint32_t>(a.top_k[row]) : 0;
  if (top_k > 0 && top_k < static_cast<uint32_t>(logits.vocabulary)) {
    const uint32_t bound = min(limit, bound_by_chunks(board, logits, top, top_k));
    const uint32_t key = select_key<false>(board, logits, top, scale, bound,
                                           [=](uint64_t all) -> uint64_t { return all < top_k ? 0 : top_k; });
    limit = min(limit, key);
  }
  const double top_p = a.top_p[row];
  if (!(top_p < 1)) return limit;
  const auto share = [=](uint64_t all) {
    return max(static_cast<uint64_t>(ceil(top_p * static_cast<double>(all))), uint64_t{1});
  };
  // Most often the tokens of at least 1/256 of the greatest probability are enough, and most chunks have none.
  const uint32_t near_key = bits_of_float(5.5f * temperature);
  if (!bounded(a, row) && near_key < limit) {
    const uint64_t goal = share(total);
    const uint32_t key = select_key<true>(board, logits, top, scale, near_key,
                                          [=](uint64_t all) -> uint64_t { return all < goal ? 0 : goal; });
    if (key != kNoKey) return key;
  }
  return select_key<true>(board, logits, top, scale, limit, share);
}

}  // namespace redllm::cuda
