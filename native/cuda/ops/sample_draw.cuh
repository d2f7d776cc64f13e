// Step 9: the running sum over a row's kept tokens, in order, up to the first that exceeds the draw's share of the total. From the sums
// of large parts to those of chunks in one of them, to the tokens of one chunk.
#pragma once

#include "cuda/ops/sample_filter.cuh"
#include "cuda/ops/sample_prepare.cuh"

namespace redllm::cuda {

// Chunks [begin, end), of which the sum of kept masses exceeds `target`.
struct DrawRange {
  int32_t begin, end;
  float top;  // that masses are relative to
  uint64_t target;
};

// word / 2^32 of the total.
__device__ __forceinline__ uint64_t share_of(uint64_t total, uint32_t word) {
  return (total >> 32) * word + ((total & 0xffffffffu) * word >> 32);
}

// The sum of a slice, relative to the greatest logit of the row.
__device__ __forceinline__ uint64_t drawn_of(const Slice& slice, float top, float scale) {
  const uint64_t factor = mass_of(key_of(top, unordered(static_cast<uint32_t>(slice.best >> 32))), scale);
  return static_cast<uint64_t>(static_cast<double>(slice.drawn) * (static_cast<double>(factor) * kMassUnit));
}

// By each warp for itself. Where all tokens are kept the slices' sums are known: lane i has slices [i, i + 1) * each.
struct SliceSums {
  const Slice* slice;
  int32_t slices;
  float top, scale;
  __device__ __forceinline__ int32_t each() const { return (slices + kWarp - 1) / kWarp; }
  __device__ __forceinline__ uint64_t of_lane() const {
    const int32_t first = static_cast<int32_t>(threadIdx.x) % kWarp * each();
    uint64_t sum = 0;
    for (int32_t i = first; i < first + each() && i < slices; ++i) sum += drawn_of(slice[i], top, scale);
    return sum;
  }
};

__device__ __forceinline__ DrawRange range_of_slices(const SliceSums& sums, int32_t chunks, uint32_t word) {
  const uint64_t own = sums.of_lane(), running = warp_prefix(own);
  const uint64_t target = share_of(shuffle(running, kWarp - 1), word);
  const int chosen = __ffs(static_cast<int>(ballot(running > target))) - 1;
  uint64_t left = target - shuffle(running - own, chosen);
  int32_t i = chosen * sums.each();
  uint64_t sum = drawn_of(sums.slice[i], sums.top, sums.scale);
  while (sum <= left) {
    left -= sum;
    sum = drawn_of(sums.slice[++i], sums.top, sums.scale);
  }
  // The same share of the slice, in its own unit.
  const Slice& slice = sums.slice[i];
  const double share = static_cast<double>(left) / static_cast<double>(sum) * static_cast<double>(slice.drawn);
  constexpr int32_t kSliceChunks = kSlice / kChunk;
  return {i * kSliceChunks, min((i + 1) * kSliceChunks, chunks), unordered(static_cast<uint32_t>(slice.best >> 32)),
          min(static_cast<uint64_t>(share), slice.drawn - 1)};
}

// Where tokens are left out: a part of the row for each warp.
template <typename Mass>
__device__ __forceinline__ DrawRange range_of_warps(Board& board, const Row& row, float top, uint32_t limit,
                                                    uint32_t word, const Mass& mass) {
  const int32_t warps = static_cast<int32_t>(blockDim.x) / kWarp, part = (row.chunks + warps - 1) / warps;
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % kWarp, warp = static_cast<int32_t>(threadIdx.x) / kWarp;
  uint64_t own = 0;
  visit_chunks(
      row, warp * part, min(warp * part + part, row.chunks), 1,
      [=](float chunk) { return key_of(top, chunk) <= limit; }, [&](int32_t, float x) { own += mass(top, x); });
  own = warp_sum(own);
  if (lane == 0) board.sum[warp] = own;
  sync_block();
  own = lane < warps ? board.sum[lane] : 0;
  const uint64_t running = warp_prefix(own);
  const uint64_t target = share_of(shuffle(running, kWarp - 1), word);
  const int chosen = __ffs(static_cast<int>(ballot(running > target))) - 1;
  return {chosen * part, min(chosen * part + part, row.chunks), top, target - shuffle(running - own, chosen)};
}

template <typename Mass>
__device__ __forceinline__ int32_t token_of(Board& board, const Row& row, const DrawRange& range, const Mass& mass) {
  const int32_t warps = static_cast<int32_t>(blockDim.x) / kWarp;
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % kWarp, warp = static_cast<int32_t>(threadIdx.x) / kWarp;
  for (int32_t chunk = range.begin + warp; chunk < range.end; chunk += warps) {
    float x[4];
    load_logits(x, row.logits, chunk * kChunk + 4 * lane, row.vocabulary, row.vector);
    uint64_t own = 0;
    for (int j = 0; j < 4; ++j) own += mass(range.top, x[j]);
    own = warp_sum(own);
    if (lane == 0) board.place[chunk - range.begin] = own;
  }
  sync_block();
  uint64_t left = range.target;
  int32_t chunk = range.begin;
  while (board.place[chunk - range.begin] <= left) left -= board.place[chunk++ - range.begin];

  float x[4];
  int32_t token = chunk * kChunk + 4 * lane;
  load_logits(x, row.logits, token, row.vocabulary, row.vector);
  uint64_t own = 0;
  for (int j = 0; j < 4; ++j) own += mass(range.top, x[j]);
  const uint64_t running = warp_prefix(own);
  uint64_t sum = running - own;
  for (int j = 0; j < 3; ++j) {
    sum += mass(range.top, x[j]);
    if (sum <= left) ++token;
  }
  return shuffle(token, __ffs(static_cast<int>(ballot(running > left))) - 1);
}

// Steps 6 to 9.
__device__ __forceinline__ int32_t draw(Board& board, const SampleParams& p, int64_t row, const Row& logits, float top,
                                        uint32_t word) {
  const SampleArgs& a = p.a;
  // Distances from the greatest: no overflow however cold it is, and a warm one leaves their order alone.
  const float scale = kLog2E / a.temperature[row];
  const SliceSums sums = {p.slice + (row - p.first) * p.slices, p.slices, top, scale};
  const bool whole = !bounded(a, row);
  if (whole && !(a.top_p[row] < 1)) {
    const auto mass = [=](float greatest, float x) { return is_banned(x) ? 0 : mass_of(key_of(greatest, x), scale); };
    return token_of(board, logits, range_of_slices(sums, logits.chunks, word), mass);
  }
  const uint64_t total = whole ? warp_sum(sums.of_lane()) : 0;
  const uint32_t limit = greatest_kept(board, a, row, logits, top, scale, total);
  const auto mass = [=](float greatest, float x) {
    const uint32_t key = key_of(greatest, x);
    return key <= limit ? mass_of(key, scale) : 0;
  };
  return token_of(board, logits, range_of_warps(board, logits, top, limit, word, mass), mass);
}

}  // namespace redllm::cuda
