// Which queries a block takes. Sequences are ragged: a grid of as many blocks for each as the longest needs would be mostly empty.
#pragma once

#include "cuda/ops/attention_params.cuh"

namespace redllm::cuda {

struct QueryTile {
  int32_t head;
  int32_t sequence;
  int32_t first_token;
  int32_t rows;  // 0 or less: none
};

// Tiles of kRows queries of `sequences` sequences: no more than this (see below).
inline uint32_t query_tiles(int64_t tokens, int32_t sequences, int32_t rows) {
  return static_cast<uint32_t>(tokens / rows + sequences);
}

// Sequence i has the tiles from start_i / kRows + i on, of which there are at least as many as its queries fill: floor(a + b) + 1 -
// floor(a) is no less than b rounded up. Heads that share keys are neighbours, and so are the tiles of a sequence, the longest of a
// causal one first.
template <int kRows>
__device__ __forceinline__ QueryTile find_tile(const AttentionParams& p) {
  const int32_t head = static_cast<int32_t>(blockIdx.x) % p.heads, place = static_cast<int32_t>(blockIdx.x) / p.heads;
  // The last sequence whose tiles start at `place` or before it, by a search in which each lane tries one.
  const int32_t lane = threadIdx.x % kWarp;
  int32_t sequence = 0, left = p.sequences;
  while (left > 1) {
    const int32_t step = (left + kWarp - 1) / kWarp, tried = sequence + min(lane * step, left - 1);
    const uint32_t before = ballot(p.query_start[tried] / kRows + tried <= place);
    // One before another: those that hold are the first lanes, and the last step may be short.
    const int32_t passed = max(__popc(before) - 1, 0) * step;
    const int32_t skipped = min(passed, left - 1);
    sequence += skipped;
    left = min(step, left - skipped);
  }
  const int32_t start = p.query_start[sequence], queries = p.query_start[sequence + 1] - start;
  const int32_t tile = (queries + kRows - 1) / kRows - 1 - (place - (start / kRows + sequence));
  const bool exists = place >= start / kRows + sequence && tile >= 0;
  return {head, sequence, start + tile * kRows, exists ? min(kRows, queries - tile * kRows) : 0};
}

}  // namespace redllm::cuda
