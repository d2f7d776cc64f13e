// One item in all that the warps of a block need to know of it. A warp prepares the next item while all stream the one
// at hand, so that nobody waits for page tables but at the start.
#pragma once

#include "cuda/ops/attention_decode_work.cuh"

namespace redllm::cuda::decode {

// Chunks that some row of a tile sees, of one segment: low <= chunk < high.
struct ChunkRange {
  int32_t low = kNothing, high = 0;

  __device__ __forceinline__ int32_t count() const { return high > low ? high - low : 0; }
  __device__ __forceinline__ int32_t first_span() const { return high > low ? low / kSpanChunks : 0; }
  __device__ __forceinline__ int32_t spans() const {
    return high > low ? (high - 1) / kSpanChunks - low / kSpanChunks + 1 : 0;
  }
};

struct PlannedPage {
  int32_t page;   // in the pool
  uint32_t seen;  // bit k where some row sees key k
};

// In shared memory.
struct Plan {
  bool none;  // no item was left
  int32_t tile;
  int32_t kv_head;
  int32_t rows;
  ChunkRange chunks[2];
  int32_t segment;
  int32_t chunk;
  // Of a warp: the first and the end of its pages of which some key is seen; page i of warp w is the chunk's i * kWarps
  // + w.
  int32_t first[kWarps], end[kWarps];
  PlannedPage pages[kWarp];
  // Of a row: who it is, and which keys it sees: keys left <= k < left + keys. Rows that do not exist see all, and keep
  // nobody from leaving masks out.
  int32_t token[kTileRows], head[kTileRows];
  int32_t left[kTileRows];
  uint32_t keys[kTileRows];
  int32_t query_index[kTileRows];
};

// Bits [from, to) of a page's 16 keys.
__device__ __forceinline__ uint32_t key_bits(int32_t from, int32_t to) {
  const int32_t low = max(from, 0), high = min(to, kPageTokens);
  return low < high ? (1u << high) - (1u << low) : 0;
}

// The last token before whose chunks no more than `chunk` lie.
__device__ __forceinline__ int32_t token_of_chunk(const Work& work, int32_t tokens, int32_t chunk) {
  int32_t low = 0, high = tokens;
  while (high - low > 1) {
    const int32_t middle = (low + high) / 2;
    if (work.first[middle] <= chunk) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// One warp. Heads take turns fastest: what blocks read at one time then lies in few pages.
template <int D>
__device__ __forceinline__ void prepare(const Params& p, const Work& work, int32_t number, Plan& plan) {
  const AttentionArgs& a = p.a;
  const int lane = threadIdx.x % kWarp, row = lane % kTileRows;
  const bool none = number >= work.chunks * p.kv_heads * p.parts;
  if (lane == 0) plan.none = none;
  if (none) return;
  const int32_t shared = a.heads / a.segment[0].pool.kv_heads;
  const int32_t part = number % p.parts, head_and_chunk = number / p.parts;
  const int32_t kv_head = p.first_head + head_and_chunk % p.kv_heads, chunk_of_all = head_and_chunk / p.kv_heads;
  const int32_t at = token_of_chunk(work, p.tokens, chunk_of_all);
  const int32_t start = p.parts > 1 ? part * kTileRows : work.tile[at] & 0xffff;
  const int32_t rows = p.parts > 1 ? min(shared - start, kTileRows) : work.tile[at] >> 16;

  // Both halves of the warp know the rows.
  const int32_t token = p.first_token + at + (start + row) / shared;
  KeyRange range[2];
  if (row < rows) {
    range[0] = key_range<D>(a.segment[0].left, a.segment[0].right, token);
    if (a.segments == 2) range[1] = key_range<D>(a.segment[1].left, a.segment[1].right, token);
  }
  ChunkRange chunks[2];
#pragma unroll
  for (int s = 0; s < 2; ++s) {
    chunks[s].low = range[s].low;
    chunks[s].high = range[s].high;
    for (int mask = 1; mask < kTileRows; mask *= 2) {
      chunks[s].low = min(chunks[s].low, shuffle_xor(chunks[s].low, mask));
      chunks[s].high = max(chunks[s].high, shuffle_xor(chunks[s].high, mask));
    }
  }
  const int32_t ordinal = chunk_of_all - work.first[at], firsts = chunks[0].count();
  const bool second = ordinal >= firsts && chunks[1].count() > 0;
  const int32_t chunk = second ? chunks[1].low + ordinal - firsts : firsts > 0 ? chunks[0].low + ordinal : 0;
  const int32_t left = second ? range[1].left : range[0].left, right = second ? range[1].right : range[0].right;
  if (lane == 0) {
    plan.tile = at * p.parts + part;
    plan.kv_head = kv_head;
    plan.rows = rows;
    plan.chunks[0] = chunks[0];
    plan.chunks[1] = chunks[1];
    plan.segment = second;
    plan.chunk = chunk;
  }
  if (lane < kTileRows) {
    const bool there = row < rows;
    plan.token[row] = token;
    plan.head[row] = there ? kv_head * shared + (start + row) % shared : 0;
    plan.left[row] = left;
    plan.keys[row] = there ? static_cast<uint32_t>(right - left) : 0xffffffffu;
    plan.query_index[row] = there && a.bias != nullptr ? a.query_index[token] : 0;
  }

  const int32_t first_page = chunk * chunk_pages(D) + lane;
  uint32_t seen = 0;
  static_assert(chunk_pages(D) <= kWarp, "a lane has a page");
#pragma unroll 1
  for (int i = 0; i < rows; ++i)
    seen |= key_bits(shuffle(left, i) - first_page * kPageTokens, shuffle(right, i) - first_page * kPageTokens);
  if (lane >= chunk_pages(D)) seen = 0;
  const uint32_t active = ballot(seen != 0);
  if (lane < chunk_pages(D)) {
    int32_t page = 0;
    if (seen != 0) {
      const int32_t* table = second ? a.segment[1].pages : a.segment[0].pages;
      page = table[work.pages[second][at] + first_page];
    }
    plan.pages[lane] = {page, seen};
  }
  if (lane < kWarps) {
    int32_t first = 0, end = 0;
#pragma unroll 1
    for (int i = chunk_pages(D) / kWarps - 1; i >= 0; --i)
      if ((active >> (i * kWarps + lane) & 1) != 0) {
        first = i;
        if (end == 0) end = i + 1;
      }
    plan.first[lane] = first;
    plan.end[lane] = end;
  }
}

}  // namespace redllm::cuda::decode
