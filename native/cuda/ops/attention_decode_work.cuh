// What decode attention has to do, cut into items of about equal size that any block may take.
//
// A tile is up to 16 rows that read the same pages: the query heads that share a key/value head, of one token, or of
// neighbouring tokens whose sequences are in one group. An item is a tile, a key/value head and a chunk of keys. Chunks
// lie at absolute multiples of chunk_keys() and spans at multiples of kSpanChunks of them, so that what a row sums, and
// in which order, depends on its own keys.
//
// How many chunks a tile sees is known on the device alone. So every block lists the work of all tokens for itself, and
// takes items by number until there are no more: the grid depends on what the host knows, and no block is there in
// vain.
#pragma once

#include "cuda/ops/warp.cuh"

namespace redllm::cuda::decode {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarp;
constexpr int kTileRows = 16;
constexpr int kSpanChunks = 16;
constexpr int kMostTokens = 256;  // of a launch
constexpr int32_t kNothing = 0x7fffffff;

// Pages of a chunk, where head_dim is padded to `dim`: 128 KB of keys and values either way.
REDLLM_BOTH constexpr int chunk_pages(int dim) {
  return 2048 / dim;
}
REDLLM_BOTH constexpr int chunk_keys(int dim) {
  return chunk_pages(dim) * kPageTokens;
}

struct Params {
  AttentionArgs a;
  int32_t first_token;  // of this launch
  int32_t tokens;
  int32_t first_head;  // among those of keys and values
  int32_t kv_heads;
  int32_t parts;   // tiles that a token's rows of one key/value head take; 1 where tokens are grouped
  int32_t chunks;  // of one segment, at most
  int32_t spans;
  bool grouped;
  float* partials;    // [row][slot][kPartialHead + head_dim]: see attention_decode_rows.cuh
  int32_t* counters;  // the next item's; then, by tile and head: of the tile, and of the spans of both segments
};

// In shared memory.
struct Work {
  int32_t first[kMostTokens];     // chunks of the tiles before the token's
  int32_t tile[kMostTokens];      // of the tile that starts in a token: first row | rows << 16
  int32_t pages[2][kMostTokens];  // where the page table of the token's sequence starts, by segment
  int32_t chunks;                 // of all tiles
  int32_t last;                   // whether this block was the last to arrive
};

// Keys left <= k < right, and the chunks in which they lie. None: low = kNothing, high = 0.
struct KeyRange {
  int32_t left = 0, right = 0;
  int32_t low = kNothing, high = 0;
};

template <int D>
__device__ __forceinline__ KeyRange key_range(const int32_t* left, const int32_t* right, int32_t token) {
  KeyRange range;
  const int32_t from = max(left[token], 0), to = right[token];
  if (from < to) range = {from, to, from / chunk_keys(D), (to - 1) / chunk_keys(D) + 1};
  return range;
}

// Lists the work of this launch's tokens. All threads; `scratch` is shared memory for 5 kMostTokens integers.
template <int D>
__device__ __forceinline__ void list_work(const Params& p, Work& work, int32_t* scratch) {
  const AttentionArgs& a = p.a;
  const int32_t shared = a.heads / a.segment[0].pool.kv_heads;
  const int tokens = p.tokens;
  int32_t* const group = scratch;
  int32_t* const low[2] = {scratch + kMostTokens, scratch + 2 * kMostTokens};
  int32_t* const high[2] = {scratch + 3 * kMostTokens, scratch + 4 * kMostTokens};
#pragma unroll 1
  for (int i = threadIdx.x; i < tokens; i += kThreads) {
    const int32_t token = p.first_token + i, sequence = a.sequence[token];
    work.pages[0][i] = a.segment[0].page_start[sequence];
    const KeyRange range = key_range<D>(a.segment[0].left, a.segment[0].right, token);
    low[0][i] = range.low;
    high[0][i] = range.high;
    if (a.segments == 2) {
      const KeyRange other = key_range<D>(a.segment[1].left, a.segment[1].right, token);
      low[1][i] = other.low;
      high[1][i] = other.high;
      work.pages[1][i] = a.segment[1].page_start[sequence];
    }
    if (p.grouped) group[i] = a.group[sequence];
  }
  sync_block();
  if (threadIdx.x >= kWarp) return;
  const int lane = threadIdx.x;
  const auto joined = [&](int at) { return p.grouped && at > 0 && group[at] >= 0 && group[at] == group[at - 1]; };
  int32_t before = 0, leader = 0;
#pragma unroll 1
  for (int base = 0; base < tokens; base += kWarp) {
    const int i = base + lane;
    int32_t row = 0;
    if (p.grouped) {
      // The first token of its group's run; a tile starts in this token where a multiple of 16 of the run's rows does.
      int32_t first = i < tokens && joined(i) ? -1 : i;
      for (int delta = 1; delta < kWarp; delta *= 2) first = max(first, shuffle_up(first, delta));
      first = max(first, leader);
      leader = shuffle(first, kWarp - 1);
      row = -((i - first) * shared) & (kTileRows - 1);
    }
    int32_t count = 0, rows = shared - row;
    if (i < tokens && rows > 0) {
      int32_t from[2] = {low[0][i], kNothing}, to[2] = {high[0][i], 0};
      if (a.segments == 2) from[1] = low[1][i], to[1] = high[1][i];
#pragma unroll 1
      for (int at = i + 1; rows < kTileRows && at < tokens && joined(at); ++at) {
        rows += shared;
        from[0] = min(from[0], low[0][at]);
        to[0] = max(to[0], high[0][at]);
      }
      // A tile that sees nothing is there all the same: its zeros are to be written.
      count = max(max(to[0] - from[0], 0) + max(to[1] - from[1], 0), 1);
      work.tile[i] = row | min(rows, kTileRows) << 16;
    }
    const int32_t sum = warp_prefix(count);
    if (i < tokens) work.first[i] = before + sum - count;
    before += shuffle(sum, kWarp - 1);
  }
  if (lane == 0) work.chunks = before;
}

}  // namespace redllm::cuda::decode
