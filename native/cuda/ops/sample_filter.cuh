// Thresholds of top-k and top-p without a sort. Every filter keeps all tokens of at most some key (the distance from the greatest
// logit), and the key is found digit by digit: a histogram of counts or masses over the tokens between two keys, the bucket in which
// the running sum reaches its goal, and again inside that bucket, until the two keys are one. The first digit is a whole exponent and
// 7 bits of its fraction, so that the bucket holds few tokens; those are listed, and the later digits read the list.
#pragma once

#include "cuda/ops/sample_row.cuh"

namespace redllm::cuda {

constexpr int32_t kBuckets = 2048;
constexpr int kDigitBits = 11;
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

// The least key at which the running sum over the tokens of keys up to `limit` reaches goal(total); `limit` where the goal is 0.
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
      visit_row(row, [&](int32_t, float x) {
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
    if (reached == 0) return limit;
    goal = reached - board.before;
    const uint32_t bucket = board.bucket, low = (digit.base + bucket) << digit.shift;
    const uint32_t high = low + ((1u << digit.shift) - 1);
    if (bucket > 0 && low > least) least = low;
    if (bucket < kBuckets - 1 && high < greatest) greatest = high;
  }
  return least;
}

// Steps 6 to 8: the greatest key that is kept.
__device__ __forceinline__ uint32_t greatest_kept(Board& board, const SampleArgs& a, int64_t row, const Row& logits,
                                                  float top, float scale) {
  uint32_t limit = kInfiniteBits - 1;
  const float min_p = a.min_p[row];
  if (min_p > 0) {
    const uint32_t key = min_p < 1 ? bits_of_float(-logf(min_p) * a.temperature[row]) : 0;
    limit = key < limit ? key : limit;
  }
  const uint32_t top_k = a.top_k[row] > 0 ? static_cast<uint32_t>(a.top_k[row]) : 0;
  if (top_k > 0 && top_k < static_cast<uint32_t>(logits.vocabulary)) {
    limit = select_key<false>(board, logits, top, scale, limit,
                              [=](uint64_t total) -> uint64_t { return total < top_k ? 0 : top_k; });
  }
  const double top_p = a.top_p[row];
  if (top_p < 1) {
    limit = select_key<true>(board, logits, top, scale, limit, [=](uint64_t total) -> uint64_t {
      const uint64_t goal = static_cast<uint64_t>(ceil(top_p * static_cast<double>(total)));
      return goal > 0 ? goal : 1;
    });
  }
  return limit;
}

// Step 9. word / 2^32 is the draw. The warps share a range of tokens, one of their parts is the next range.
__device__ __forceinline__ int32_t draw(Board& board, const Row& row, float top, float scale, uint32_t limit,
                                        uint32_t word) {
  constexpr int32_t kPart = 4 * kWarp;
  const int32_t warps = static_cast<int32_t>(blockDim.x) / kWarp;
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % kWarp, warp = static_cast<int32_t>(threadIdx.x) / kWarp;
  const auto mass = [&](float x) {
    const uint32_t key = key_of(top, x);
    return key <= limit ? mass_of(key, scale) : 0;
  };
  int32_t begin = 0, end = row.vocabulary;
  uint64_t before = 0, target = 0;
  bool whole = true;
  do {
    const int32_t part = ((end - begin + warps - 1) / warps + kPart - 1) / kPart * kPart;
    const int32_t from = begin + warp * part, to = from + part < end ? from + part : end;
    uint64_t own = 0;
    visit_tokens(row, from, to, lane, kWarp, [&](int32_t, float x) { own += mass(x); });
    own = warp_sum(own);
    if (lane == 0) board.sum[warp] = own;
    sync_block();
    own = lane < warps ? board.sum[lane] : 0;
    const uint64_t running = warp_prefix(own);
    if (whole) {
      const uint64_t total = shuffle(running, kWarp - 1);
      target = (total >> 32) * word + ((total & 0xffffffffu) * word >> 32);
      whole = false;
    }
    const int chosen = __ffs(static_cast<int>(ballot(before + running > target))) - 1;
    before += shuffle(running - own, chosen);
    begin += chosen * part;
    end = begin + part < end ? begin + part : end;
    sync_block();
  } while (end - begin > kPart);
  float x[4];
  load_logits(x, row.logits, begin + 4 * lane, end, row.vector);
  uint64_t own = 0;
  for (int j = 0; j < 4; ++j) own += mass(x[j]);
  const uint64_t running = warp_prefix(own);
  uint64_t sum = before + running - own;
  int32_t token = begin + 4 * lane;
  for (int j = 0; j < 3; ++j) {
    sum += mass(x[j]);
    if (sum <= target) ++token;
  }
  return shuffle(token, __ffs(static_cast<int>(ballot(before + running > target))) - 1);
}

}  // namespace redllm::cuda
