// The first of the sampler's two kernels: rows in slices of 4096 tokens, a block each. What it leaves of a slice: the greatest logit,
// and of every chunk, too; the sum that the model's log-probabilities need; and the sum that a draw needs, at the row's temperature.
// Rows with penalties, biases or a list of allowed tokens are written anew, and the model's logits stay.
#pragma once

#include "cuda/ops/sample_row.cuh"

namespace redllm::cuda {

constexpr int kPrepareThreads = 256;
constexpr int kPreparePieces = 4;  // of four tokens, a thread
constexpr int32_t kSlice = kPrepareThreads * kPreparePieces * 4;

struct Slice {
  // Of the altered logits: ordered(greatest), and ~token below it, so that the lowest token wins among equals.
  uint64_t best;
  uint64_t drawn;  // of e^((altered logit - greatest of the slice) / temperature), for rows without top-k and min-p
  uint64_t mass;   // of e^(logit - top)
  float top;       // of the model's logits
};

struct SampleParams {
  SampleArgs a;
  int64_t first;   // row of this launch
  int32_t slices;  // of a row
  int32_t chunks;
  bool vector;
  // Of each row of this launch:
  Slice* slice;    // [slices]
  float* tops;     // [2, chunks]: of the model's logits, and of the altered ones where there are any
  float* altered;  // [vocabulary]
};

// A finite logit stays one whatever is taken off it: only a ban is -infinity.
__device__ __forceinline__ float unbanned(float x) {
  return max(cleaned(x), -kLogitMax);
}

// Steps 2 and 3, of tokens [i, i + 4).
__device__ __forceinline__ void penalise(float* x, const SampleArgs& a, int64_t row, int32_t i) {
  const float repetition = a.repetition[row], presence = a.presence[row], frequency = a.frequency[row];
  const int32_t vocabulary = static_cast<int32_t>(a.logits.cols);
  const int32_t* prompt = a.history + a.slot[row] * int64_t{2} * vocabulary + i;
  const int32_t* output = prompt + vocabulary;
  for (int j = 0; j < 4; ++j) {
    if (i + j >= vocabulary || is_banned(x[j])) continue;
    const int32_t times = output[j];
    float y = x[j];
    if ((prompt[j] | times) != 0) y = y > 0 ? y / repetition : y * repetition;
    y -= frequency * static_cast<float>(times) + (times > 0 ? presence : 0.0f);
    x[j] = unbanned(y);
  }
}

__device__ __forceinline__ float with_bias(float x, float bias) {
  return is_banned(x) || is_banned(bias) ? -float_of_bits(kInfiniteBits) : unbanned(x + bias);
}

// Step 4, on tokens [begin, begin + kSlice). hits: zeros, a word a token
__device__ __forceinline__ void add_biases(float* x, uint32_t* hits, const SampleArgs& a, int64_t row, int32_t begin) {
  const int32_t first = a.bias_start[row], last = a.bias_start[row + 1];
  const auto place = [&](int32_t i) { return static_cast<uint32_t>(a.bias_token[i] - begin); };
  for (int32_t i = first + static_cast<int32_t>(threadIdx.x); i < last; i += kPrepareThreads)
    if (place(i) < kSlice) atomic_add(hits + place(i), 1u);
  sync_block();
  for (int32_t i = first + static_cast<int32_t>(threadIdx.x); i < last; i += kPrepareThreads) {
    const uint32_t at = place(i);
    if (at >= kSlice) continue;
    if (hits[at] == 1) {
      x[at] = with_bias(x[at], a.bias_value[i]);
      continue;
    }
    // The first of several biases of one token adds them all, in order.
    bool first_of_token = true;
    for (int32_t j = first; j < i; ++j) first_of_token = first_of_token && place(j) != at;
    if (!first_of_token) continue;
    float sum = x[at];
    for (int32_t j = i; j < last; ++j)
      if (place(j) == at) sum = with_bias(sum, a.bias_value[j]);
    x[at] = sum;
  }
}

struct PrepareBoard {
  float x[kSlice];
  uint32_t hits[kSlice];
  uint8_t allowed[kSlice];
  uint64_t warps[kPrepareThreads / kWarp];
};

// Over the block. Between two calls stands a barrier of the caller's.
template <typename T>
__device__ __forceinline__ T block_max(T x, uint64_t* warps) {
  T* room = reinterpret_cast<T*>(warps);
  x = warp_max(x);
  if (threadIdx.x % kWarp == 0) room[threadIdx.x / kWarp] = x;
  sync_block();
  for (int i = 0; i < kPrepareThreads / kWarp; ++i) x = room[i] > x ? room[i] : x;
  return x;
}
__device__ __forceinline__ uint64_t block_sum(uint64_t x, uint64_t* warps) {
  x = warp_sum(x);
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = x;
  sync_block();
  x = 0;
  for (int i = 0; i < kPrepareThreads / kWarp; ++i) x += warps[i];
  return x;
}

// A thread's tokens: piece j is those four that lie 4 * (j * kPrepareThreads + threadIdx.x) tokens into the slice, so that a warp's
// make a chunk.
using Pieces = float[kPreparePieces][4];

__device__ __forceinline__ int32_t place_of_piece(int j) {
  return (j * kPrepareThreads + static_cast<int32_t>(threadIdx.x)) * 4;
}

// tops: those of the slice's chunks that the row has. Returns the greatest of the warp's.
__device__ __forceinline__ float write_tops(const Pieces& x, float* tops, int32_t count) {
  float all = -float_of_bits(kInfiniteBits);
#pragma unroll
  for (int j = 0; j < kPreparePieces; ++j) {
    const float top = warp_max(max(max(x[j][0], x[j][1]), max(x[j][2], x[j][3])));
    const int32_t chunk = place_of_piece(j) / kChunk;
    if (threadIdx.x % kWarp == 0 && chunk < count) tops[chunk] = top;
    all = max(all, top);
  }
  return all;
}

__device__ __forceinline__ uint64_t sum_masses(const Pieces& x, float top, float scale) {
  uint64_t sum = 0;
#pragma unroll
  for (int j = 0; j < kPreparePieces; ++j) {
#pragma unroll
    for (int k = 0; k < 4; ++k)
      if (!is_banned(x[j][k])) sum += mass_of(key_of(top, x[j][k]), scale);
  }
  return sum;
}

// Steps 2 to 4, to registers and to `to`, which is the row's.
__device__ __forceinline__ void alter(Pieces& x, PrepareBoard& board, const SampleParams& p, int64_t row, int32_t begin,
                                      float* to) {
  const SampleArgs& a = p.a;
  const int32_t vocabulary = static_cast<int32_t>(a.logits.cols);
  const bool narrow = listed(a, row);
#pragma unroll
  for (int j = 0; j < kPreparePieces; ++j) {
    const int32_t at = place_of_piece(j);
    for (int k = 0; k < 4; ++k) {
      board.x[at + k] = x[j][k];
      board.hits[at + k] = 0;
      board.allowed[at + k] = narrow ? 0 : 1;
    }
  }
  // Its own tokens, from shared memory: divisions are long, and are not to be unrolled.
#pragma unroll 1
  for (int j = 0; j < (penalised(a, row) ? kPreparePieces : 0); ++j)
    penalise(board.x + place_of_piece(j), a, row, begin + place_of_piece(j));
  sync_block();
  for (int32_t i = a.allow_start[row] + static_cast<int32_t>(threadIdx.x); i < a.allow_start[row + 1];
       i += kPrepareThreads) {
    const uint32_t at = static_cast<uint32_t>(a.allow_token[i] - begin);
    if (at < kSlice) board.allowed[at] = 1;
  }
  add_biases(board.x, board.hits, a, row, begin);
  sync_block();
#pragma unroll
  for (int j = 0; j < kPreparePieces; ++j) {
    const int32_t at = place_of_piece(j);
    for (int k = 0; k < 4; ++k) {
      x[j][k] = board.allowed[at + k] ? board.x[at + k] : -float_of_bits(kInfiniteBits);
      if (!p.vector && begin + at + k < vocabulary) to[begin + at + k] = x[j][k];
    }
    if (p.vector && begin + at < vocabulary) {
      store_four(to + begin + at, x[j]);
    }
  }
}

__device__ __forceinline__ uint64_t best_of(const Pieces& x, int32_t begin) {
  uint64_t best = 0;
#pragma unroll
  for (int j = 0; j < kPreparePieces; ++j) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const uint32_t token = static_cast<uint32_t>(begin + place_of_piece(j) + k);
      const uint64_t value = static_cast<uint64_t>(ordered(x[j][k])) << 32 | ~token;
      best = value > best ? value : best;
    }
  }
  return best;
}

static __global__ void __launch_bounds__(kPrepareThreads) prepare_kernel(const SampleParams p) {
  await_earlier_launches();
  PrepareBoard& board = *reinterpret_cast<PrepareBoard*>(shared_memory());
  const SampleArgs& a = p.a;
  const int32_t vocabulary = static_cast<int32_t>(a.logits.cols), begin = static_cast<int32_t>(blockIdx.x) * kSlice;
  const int64_t at = blockIdx.y, row = p.first + at;
  const int32_t first_chunk = begin / kChunk, chunks = p.chunks - first_chunk;
  float* tops = p.tops + 2 * at * p.chunks + first_chunk;
  Slice slice = {0, 0, 0, 0};

  Pieces x;
#pragma unroll
  for (int j = 0; j < kPreparePieces; ++j) {
    load_logits(x[j], static_cast<const float*>(a.logits.data) + row * vocabulary, begin + place_of_piece(j),
                vocabulary, p.vector);
  }
  const float top = write_tops(x, tops, chunks);
  if (a.alternatives[row] >= 0) {
    slice.top = block_max(top, board.warps);
    sync_block();
    slice.mass = block_sum(sum_masses(x, slice.top, kLog2E), board.warps);
    sync_block();
  }
  if (altered(a, row)) {
    alter(x, board, p, row, begin, p.altered + at * vocabulary);
    write_tops(x, tops + p.chunks, chunks);
  }
  slice.best = block_max(best_of(x, begin), board.warps);
  if (drawn(a, row) && !bounded(a, row)) {
    const float greatest = unordered(static_cast<uint32_t>(slice.best >> 32));
    sync_block();
    slice.drawn = block_sum(sum_masses(x, greatest, kLog2E / a.temperature[row]), board.warps);
  }
  if (threadIdx.x == 0) p.slice[at * p.slices + blockIdx.x] = slice;
}

}  // namespace redllm::cuda
